// SPDX-License-Identifier: Apache-2.0
'use strict';
'require dom';
'require uci';
'require view';
'require millpond.daemon as daemon';
'require millpond.words as words';

/* Which devices and networks are protected: one choice for each. */

const CHOICES = [ 'shape', 'block', 'direct' ];

function policyOf(section) {
	return section.policy || 'shape';
}

function deviceSection(device) {
	return uci.sections('millpond', 'device').find((section) =>
		(section.mac && section.mac.toLowerCase() === device.mac) || (section.address && device.addresses.includes(section.address)));
}

function networkSection(name) {
	return uci.sections('millpond', 'network').find((section) => section.name === name);
}

/* What holds for a device without a choice of its own. */
function inherited(network) {
	const section = network && networkSection(network);

	return section ? policyOf(section) : 'direct';
}

/* All that the router knows, and what the settings name besides, by name. */
function merge(known) {
	const devices = L.toArray(known.devices).map((device) => ({ ...device, addresses: L.toArray(device.addresses) }));

	for (const section of uci.sections('millpond', 'device')) {
		if (!devices.some((device) => deviceSection(device)?.['.name'] === section['.name']))
			devices.push({ mac: section.mac?.toLowerCase(), addresses: L.toArray(section.address), name: section.name });
	}

	for (const device of devices)
		device.title = deviceSection(device)?.name ?? device.name ?? device.hostname ?? device.mac ?? device.addresses[0] ?? '?';

	return devices.sort((a, b) => L.naturalCompare(a.title, b.title));
}

return view.extend({
	load() {
		return Promise.all([
			L.resolveDefault(daemon.devices(), {}),
			daemon.networks(),
			uci.load('millpond')
		]);
	},

	render([ known, networks ]) {
		this.known = known;
		this.networks = networks;
		this.body = E('div');
		this.fill();

		return E([], [
			words.style(),
			E('h2', _('Devices')),
			E('div', { 'class': 'cbi-map-descr' }, [
				E('p', [ E('strong', words.policy('shape')[1]), ': ', _('all that it sends goes through the tunnel and is hidden. Slower, safer.') ]),
				E('p', [ E('strong', words.policy('block')[1]), ': ', _('it works in the house and never reaches the Internet.') ]),
				E('p', [ E('strong', words.policy('direct')[1]), ': ', _('as without millpond.') ])
			]),
			this.body
		]);
	},

	fill() {
		this.picks = [];

		const devices = merge(this.known);
		const names = this.networks.map((network) => network.name);

		for (const section of uci.sections('millpond', 'network')) {
			if (section.name && !names.includes(section.name))
				names.push(section.name);
		}

		dom.content(this.body, [
			E('div', { 'class': 'cbi-section' }, [
				E('h3', _('Devices')),
				devices.length ? this.table([ _('Device'), _('Address'), _('Network'), _('Last seen'), _('Sent, received'), _('Choice') ],
					devices.map((device) => this.deviceRow(device)))
					: E('em', _('The router has not seen any device yet.')),
				this.known.cut ? E('em', _('There are more devices than are shown.')) : ''
			]),
			E('div', { 'class': 'cbi-section' }, [
				E('h3', _('Whole networks')),
				E('p', _('A choice for a network holds for every device on it that has none of its own, and for devices that change their address.')),
				names.length ? this.table([ _('Network'), _('Choice') ], names.map((name) => this.networkRow(name)))
					: E('em', _('The router has no network that could be chosen.'))
			])
		]);
	},

	table(titles, rows) {
		return E('table', { 'class': 'table millpond-devices' }, [
			E('tr', { 'class': 'tr table-titles' }, titles.map((title) => E('th', { 'class': 'th', 'scope': 'col' }, [ title ]))),
			...rows.map((cells) => E('tr', { 'class': 'tr' }, cells.map((cell, at) => E('td', { 'class': 'td', 'data-title': titles[at] }, E('div', [ cell ])))))
		]);
	},

	deviceRow(device) {
		const section = deviceSection(device);
		const sent = words.number(device.upload_bytes) === null ? '–'
			: '%s, %s'.format(words.bytes(device.upload_bytes), words.bytes(device.download_bytes));

		return [
			E('span', [
				E('strong', [ device.title ]),
				device.hostname && device.hostname !== device.title ? ` (${device.hostname})` : '',
				E('span', { 'class': 'millpond-hint' }, [ device.mac ?? '' ]),
				device.random_mac ? E('span', { 'class': 'millpond-hint', 'data-name': 'random-mac' }, [
					words.badge('warning', _('changes its address')), ' ',
					_('It may come back under another one and lose this choice. Turn off its "private address" for this Wi-Fi, or choose its whole network below.')
				]) : ''
			]),
			device.addresses.slice(0, 2).join(', ') || '–',
			device.network ?? '–',
			words.ago(device.last_seen_s),
			sent,
			this.pick(_('Choice for %s').format(device.title), section ? policyOf(section) : inherited(device.network), (policy) => this.chooseDevice(device, policy))
		];
	},

	networkRow(name) {
		const section = networkSection(name);

		return [
			E('strong', [ name ]),
			this.pick(_('Choice for the network %s').format(name), section ? policyOf(section) : 'direct', (policy) => this.chooseNetwork(name, policy))
		];
	},

	/* A selection that is written to the settings when the page is saved. */
	pick(label, policy, write) {
		const select = E('select', {
			'class': 'cbi-input-select', 'aria-label': label,
			'disabled': L.hasViewPermission() ? null : ''
		}, CHOICES.map((choice) => E('option', { 'value': choice, 'selected': choice === policy ? '' : null }, [ words.policy(choice)[1] ])));

		this.picks.push(() => {
			if (select.value !== policy)
				write(select.value);
		});

		return select;
	},

	chooseDevice(device, policy) {
		let id = deviceSection(device)?.['.name'];

		if (!id) {
			id = uci.add('millpond', 'device');
			uci.set('millpond', id, 'name', device.title.substring(0, 64));

			if (device.mac)
				uci.set('millpond', id, 'mac', device.mac);
			else
				uci.set('millpond', id, 'address', device.addresses[0]);
		}

		uci.set('millpond', id, 'policy', policy);
	},

	chooseNetwork(name, policy) {
		let id = networkSection(name)?.['.name'];

		if (!id) {
			const device = this.networks.find((network) => network.name === name)?.device;

			id = uci.add('millpond', 'network');
			uci.set('millpond', id, 'name', name);

			if (device && device !== `br-${name}`)
				uci.set('millpond', id, 'device', device);
		}

		uci.set('millpond', id, 'policy', policy);
	},

	handleSave() {
		this.picks.forEach((write) => write());

		return uci.save().then(() => uci.load('millpond')).then(() => this.fill());
	},

	handleReset() {
		this.fill();
	}
});
