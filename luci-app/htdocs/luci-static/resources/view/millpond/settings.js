// SPDX-License-Identifier: Apache-2.0
'use strict';
'require form';
'require uci';
'require ui';
'require view';
'require millpond.daemon as daemon';
'require millpond.levels as levels';
'require millpond.paste as paste';
'require millpond.week as week';
'require millpond.wireguard as wireguard';
'require millpond.words as words';

/* The settings, with what each level costs before it is chosen. */

/* The types of the settings' sections with a name; each of the others is a level. */
const TYPES = { main: 'millpond', tunnel: 'tunnel', dns: 'dns' };

const SERVER = /^(\[[0-9A-Fa-f:.]+\]|[^:\s]+):\d{1,5} [A-Za-z0-9+/]{43}=$/;

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
		levels.NAMES.forEach((level) => option.value(level, words.level(level)));

		option = section.taboption('level', form.DummyValue, '_prices', _('What that costs'));
		option.renderWidget = () => levels.render(advice, (settings) => this.fill({ settings }));

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

		option = section.taboption('level', form.Value, 'price', _('Price beyond the allowance'), _('of each GB, in your currency, such as 2.50'));
		option.validate = (id, value) => value === '' || /^\d{1,3}(\.\d{1,2})?$/.test(value) || _('an amount such as 2.50');

		option = section.taboption('level', form.Value, 'cap_day', _('Save data from this day on'), _('day of the month from which a smaller level holds until the billing month ends, whatever has been used'));
		option.validate = (id, value) => value === '' || whole(1, 28)(id, value);

		option = section.taboption('level', form.ListValue, 'cap_level', _('Level from that day on'));
		option.value('', _('none'));
		levels.NAMES.forEach((level) => option.value(level, words.level(level)));
		option.validate = (id, value) => Boolean(value) === Boolean(section.formvalue(id, 'cap_day')) || _('The day and its level belong together.');

		option = section.taboption('advanced', form.ListValue, 'off', _('Off means'), _('what a schedule\'s level Off does'));
		option.default = 'tunnel';
		option.value('tunnel', _('in the tunnel, with no cover'));
		option.value('block', _('no Internet meanwhile'));

		option = section.taboption('advanced', form.Value, 'audit', _('Check of the wire'), _('days between two checks; 0: only when you ask for one'));
		option.placeholder = '7';
		option.validate = (id, value) => value === '' || whole(0, 365)(id, value);

		option = section.taboption('advanced', form.ListValue, 'law', _('Law of the intervals'), _('gamma hides the router\'s own irregularities best. kernel is there to be compared with.'));
		option.default = 'gamma';
		[ 'gamma', 'normal', 'constant', 'kernel' ].forEach((law) => option.value(law, law));

		option = section.taboption('advanced', form.Value, 'spread', _('Spread'), _('percent of the mean interval: gamma 5 to 40 (33 where nothing is entered), normal 5 to 20 (15)'));
		option.depends('law', 'gamma');
		option.depends('law', 'normal');
		option.validate = (id, value) => value === '' || whole(5, 40)(id, value);

		for (const [ name, title, description, standard, least, most ] of [
			[ 'table', _('Routing table'), _('a number that no other program uses'), '28016', 256, 4294967295 ],
			[ 'priority', _('Priority of its rules'), _('lower numbers go first; 1 to 32764'), '910', 1, 32764 ]
		]) {
			option = section.taboption('advanced', form.Value, name, title, description);
			option.placeholder = standard;
			option.validate = (id, value) => value === '' || whole(least, most)(id, value);
		}

		option = section.taboption('advanced', form.Value, 'mark', _('Packet mark'), _('one bit, in hexadecimal, that no other program uses'));
		option.placeholder = '0x01000000';
		option.validate = (id, value) => value === '' || /^0x0*[1248]0*$/.test(value) && value > 0 && value < 2 ** 32 || _('one bit such as 0x01000000');

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
		section.tab('more', _('Advanced'));

		option = section.taboption('tunnel', form.Button, '_paste', _('From the server'), _('a join text, or a WireGuard configuration'));
		option.inputtitle = _('Paste…');
		option.inputstyle = 'action';
		option.onclick = () => paste.open((found) => this.fill(found));

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

		option = section.taboption('more', form.DynamicList, 'backup', _('Other servers'), _('that serve this home too: name or address, port and public key, up to seven. The next one is tried when the one in use has been silent for half a minute.'));
		option.depends('type', 'wireguard');
		option.placeholder = 'vpn.example.net:51820 KEY';
		option.validate = (id, value) => [ value ].flat().every((line) => line === '' || SERVER.test(line)) || _('a name or address with its port, a space, and a key');

		option = section.taboption('more', form.Value, 'listen_port', _('Port of this router'), _('UDP; any that is free where nothing is entered'));
		option.depends('type', 'wireguard');
		option.validate = (id, value) => value === '' || whole(1, 65535)(id, value);

		option = section.taboption('more', form.Value, 'address6', _('This router\'s IPv6 address inside the tunnel'), _('where the server offers IPv6; without it protected devices use IPv4 alone'));
		option.datatype = 'ip6addr("nomask")';

		option = section.taboption('more', form.Value, 'overhead', _('Overhead'), _('bytes that the interface puts around each packet, IP header included; known for most kinds'));
		option.depends('type', 'interface');
		option.validate = (id, value) => value === '' || whole(0, 200)(id, value);

		option = section.taboption('pair', form.DummyValue, '_public', _('This router\'s public key'), _('Give it to whoever looks after the server. The secret key stays on the router and is never shown.'));
		option.renderWidget = () => E('span', [
			E('code', { 'data-name': 'public-key', 'style': 'overflow-wrap: anywhere' }, [ key.public_key || _('none yet') ]),
			key.lies === 'settings' ? E('span', { 'class': 'millpond-hint' }, _('The secret key lies in the settings, where these pages read it. Make a new pair, and give the server the new public key.')) : '',
			key.error ? E('span', { 'class': 'millpond-hint' }, [ key.error ]) : ''
		]);

		option = section.taboption('pair', form.Button, '_make', _('New pair of keys'), _('The server must be told the new public key; until then the tunnel does not work.'));
		option.inputtitle = _('Make a new pair');
		option.inputstyle = 'negative';
		option.onclick = () => this.makeKey();

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
		const section = map.section(form.TypedSection, 'schedule', _('Schedule'), _('Another level at some times, which must not overlap. Off gives no protection at that time.'));
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
		[ 'off', ...levels.NAMES ].forEach((level) => option.value(level, words.level(level)));

		const render = section.render;

		section.render = function() {
			return Promise.resolve(render.apply(this, arguments)).then((node) => E('div', [
				node,
				week.render(uci.sections('millpond', 'schedule'), uci.get('millpond', 'main', 'level') ?? 'balanced')
			]));
		};
	},

	/* Writes { public_key, settings } to the settings; nothing is applied yet. Empty options and sections of null are taken out. */
	fill(found) {
		for (const name in found.settings) {
			if (found.settings[name] === null) {
				uci.remove('millpond', name);
				continue;
			}

			if (!uci.get('millpond', name))
				uci.add('millpond', TYPES[name] ?? 'level', name);

			for (const option in found.settings[name]) {
				const value = found.settings[name][option];

				// Turning millpond on is a decision of its own.
				if (name === 'main' && option === 'enabled')
					continue;

				if (value.length)
					uci.set('millpond', name, option, value);
				else
					uci.unset('millpond', name, option);
			}
		}

		return uci.save().then(() => {
			ui.hideModal();
			ui.addNotification(null, E('p', [
				_('Taken over; apply the changes to use them.'), ' ',
				found.public_key ? _('This router\'s public key: %s').format(found.public_key) : ''
			]), 'info');

			// What the files hold now, before the next look at the settings in force.
			Object.assign(this.key, found.public_key ? { public_key: found.public_key, lies: 'file' } : {});

			return this.map.load().then(() => this.map.reset());
		});
	},

	makeKey() {
		return daemon.makeKey().then((kept) => {
			if (kept.error)
				throw new Error(kept.error);

			return this.fill({ public_key: kept.public_key, settings: { tunnel: { private_key: kept.private_key_file } } });
		}).catch((error) => ui.addNotification(_('That did not work'), E('p', [ String(error.message ?? error) ]), 'danger'));
	}
});
