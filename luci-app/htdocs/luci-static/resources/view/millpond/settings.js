// SPDX-License-Identifier: Apache-2.0
'use strict';
'require dom';
'require form';
'require uci';
'require ui';
'require view';
'require millpond.daemon as daemon';
'require millpond.week as week';
'require millpond.wireguard as wireguard';
'require millpond.words as words';

/* The settings, with what each level costs before it is chosen. */

const LEVEL_NAMES = [ ...Object.keys(words.LEVELS), 'custom' ];

function custom() {
	return [ Number(uci.get('millpond', 'main', 'upload')) || 160, Number(uci.get('millpond', 'main', 'download')) || 320 ];
}

function levelName(level) {
	return level === 'off' ? _('Off') : (words.LEVELS[level]?.[0] ?? _('Custom'));
}

/* What each level costs. Where the daemon has watched this home, its own figures stand beside. */
function prices(advice) {
	const cap = Number(uci.get('millpond', 'main', 'data_cap')) || 0;
	const titles = [ _('Level'), _('Rate'), _('Delay'), _('Data'), ...(cap ? [ _('Share') ] : []), ...(advice ? [ _('In your home') ] : []) ];
	const rows = LEVEL_NAMES.map((level) => {
		const [ upload, download ] = words.LEVELS[level]?.slice(1) ?? custom();
		const price = words.price(upload, download);
		const step = L.toArray(advice?.levels).find((entry) => entry.level === level);

		return [
			E('strong', levelName(level)),
			_('%d kbit/s up, %d down').format(upload, download),
			_('about %.0f ms up, %.0f down').format(price.upload_ms, price.download_ms),
			_('%.0f GB a month').format(price.gigabytes),
			...(cap ? [ _('%.0f %% of your allowance').format(100 * price.gigabytes / cap) ] : []),
			...(advice ? [ words.number(step?.delay_p99_ms) === null ? '–' : _('nearly always under %s').format(words.delay(step.delay_p99_ms)) ] : [])
		];
	});

	return E('table', { 'class': 'table millpond-devices', 'data-name': 'prices' }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map((title) => E('th', { 'class': 'th', 'scope': 'col' }, title))),
		...rows.map((cells) => E('tr', { 'class': 'tr' }, cells.map((cell, at) => E('td', { 'class': 'td', 'data-title': titles[at] }, [ cell ]))))
	]);
}

function whole(least, most) {
	return (section, value) => /^\d+$/.test(value) && value >= least && value <= most || _('a whole number from %d to %d').format(least, most);
}

return view.extend({
	load() {
		return Promise.all([ uci.load('millpond'), daemon.key().catch(() => ({})), daemon.advise() ]);
	},

	render([ , key, advice ]) {
		const map = new form.Map('millpond', _('Settings'), _('How much your line hides and costs, and where the tunnel leads.'));

		this.map = map;
		this.key = key;
		this.main(map, advice);
		this.tunnel(map, key);
		this.schedules(map);

		return map.render().then((node) => E([], [ words.style(), node ]));
	},

	main(map, advice) {
		const section = map.section(form.NamedSection, 'main', 'millpond', _('Privacy'));
		let option;

		section.addremove = false;
		section.tab('level', _('Level'));
		section.tab('advanced', _('Advanced'));

		option = section.taboption('level', form.Flag, 'enabled', _('Millpond is on'));
		option.rmempty = false;

		option = section.taboption('level', form.ListValue, 'level', _('How much to hide'),
			_('A faster line delays less and costs more data, day and night, whether or not anything happens.'));
		option.default = 'balanced';
		LEVEL_NAMES.forEach((level) => option.value(level, levelName(level)));

		option = section.taboption('level', form.DummyValue, '_prices', _('What that costs'));
		option.renderWidget = () => prices(advice);

		for (const [ name, title, standard ] of [ [ 'upload', _('Rate from home'), '160' ], [ 'download', _('Rate to home'), '320' ] ]) {
			option = section.taboption('level', form.Value, name, title, _('kbit/s on the wire'));
			option.depends('level', 'custom');
			option.placeholder = standard;
			option.validate = (id, value) => value === '' || whole(8, 1000000)(id, value);
		}

		option = section.taboption('level', form.Value, 'data_cap', _('Data allowance'), _('GB a month of your Internet contract; 0 or nothing where there is no limit'));
		option.placeholder = '0';
		option.validate = (id, value) => value === '' || whole(0, 1000000)(id, value);

		option = section.taboption('level', form.Value, 'billing_day', _('First day of the billing month'));
		option.placeholder = '1';
		option.validate = (id, value) => value === '' || whole(1, 28)(id, value);

		option = section.taboption('advanced', form.ListValue, 'law', _('Law of the intervals'), _('gamma hides the router\'s own irregularities best. kernel is there to be compared with.'));
		option.default = 'gamma';
		[ 'gamma', 'normal', 'constant', 'kernel' ].forEach((law) => option.value(law, law));

		option = section.taboption('advanced', form.Value, 'spread', _('Spread'), _('percent of the mean interval: gamma 5 to 40, normal 5 to 20'));
		option.depends('law', 'gamma');
		option.depends('law', 'normal');
		option.validate = (id, value) => value === '' || whole(5, 40)(id, value);

		option = section.taboption('advanced', form.Value, 'cell', _('Packet size'), _('most bytes on the wire, 128 to 1400; with the level Custom only'));
		option.depends('level', 'custom');
		option.placeholder = '512';
		option.validate = (id, value) => value === '' || whole(128, 1400)(id, value);
	},

	tunnel(map, key) {
		let section = map.section(form.NamedSection, 'tunnel', 'tunnel', _('Tunnel'), _('The way to your server. Paste what the server gave you, or fill in the lines.'));
		let option;

		section.addremove = false;
		section.tab('tunnel', _('Server'));
		section.tab('pair', _('Keys'));

		option = section.taboption('tunnel', form.Button, '_paste', _('WireGuard configuration'));
		option.inputtitle = _('Paste a configuration…');
		option.inputstyle = 'action';
		option.onclick = () => this.paste();

		option = section.taboption('tunnel', form.ListValue, 'type', _('Kind'));
		option.default = 'wireguard';
		option.value('wireguard', 'WireGuard');
		option.value('openvpn', 'OpenVPN');
		option.value('interface', _('an interface that is already there'));

		option = section.taboption('tunnel', form.Value, 'endpoint', _('Server'), _('name or address, and port'));
		option.depends('type', 'wireguard');
		option.placeholder = 'vpn.example.org:51820';
		option.validate = (id, value) => value === '' || /^(\[[0-9A-Fa-f:.]+\]|[^:\s]+):\d{1,5}$/.test(value) || _('a name or address and a port, such as vpn.example.org:51820');

		option = section.taboption('tunnel', form.Value, 'public_key', _('The server\'s public key'));
		option.depends('type', 'wireguard');
		option.validate = (id, value) => value === '' || wireguard.isKey(value) || _('44 characters, the last of them =');

		option = section.taboption('tunnel', form.Value, 'address', _('This router\'s address inside the tunnel'));
		option.placeholder = '10.77.0.2';
		option.datatype = 'or(ip4addr("nomask"),cidr4)';

		option = section.taboption('tunnel', form.Value, 'peer_address', _('The server\'s address inside the tunnel'));
		option.placeholder = '10.77.0.1';
		option.datatype = 'ip4addr("nomask")';

		option = section.taboption('tunnel', form.Value, 'profile', _('OpenVPN profile'), _('a file on the router'));
		option.depends('type', 'openvpn');
		option.placeholder = '/etc/millpond/client.ovpn';

		option = section.taboption('tunnel', form.Value, 'interface', _('Interface'));
		option.depends('type', 'interface');
		option.placeholder = 'wg0';

		option = section.taboption('pair', form.DummyValue, '_public', _('This router\'s public key'), _('Give it to whoever looks after the server. The secret key stays on the router and is never shown.'));
		option.renderWidget = () => E('span', [
			E('code', { 'data-name': 'public-key', 'style': 'overflow-wrap: anywhere' }, key.public_key || _('none yet')),
			key.lies === 'settings' ? E('span', { 'class': 'millpond-hint' }, _('The secret key lies in the settings, where these pages read it. Make a new pair, and give the server the new public key.')) : '',
			key.error ? E('span', { 'class': 'millpond-hint' }, key.error) : ''
		]);

		option = section.taboption('pair', form.Button, '_make', _('New pair of keys'), _('The server must be told the new public key; until then the tunnel does not work.'));
		option.inputtitle = _('Make a new pair');
		option.inputstyle = 'negative';
		option.onclick = () => this.keep(daemon.makeKey(), {});

		section = map.section(form.NamedSection, 'dns', 'dns', _('Names (DNS)'));
		section.addremove = false;

		option = section.option(form.ListValue, 'mode', _('Who answers'));
		option.default = 'tunnel';
		option.value('tunnel', _('servers beyond the tunnel'));
		option.value('router', _('the router, outside the tunnel: your provider may see the names'));

		option = section.option(form.DynamicList, 'server', _('Servers'));
		option.depends('mode', 'tunnel');
		option.placeholder = '9.9.9.9';
		option.datatype = 'ipaddr("nomask")';
	},

	schedules(map) {
		const section = map.section(form.TypedSection, 'schedule', _('Schedule'), _('Another level at some times. They must not overlap. A level of off gives no protection at that time.'));
		let option;

		section.anonymous = true;
		section.addremove = true;
		section.addbtntitle = _('Add a time');

		option = section.option(form.MultiValue, 'day', _('Days'), _('none: every day'));
		week.DAYS.forEach((day, at) => option.value(day, week.NAMES[at]));
		option.rmempty = true;

		for (const [ name, title ] of [ [ 'start', _('From') ], [ 'stop', _('To') ] ]) {
			option = section.option(form.Value, name, title);
			option.placeholder = name === 'start' ? '00:00' : '06:00';
			option.rmempty = false;
			option.validate = (id, value) => week.isTime(value) || _('a time such as 06:30');
		}

		option = section.option(form.ListValue, 'level', _('Level'));
		[ 'off', ...LEVEL_NAMES ].forEach((level) => option.value(level, levelName(level)));

		const render = section.render;

		section.render = function() {
			return Promise.resolve(render.apply(this, arguments)).then((node) => E('div', [
				node,
				week.render(uci.sections('millpond', 'schedule'), uci.get('millpond', 'main', 'level') ?? 'balanced')
			]));
		};
	},

	paste() {
		const text = E('textarea', { 'class': 'cbi-input-textarea', 'rows': 12, 'style': 'width: 100%', 'aria-label': _('WireGuard configuration'), 'spellcheck': 'false' });
		const fault = E('p', { 'role': 'alert' });

		ui.showModal(_('Paste a WireGuard configuration'), [
			E('p', _('A secret key in it is kept in a file on the router and not shown again.')),
			text,
			fault,
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, _('Cancel')),
				' ',
				E('button', { 'class': 'btn cbi-button cbi-button-positive', 'data-action': 'take', 'click': ui.createHandlerFn(this, () => {
					let found;

					try {
						found = wireguard.parse(text.value);
					}
					catch (error) {
						dom.content(fault, error.message);

						return;
					}

					text.value = '';

					return this.keep(found.private_key ? daemon.keepKeys(found.private_key, found.preshared_key) : Promise.resolve({}), found.options);
				}) }, _('Take it over'))
			])
		]);
		text.focus();
	},

	/* Writes where the keys lie, and the other options of the tunnel, to the settings; nothing is applied yet. */
	keep(keys, options) {
		return Promise.resolve(keys).then((kept) => {
			if (kept.error)
				throw new Error(kept.error);

			if (!uci.get('millpond', 'tunnel'))
				uci.add('millpond', 'tunnel', 'tunnel');

			const changed = { ...options };

			if (kept.private_key_file)
				changed.private_key = kept.private_key_file;

			if (kept.preshared_key_file)
				changed.preshared_key = kept.preshared_key_file;

			for (const option in changed)
				uci.set('millpond', 'tunnel', option, changed[option]);

			return uci.save().then(() => {
				ui.hideModal();
				ui.addNotification(null, E('p', [
					_('Taken over; apply the changes to use them.'), ' ',
					kept.public_key ? _('This router\'s public key: %s').format(kept.public_key) : ''
				]), 'info');

				// What the files hold now, before the next look at the settings in force.
				Object.assign(this.key, kept.public_key ? { public_key: kept.public_key, lies: 'file' } : {});

				return this.map.load().then(() => this.map.reset());
			});
		}).catch((error) => {
			ui.hideModal();
			ui.addNotification(_('That did not work'), E('p', String(error.message ?? error)), 'danger');
		});
	}
});
