// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require rpc';
'require uci';
'require millpond.words as words';

/* The home's networks, and the hosts on them as far as LuCI knows them without the daemon. */

/* Interfaces that millpond makes. */
const OURS = [ 'mp0', 'mpwg0' ];

const callHostHints = rpc.declare({ object: 'luci-rpc', method: 'getHostHints', expect: { '': {} } });
const callLinks = rpc.declare({ object: 'luci-rpc', method: 'getNetworkDevices', expect: { '': {} } });
const callInterfaces = rpc.declare({ object: 'network.interface', method: 'dump', expect: { interface: [] } });

/* The bits of an IP address as text, or null. */
function bits(address) {
	const binary = (groups, base, width) => groups.map((group) => parseInt(group, base).toString(2).padStart(width, '0')).join('');

	if (/^\d+(\.\d+){3}$/.test(address))
		return binary(address.split('.'), 10, 8);

	if (!/^[0-9a-f:]+$/i.test(address))
		return null;

	const [ head, tail ] = address.split('::').map((half) => half.split(':').filter(Boolean));
	const zeros = tail ? Array(Math.max(0, 8 - head.length - tail.length)).fill('0') : [];

	return binary([ ...head, ...zeros, ...tail ?? [] ], 16, 16);
}

function contains({ address, mask }, host) {
	const [ one, other ] = [ bits(address), bits(host) ];

	return one !== null && other !== null && one.length === other.length && one.slice(0, mask) === other.slice(0, mask);
}

function deviceOf(entry) {
	return entry.l3_device ?? entry.device;
}

/* The own addresses of an interface, with the lengths of their prefixes. */
function addresses(entry) {
	return [ ...L.toArray(entry['ipv4-address']), ...L.toArray(entry['ipv6-address']),
		...L.toArray(entry['ipv6-prefix-assignment']).map((prefix) => prefix['local-address']).filter(Boolean) ];
}

/* Networks in the firewall's zones with address translation, and in the zone wan. */
function translated() {
	return uci.sections('firewall', 'zone').filter((zone) => zone.name === 'wan' || zone.masq === '1').flatMap((zone) => L.toArray(zone.network));
}

/* The entries of netifd's interfaces that lie at home. As for the daemon, a default route or address translation leads out. */
function inside(interfaces) {
	const outside = translated();
	const leadsOut = (entry) => outside.includes(entry.interface)
		|| L.toArray(entry.route).some(({ target, mask }) => mask === 0 && [ '0.0.0.0', '::' ].includes(target));
	const excluded = [ 'lo', ...OURS, uci.get('millpond', 'tunnel', 'interface'), ...interfaces.filter(leadsOut).map(deviceOf) ];

	return interfaces.filter((entry) => deviceOf(entry) && !deviceOf(entry).startsWith('@') && entry.interface !== 'loopback' && !leadsOut(entry) && !excluded.includes(deviceOf(entry)));
}

function load() {
	return Promise.all([ L.resolveDefault(callInterfaces(), []), L.resolveDefault(uci.load('millpond')), L.resolveDefault(uci.load('firewall')) ])
		.then(([ interfaces ]) => interfaces);
}

return baseclass.extend({
	/* { name, device } of each of the home's networks. */
	networks() {
		return load().then((interfaces) => {
			const found = inside(interfaces).map((entry) => ({ name: entry.interface, device: deviceOf(entry) }));

			// An alias of a network is not another one.
			return found.filter(({ device }, at) => found.findIndex((other) => other.device === device) === at);
		});
	},

	/* The hosts at home from DHCP and ARP: no interfaces of the router, and nothing that lies on the WAN. */
	hosts() {
		return Promise.all([ load(), callHostHints(), L.resolveDefault(callLinks(), {}) ]).then(([ interfaces, hints, links ]) => {
			const own = interfaces.flatMap(addresses).map(({ address }) => address);
			const ownMacs = Object.values(links).map(({ mac }) => String(mac).toLowerCase());
			const nets = inside(interfaces);

			return Object.keys(hints).map((mac) => {
				const all = [ ...L.toArray(hints[mac].ipaddrs), ...L.toArray(hints[mac].ip6addrs) ];
				const net = nets.find((entry) => addresses(entry).some((prefix) => all.some((address) => contains(prefix, address))));

				return {
					mac: mac.toLowerCase(),
					random_mac: (parseInt(mac.substring(0, 2), 16) & 2) !== 0,
					addresses: all,
					hostname: hints[mac].name && words.printable(hints[mac].name),
					network: net?.interface
				};
			}).filter((host) => !ownMacs.includes(host.mac) && !host.addresses.some((address) => own.includes(address))
				// A host without an address has an entry in the settings of DHCP.
				&& (host.network || !host.addresses.length));
		});
	}
});
