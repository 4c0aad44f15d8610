// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require uci';
'require millpond.words as words';

/* What the settings say about devices and networks. */

function policyOf(section) {
	return section.policy || 'shape';
}

/* A MAC in the notation of the daemon, from any that the settings may have. */
function canonicalMac(text) {
	const parts = text.toLowerCase().split(/[:-]/);
	const digits = parts.length === 6 ? parts.map((part) => part.padStart(2, '0')).join('') : text.toLowerCase().replace(/\./g, '');

	return digits.match(/../g)?.join(':') ?? '';
}

function isMac(text) {
	return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(canonicalMac(text));
}

/* The MACs of a device's section. */
function macsOf(section) {
	return L.toArray(section.mac).flatMap((text) => text.trim().split(/\s+/)).filter(Boolean).map(canonicalMac);
}

function deviceSection(device) {
	return uci.sections('millpond', 'device').find((section) =>
		macsOf(section).some((mac) => mac === device.mac || L.toArray(device.other_macs).includes(mac)) || (section.address && device.addresses.includes(section.address)));
}

function uciSwitch(value) {
	return [ '1', 'yes', 'on', 'true', 'enabled' ].includes(value);
}

function networkSection(name) {
	return uci.sections('millpond', 'network').find((section) => section.name === name);
}

/* The policy of a device without a choice of its own. */
function inherited(network) {
	const section = network && networkSection(network);

	return section ? policyOf(section) : 'direct';
}

return baseclass.extend({
	policyOf,
	uciSwitch,
	macsOf,
	isMac,
	deviceSection,
	networkSection,
	inherited,

	/* { enabled, complete: whether a tunnel is set up, chosen: whether anything is to be protected }. */
	summary() {
		const tunnel = uci.get('millpond', 'tunnel') ?? {};
		const protects = (section) => policyOf(section) === 'shape';

		return {
			enabled: uciSwitch(uci.get('millpond', 'main', 'enabled')),
			complete: Boolean(tunnel.public_key || tunnel.profile || tunnel.interface),
			// Without the right to read the settings, nothing is known.
			chosen: !uci.get('millpond', 'main') || [ 'device', 'network' ].some((type) => uci.sections('millpond', type).some(protects))
		};
	},

	/* The policy of a device in force, as the daemon or else the settings say. */
	policy(device) {
		const section = deviceSection(device);

		return device.policy ?? (section ? policyOf(section) : inherited(device.network));
	},

	/* The devices that the router knows and those that only the settings name, sorted by name. */
	merge(known) {
		const devices = L.toArray(known.devices).map((device) => ({ ...device, addresses: L.toArray(device.addresses) }));

		for (const section of uci.sections('millpond', 'device')) {
			const [ one, ...others ] = devices.filter((device) => deviceSection(device)?.['.name'] === section['.name']);

			// One device with several MACs is one entry, also in a list that does not come from the daemon.
			for (const other of others) {
				one.other_macs = [ ...L.toArray(one.other_macs), other.mac, ...L.toArray(other.other_macs) ].filter(Boolean);
				one.addresses = [ ...one.addresses, ...other.addresses ];
				devices.splice(devices.indexOf(other), 1);
			}

			if (one)
				one.other_macs = [ ...new Set([ ...L.toArray(one.other_macs), ...macsOf(section) ]) ].filter((mac) => mac !== one.mac);
			else
				devices.push({ mac: macsOf(section)[0], other_macs: macsOf(section).slice(1), addresses: L.toArray(section.address), name: section.name });
		}

		for (const device of devices)
			device.title = words.printable(deviceSection(device)?.name ?? device.name ?? device.hostname ?? device.mac ?? device.addresses[0] ?? '?');

		return devices.sort((a, b) => L.naturalCompare(a.title, b.title));
	}
});
