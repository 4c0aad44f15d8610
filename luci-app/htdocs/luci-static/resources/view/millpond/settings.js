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

/* The settings, with a comparison of the levels. */

/* Types of the named sections. Every other named section is a level. */
const TYPES = { main: 'millpond', tunnel: 'tunnel', dns: 'dns' };

/* True, or what is wrong with a server's name or address and port. */
function isEndpoint(text) {
	try {
		return Boolean(wireguard.endpoint(text));
	}
	catch (error) {
		return error.message;
	}
}

/* Whether a line is such an address and a key. */
function isServer(line) {
	const [ at, key, ...rest ] = line.trim().split(/\s+/);

	return isEndpoint(at) === true && wireguard.isKey(key) && !rest.length;
}

function wholeNumber(min, max) {
	return (section, value) => /^\d+$/.test(value) && value >= min && value <= max || _('a whole number from %d to %d').format(min, max);
}

return view.extend({
	load() {
		return Promise.all([ uci.load('millpond'), daemon.key().catch(() => ({})), daemon.advise() ]);
	},

	render([ , key, advice ]) {
		const map = new form.Map('millpond', _('Settings'), _('How fast the line is, what it costs, and where the tunnel leads.'));

		this.map = map;
		this.key = key;
		this.main(map, advice);
		this.tunnel(map, key);
		this.schedules(map);
		this.wans(map);
		this.bursts(map);

		return map.render();
	},

	main(map, advice) {
		const section = map.section(form.NamedSection, 'main', 'millpond', _('Privacy'));
		let option;

		section.addremove = false;
		section.tab('level', _('Level'));
		section.tab('advanced', _('Advanced'));

		option = section.taboption('level', form.Flag, 'enabled', _('Millpond is on'));
		option.rmempty = false;

		option = section.taboption('level', form.ListValue, 'level', _('Level'),
			_('A faster line delays less and uses more data, day and night, whether or not anything happens.'));
		option.default = 'balanced';
		levels.NAMES.forEach((level) => option.value(level, words.level(level)));

		option = section.taboption('level', form.DummyValue, '_prices', _('Comparison'));
		option.renderWidget = () => levels.render(advice, (settings) => this.fill({ settings }));

		const [ , up, down ] = words.LEVELS.balanced;

		for (const [ name, title, standard ] of [ [ 'upload', _('Rate from home'), up ], [ 'download', _('Rate to home'), down ] ]) {
			option = section.taboption('level', form.Value, name, title, _('kbit/s on the wire'));
			option.depends('level', 'custom');
			option.placeholder = String(standard);
			option.validate = (id, value) => value === '' || wholeNumber(8, 1000000)(id, value);
		}

		option = section.taboption('level', form.Value, 'data_cap', _('Data allowance'), _('GB in your Internet contract; 0 or empty for no limit'));
		option.placeholder = '0';
		option.validate = (id, value) => value === '' || wholeNumber(0, 1000000)(id, value);

		option = section.taboption('level', form.ListValue, 'cap_period', _('Period of the allowance'));
		option.default = 'month';
		option.value('day', _('each day'));
		option.value('week', _('each week'));
		option.value('month', _('each month'));

		option = section.taboption('level', form.Value, 'billing_day', _('First day of the billing period'), _('day of the month, or of the week: 1 for Monday to 7'));
		option.depends('cap_period', 'month');
		option.depends('cap_period', 'week');
		option.placeholder = '1';
		option.validate = (id, value) => value === '' || wholeNumber(1, section.formvalue(id, 'cap_period') === 'week' ? 7 : 28)(id, value);

		option = section.taboption('level', form.Value, 'price', _('Price beyond the allowance'), _('price of each GB, in your currency, for example 2.50'));
		option.validate = (id, value) => value === '' || /^\d{1,3}(\.\d{1,2})?$/.test(value) || _('an amount, for example 2.50');

		option = section.taboption('level', form.Value, 'cap_day', _('Save data from this day on'), _('day of the month; the level in the next field applies from then until the billing month ends, whatever the data use'));
		option.depends('cap_period', 'month');
		option.validate = (id, value) => value === '' || wholeNumber(1, 28)(id, value);

		option = section.taboption('level', form.ListValue, 'cap_level', _('Level from that day on'));
		option.depends('cap_period', 'month');
		option.value('', _('none'));
		levels.NAMES.forEach((level) => option.value(level, words.level(level)));
		option.validate = (id, value) => Boolean(value) === Boolean(section.formvalue(id, 'cap_day')) || _('Set the day and its level together.');

		option = section.taboption('advanced', form.ListValue, 'off', _('Level Off'), _('what protected devices get while a schedule sets this level'));
		option.default = 'tunnel';
		option.value('tunnel', _('the tunnel, without the flat line'));
		option.value('block', _('no Internet'));

		option = section.taboption('advanced', form.Value, 'audit', _('Check of the wire'), _('days between two checks; 0: only when you start one'));
		option.placeholder = '7';
		option.validate = (id, value) => value === '' || wholeNumber(0, 365)(id, value);

		option = section.taboption('advanced', form.ListValue, 'law', _('Law of the intervals'), _('gamma hides the router\'s own irregularities best. kernel is for comparison only.'));
		option.default = 'gamma';
		[ 'gamma', 'normal', 'constant', 'kernel' ].forEach((law) => option.value(law, law));

		option = section.taboption('advanced', form.Value, 'spread', _('Spread'), _('percent of the mean interval: gamma 5 to 40 (33 if empty), normal 5 to 20 (15 if empty)'));
		option.depends('law', 'gamma');
		option.depends('law', 'normal');
		option.validate = (id, value) => value === '' || wholeNumber(5, 40)(id, value);

		option = section.taboption('advanced', form.Value, 'train', _('Packets together'), _('number of packets that leave at each moment, 1 to 64; if empty, the rate decides. Fast lines need more than one.'));
		option.validate = (id, value) => value === '' || wholeNumber(1, 64)(id, value);

		for (const [ name, title, description, standard, min, max ] of [
			[ 'table', _('Routing table'), _('a number that no other program uses'), '28016', 256, 4294967295 ],
			[ 'priority', _('Priority of the routing rules'), _('1 to 32764; rules with lower numbers come first'), '910', 1, 32764 ]
		]) {
			option = section.taboption('advanced', form.Value, name, title, description);
			option.placeholder = standard;
			option.validate = (id, value) => value === '' || wholeNumber(min, max)(id, value);
		}

		option = section.taboption('advanced', form.Value, 'mark', _('Packet mark'), _('one bit, in hexadecimal, that no other program uses'));
		option.placeholder = '0x01000000';
		option.validate = (id, value) => value === '' || /^0x0*[1248]0*$/.test(value) && value > 0 && value < 2 ** 32 || _('one bit such as 0x01000000');

		option = section.taboption('advanced', form.DynamicList, 'home_port', _('Ports of the home'), _('bridge ports that are tunnels, such as vxlan0, and whose other end is your home too. All other tunnels in a bridge are closed for protected devices.'));
		option.placeholder = 'vxlan0';
		option.validate = (id, value) => [ value ].flat().every((name) => /^[\w.@-]{0,15}$/.test(name)) || _('names of interfaces');

		option = section.taboption('advanced', form.Value, 'cell', _('Packet size'), _('maximum bytes on the wire, 160 to 1400; only with the level Custom'));
		option.depends('level', 'custom');
		option.placeholder = '512';
		option.validate = (id, value) => value === '' || wholeNumber(160, 1400)(id, value);

		option = section.taboption('advanced', form.DynamicList, 'router_service', _('Services of this router'), _('what protected and blocked devices may use besides DHCP, NTP, mDNS and ping, for example tcp/8883 for an MQTT broker. Such a program must not pass on to the Internet what a device tells it.'));
		option.placeholder = 'tcp/8883';
		option.validate = (id, value) => [ value ].flat().every((service) => service === '' || /^(tcp|udp)\/[1-9][0-9]*$/.test(service) && service.slice(4) < 65536) || _('protocol and port such as tcp/8883');
	},

	tunnel(map, key) {
		let section = map.section(form.NamedSection, 'tunnel', 'tunnel', _('Tunnel'), _('The connection to your server. Paste the text from the server, or fill in the fields.'));
		let option;

		section.addremove = false;
		section.tab('tunnel', _('Server'));
		section.tab('pair', _('Keys'));
		section.tab('more', _('Advanced'));

		option = section.taboption('tunnel', form.Button, '_paste', _('From the server'), _('a join text, or a WireGuard configuration'));
		option.inputtitle = _('Paste…');
		option.inputstyle = 'action';
		option.onclick = () => paste.open((found) => this.fill(found));

		option = section.taboption('tunnel', form.ListValue, 'type', _('Kind of tunnel'));
		option.default = 'wireguard';
		option.value('wireguard', 'WireGuard');
		option.value('openvpn', 'OpenVPN');
		option.value('interface', _('an existing interface'));

		option = section.taboption('tunnel', form.Value, 'endpoint', _('Server'), _('name or address, and port'));
		option.depends('type', 'wireguard');
		option.placeholder = 'vpn.example.org:51820';
		option.validate = (id, value) => value === '' || isEndpoint(value.trim());

		option = section.taboption('tunnel', form.Value, 'public_key', _('The server\'s public key'));
		option.depends('type', 'wireguard');
		option.validate = (id, value) => value === '' || wireguard.isKey(value) || _('a key of 44 characters, the last of them =');

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

		option = section.taboption('more', form.DynamicList, 'backup', _('Other servers'), _('up to seven other servers for this home, each with name or address, port and public key. When the current server has been silent for half a minute, millpond tries the next one.'));
		option.depends('type', 'wireguard');
		option.placeholder = 'vpn.example.net:51820 KEY';
		option.validate = (id, value) => [ value ].flat().every((line) => line === '' || isServer(line)) || _('a name or address with a port, a space, and a public key');

		option = section.taboption('more', form.Value, 'listen_port', _('Port of this router'), _('UDP; any free port if empty'));
		option.depends('type', 'wireguard');
		option.validate = (id, value) => value === '' || wholeNumber(1, 65535)(id, value);

		option = section.taboption('more', form.Value, 'address6', _('This router\'s IPv6 address inside the tunnel'), _('if the server offers IPv6; without it protected devices use only IPv4'));
		option.datatype = 'ip6addr("nomask")';

		option = section.taboption('more', form.Value, 'overhead', _('Overhead'), _('bytes that the interface adds to each packet, IP header included; known for most kinds'));
		option.depends('type', 'interface');
		option.validate = (id, value) => value === '' || wholeNumber(0, 200)(id, value);

		option = section.taboption('more', form.Flag, 'unencrypted', _('Even if unencrypted'), _('Attach also to an interface that is not known to encrypt. Your provider can then read the packets, unless something below encrypts them.'));
		option.depends('type', 'interface');

		option = section.taboption('pair', form.DummyValue, '_public', _('This router\'s public key'), _('Give it to the server\'s operator. The secret key stays on the router and is never shown.'));
		option.renderWidget = () => E('span', [
			E('code', { 'data-name': 'public-key', 'style': 'overflow-wrap: anywhere' }, [ key.public_key || _('none yet') ]),
			key.lies === 'settings' ? E('span', { 'class': 'millpond-hint' }, _('The secret key is in the settings, where these pages can read it. Make a new pair, and give the server the new public key.')) : '',
			key.error ? E('span', { 'class': 'millpond-hint' }, [ key.error ]) : ''
		]);

		option = section.taboption('pair', form.Button, '_make', _('New pair of keys'), _('The tunnel does not work until the server has the new public key.'));
		option.inputtitle = _('Make a new pair');
		option.inputstyle = 'negative';
		option.onclick = () => this.makeKey();

		section = map.section(form.NamedSection, 'dns', 'dns', _('Names (DNS)'));
		section.addremove = false;

		option = section.option(form.ListValue, 'mode', _('Who answers DNS requests'));
		option.default = 'tunnel';
		option.value('tunnel', _('the servers below, through the tunnel'));
		option.value('router', _('the router, outside the tunnel: your provider may see the names'));

		option = section.option(form.DynamicList, 'server', _('Servers'));
		option.depends('mode', 'tunnel');
		option.placeholder = '9.9.9.9';
		option.datatype = 'ipaddr("nomask")';
	},

	schedules(map) {
		const section = map.section(form.TypedSection, 'schedule', _('Schedule'), _('Times with another level. They must not overlap. The level Off hides nothing.'));
		let option;

		section.anonymous = true;
		section.addremove = true;
		section.addbtntitle = _('Add a time');

		option = section.option(form.MultiValue, 'day', _('Days'), _('every day if empty'));
		week.DAYS.forEach((day, at) => option.value(day, week.NAMES[at]));
		option.cfgvalue = (id) => week.days(uci.get('millpond', id, 'day'));
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

	wans(map) {
		const section = map.section(form.TypedSection, 'wan', _('Lines'), _('Another level while the Internet is reached by another line, such as a mobile one.'));
		let option;

		section.anonymous = true;
		section.addremove = true;
		section.addbtntitle = _('Add a line');

		option = section.option(form.Value, 'network', _('Network'), _('its name in OpenWrt, such as wwan'));
		option.placeholder = 'wwan';
		option.rmempty = false;
		option.validate = (id, value) => /^\w{1,15}$/.test(value) || _('the name of a network');

		option = section.option(form.Value, 'device', _('Interface'), _('if OpenWrt\'s settings do not name it, such as wwan0'));
		option.placeholder = 'wwan0';
		option.validate = (id, value) => /^[\w.@-]{0,15}$/.test(value) || _('the name of an interface');

		option = section.option(form.ListValue, 'level', _('Level'));
		levels.NAMES.forEach((level) => option.value(level, words.level(level)));
	},

	bursts(map) {
		const section = map.section(form.TypedSection, 'burst', _('Bursts'), _('A weaker promise for less data: the line is faster for a while when a camera needs it, and also at random when none does. Your provider sees these bursts, and cannot tell which are real. The overview says how sure it can be.'));
		let option;

		section.anonymous = true;
		section.addremove = true;
		section.addbtntitle = _('Add bursts');

		option = section.option(form.DynamicList, 'device', _('Devices'), _('protected devices that need more than the line carries, by name or hardware address'));
		option.rmempty = false;
		uci.sections('millpond', 'device').filter(({ policy }) => (policy ?? 'shape') === 'shape').forEach(({ name, mac }) => {
			const shown = name ?? L.toArray(mac)[0];

			if (shown)
				option.value(shown);
		});

		for (const [ name, title, standard ] of [ [ 'upload', _('Rate from home'), '600' ], [ 'download', _('Rate to home'), '60' ] ]) {
			option = section.option(form.Value, name, title, _('kbit/s on the wire'));
			option.placeholder = standard;
			option.rmempty = false;
			option.validate = wholeNumber(8, 1000000);
		}

		option = section.option(form.Value, 'slot', _('Slot'), _('seconds, 2 to 600: a burst begins and ends with a slot'));
		option.placeholder = '10';
		option.validate = (id, value) => value === '' || wholeNumber(2, 600)(id, value);

		for (const [ name, title, description, standard ] of [
			[ 'begin', _('Begin'), _('probability of a burst after a slot without one, if the devices need it'), '0.9' ],
			[ 'decoy', _('Decoys'), _('the same if they do not: more decoys hide more and use more data'), '0.03' ],
			[ 'keep', _('Keep'), _('probability of a burst after one, if the devices need it'), '0.95' ],
			[ 'linger', _('Linger'), _('the same if they do not; if empty, decoys last as long as real bursts did'), '0.6' ]
		]) {
			option = section.option(form.Value, name, title, description);
			option.placeholder = standard;
			option.validate = (id, value) => value === '' || /^0?\.\d{1,6}$/.test(value) && value > 0 || _('a number between 0 and 1, such as 0.03');
		}
	},

	/* Writes { public_key, settings } without applying the changes. Empty options and null sections are removed. */
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

				// Only the user turns millpond on.
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
				_('The settings are filled in. Apply the changes to use them.'), ' ',
				found.public_key ? _('This router\'s public key: %s').format(found.public_key) : ''
			]), 'info');

			// The new key is in its file already, but the settings in force still name the old one.
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
