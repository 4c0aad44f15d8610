// SPDX-License-Identifier: Apache-2.0
'use strict';
'require dom';
'require uci';
'require ui';
'require view';
'require millpond.choices as choices';
'require millpond.daemon as daemon';
'require millpond.home as home';
'require millpond.words as words';

/* Which devices and networks are protected: one choice for each. "More" has the other options of a device. */

const CHOICES = [ 'shape', 'block', 'direct' ];

/* Kinds of devices, and how many seconds their packets may wait before people notice (see docs/configuration.md). */
const KINDS = {
	other: [ _('something else'), 1.4 ],
	plug: [ _('plug or switch'), 1.7 ],
	speaker: [ _('speaker'), 4.4 ],
	camera: [ _('camera'), 17.6 ],
	sleep: [ _('sleep monitor'), 1.4 ]
};
const MAX_TOLERANCE_S = 600;

return view.extend({
	load() {
		return Promise.all([
			L.resolveDefault(daemon.devices(), {}),
			home.networks(),
			uci.load('millpond')
		]);
	},

	render([ known, networks ]) {
		this.known = known;
		this.networks = networks;
		this.body = E('div');
		this.fill();

		return E([], [
			E('h2', _('Devices')),
			E('div', { 'class': 'cbi-map-descr' }, [
				E('p', [ E('strong', words.policy('shape')[1]), ': ', _('everything that the device sends goes through the tunnel and is hidden. Slower, but safer.') ]),
				E('p', [ E('strong', words.policy('block')[1]), ': ', _('the device works at home and never reaches the Internet.') ]),
				E('p', [ E('strong', words.policy('direct')[1]), ': ', _('the device works as it would without millpond.') ])
			]),
			this.body
		]);
	},

	fill() {
		this.writes = [];
		this.lists = [];

		const devices = choices.merge(this.known);
		const names = this.networks.map((network) => network.name);

		for (const section of uci.sections('millpond', 'network')) {
			if (section.name && !names.includes(section.name))
				names.push(section.name);
		}

		dom.content(this.body, [
			E('div', { 'class': 'cbi-section' }, [
				E('h3', _('Single devices')),
				devices.length ? this.table([ _('Device'), _('Address'), _('Network'), _('Last seen'), _('Sent, received'), _('Choice') ],
					devices.map((device) => this.deviceRow(device)))
					: E('em', _('The router has not seen any device yet.')),
				this.known.cut ? E('em', _('Some devices are not shown.')) : ''
			]),
			E('div', { 'class': 'cbi-section' }, [
				E('h3', _('Whole networks')),
				E('p', _('The choice for a network applies to every device on it that has no choice of its own, and to devices that change their address.')),
				E('p', _('An unknown device may be a protected one that has changed its hardware address. Where unknown devices are shut out, a device with the address of a protected or blocked one gets no Internet until you choose for it here.')),
				names.length ? this.table([ _('Network'), _('Choice'), _('Unknown devices') ], names.map((name) => this.networkRow(name)))
					: E('em', _('The router has no network to choose.'))
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
		const section = choices.deviceSection(device);
		const policy = section ? choices.policyOf(section) : choices.inherited(device.network);
		const sent = words.number(device.upload_bytes) === null ? '–'
			: '%s, %s'.format(words.bytes(device.upload_bytes), words.bytes(device.download_bytes));

		return [
			E('span', [
				E('strong', [ device.title ]),
				device.hostname && device.hostname !== device.title ? ` (${device.hostname})` : '',
				E('span', { 'class': 'millpond-hint' }, [ [ device.mac, ...L.toArray(device.other_macs) ].filter(Boolean).join(', ') ]),
				device.random_mac ? E('span', { 'class': 'millpond-hint', 'data-name': 'random-mac' }, [
					words.badge('warning', _('changes its address')), ' ',
					_('The device may return under another address and lose this choice. Turn off its "private address" for this Wi-Fi, or choose its whole network below.')
				]) : ''
			]),
			device.addresses.length ? E('span', device.addresses.slice(0, 2).map((address) => E('span', { 'class': address.includes(':') ? '' : 'whole' }, [ address ]))) : '–',
			device.network ?? '–',
			words.ago(device.last_seen_s),
			sent,
			E('span', [
				this.pick(_('Choice for %s').format(device.title), policy, (choice) => this.writeDevice(device, { policy: choice })),
				this.details(device, section ?? {})
			])
		];
	},

	networkRow(name) {
		const section = choices.networkSection(name);

		return [
			E('strong', [ name ]),
			this.pick(_('Choice for the network %s').format(name), section ? choices.policyOf(section) : '', (policy) => this.chooseNetwork(name, policy), [ '', ...CHOICES ]),
			E('label', [
				this.control(E('input', { 'type': 'checkbox', 'aria-label': _('Shut out unknown devices in the network %s').format(name), 'checked': section && choices.uciSwitch(section.strict) ? '' : null }),
					(strict) => this.shutOut(name, strict)), ' ', _('Shut out')
			])
		];
	},

	/* A list to select one of the choices from. The empty choice means that there is no choice. */
	pick(label, policy, write, choices = CHOICES) {
		return this.control(E('select', { 'class': 'cbi-input-select', 'aria-label': label },
			choices.map((choice) => E('option', { 'value': choice, 'selected': choice === policy ? '' : null }, [ choice ? words.policy(choice)[1] : _('No choice') ]))), write);
	},

	/* Registers a field: when the page is saved, write() gets the field's value if that has changed. */
	control(field, write) {
		const value = () => field.type === 'checkbox' ? (field.checked ? '1' : '') : field.value;
		const before = value();

		field.disabled = !L.hasViewPermission();
		this.writes.push(() => {
			if (value() !== before)
				write(value());
		});

		return field;
	},

	/* The options of a device that few users need. */
	details(device, section) {
		const kind = E('select', { 'class': 'cbi-input-select' }, Object.keys(KINDS).map((name) =>
			E('option', { 'value': name === 'other' ? '' : name, 'selected': name === section.kind ? '' : null }, [ KINDS[name][0] ])));
		const wait = E('input', {
			'class': 'cbi-input-text', 'type': 'number', 'min': '0.001', 'max': MAX_TOLERANCE_S, 'step': '0.001',
			'value': section.tolerance ? section.tolerance / 1000 : null
		});
		const hint = () => { wait.placeholder = KINDS[kind.value || 'other'][1]; };
		const row = (name, title, field, description) => E('p', [
			E('label', { 'data-name': name }, [ E('span', { 'class': 'millpond-label' }, [ title ]), field ]), description ? E('span', { 'class': 'millpond-hint' }, [ description ]) : ''
		]);
		const write = (option) => (value) => this.writeDevice(device, { [option]: value });

		kind.addEventListener('change', hint);
		hint();

		return E('details', { 'class': 'millpond-more' }, [
			E('summary', { 'aria-label': _('More about %s').format(device.title) }, _('More')),
			row('name', _('Name'), this.control(E('input', { 'class': 'cbi-input-text', 'type': 'text', 'maxlength': 64, 'placeholder': device.hostname ?? null, 'value': section.name ?? null }), write('name'))),
			row('kind', _('Kind of device'), this.control(kind, write('kind'))),
			row('tolerance', _('Tolerated delay'), this.control(wait, (value) => this.writeDevice(device, { tolerance: value && String(Math.round(value * 1000)) })),
				_('Seconds that packets may wait before people notice. Settings compares the levels with this value; the line does not depend on it.')),
			row('watch', _('Measure it'), this.control(E('input', { 'type': 'checkbox', 'checked': choices.uciSwitch(section.watch) ? '' : null }), write('watch')),
				_('While the device is left alone, millpond counts its packets, so that Settings can show how long they would wait.')),
			this.macs(device, section, write('mac'))
		]);
	},

	/* The MACs of a device, of which it has several with several interfaces. Written last, because the other fields find the section by them. */
	macs(device, section, write) {
		const own = choices.macsOf(section);
		const values = own.length ? own : (section.address ? [] : [ device.mac, ...L.toArray(device.other_macs) ].filter(Boolean));
		const list = new ui.DynamicList(values, null, { 'placeholder': '18:b4:30:26:34:40', 'datatype': 'macaddr', 'disabled': !L.hasViewPermission() });
		const node = list.render();

		node.querySelectorAll('input, textarea').forEach((field) => field.setAttribute('aria-label', _('MAC addresses of %s').format(device.title)));
		this.lists.push({ node, isValid: () => {
			const now = list.getValue();

			return now.every(choices.isMac) && Boolean(now.length || section.address || !values.length);
		} });
		this.writes.push(() => {
			if (String(list.getValue()) !== String(values))
				write(list.getValue());
		});

		return E('div', { 'data-name': 'mac' }, [
			E('span', { 'class': 'millpond-label' }, [ _('MAC addresses') ]), node,
			E('span', { 'class': 'millpond-hint' }, [ _('All of this device, for example that of its cable and that of its Wi-Fi.') ])
		]);
	},

	/* Sets options in a device's section, which is created if it does not exist. Empty options are removed. */
	writeDevice(device, options) {
		let id = choices.deviceSection(device)?.['.name'];

		if (!id) {
			id = uci.add('millpond', 'device');
			uci.set('millpond', id, 'name', device.title.substring(0, 64));
			uci.set('millpond', id, 'policy', choices.inherited(device.network));

			if (device.mac)
				uci.set('millpond', id, 'mac', device.mac);
			else
				uci.set('millpond', id, 'address', device.addresses[0]);
		}

		for (const option in options) {
			if (options[option]?.length)
				uci.set('millpond', id, option, options[option]);
			else
				uci.unset('millpond', id, option);
		}
	},

	chooseNetwork(name, policy) {
		let id = choices.networkSection(name)?.['.name'];

		if (!policy) {
			uci.remove('millpond', id);

			return;
		}

		if (!id) {
			const device = this.networks.find((network) => network.name === name)?.device;

			id = uci.add('millpond', 'network');
			uci.set('millpond', id, 'name', name);

			if (device && device !== `br-${name}`)
				uci.set('millpond', id, 'device', device);
		}

		uci.set('millpond', id, 'policy', policy);
	},

	/* Called after chooseNetwork(), which may have added or removed the network's section. */
	shutOut(name, strict) {
		if (strict && !choices.networkSection(name))
			this.chooseNetwork(name, 'direct');

		const id = choices.networkSection(name)?.['.name'];

		if (strict)
			uci.set('millpond', id, 'strict', '1');
		else if (id)
			uci.unset('millpond', id, 'strict');
	},

	handleSave() {
		const invalid = this.body.querySelector(':invalid');

		if (invalid) {
			invalid.closest('details').open = true;
			invalid.focus();
			ui.addNotification(_('Nothing was saved'), E('p', _('The tolerated delay must be from 0.001 to %d seconds.').format(MAX_TOLERANCE_S)), 'danger');

			return Promise.reject(new Error('invalid'));
		}

		const wrong = this.lists.find((list) => !list.isValid());

		if (wrong) {
			wrong.node.closest('details').open = true;
			wrong.node.querySelector('input, textarea').focus();
			ui.addNotification(_('Nothing was saved'), E('p', _('A device needs at least one MAC address such as 18:b4:30:26:34:40.')), 'danger');

			return Promise.reject(new Error('invalid'));
		}

		this.writes.forEach((write) => write());

		return uci.save().then(() => uci.load('millpond')).then(() => this.fill());
	},

	handleReset() {
		this.fill();
	}
});
