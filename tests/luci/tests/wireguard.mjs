// WireGuard configurations of other people, read without a browser: each is read, or refused by line with the reason.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { test } from '../harness.mjs';

const KEY = 'AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=';
const MODULE = new URL('../../../luci-app/htdocs/luci-static/resources/millpond/wireguard.js', import.meta.url);

/* The module, with LuCI's format() for %s and %d. */
function load() {
	const translate = (text) => Object.assign(Object(text), { format: (...values) => text.replace(/%[sd]/g, () => values.shift()) });

	return new Function('_', 'baseclass', readFileSync(MODULE, 'utf8'))(translate, { extend: (object) => object });
}

/* A configuration with these lines in place of those with the same option; null removes one. */
function configuration(changes = {}) {
	const own = { PrivateKey: KEY, Address: '10.9.0.7/24' };
	const peer = { PublicKey: KEY, AllowedIPs: '0.0.0.0/0', Endpoint: 'vpn.example.net:4500' };

	for (const name in changes)
		(name in peer || name === 'PresharedKey' ? peer : own)[name] = changes[name];

	const lines = (options) => Object.entries(options).filter(([ , value ]) => value !== null).flatMap(([ name, value ]) => [ value ].flat().map((one) => `${name} = ${one}`));

	return [ '[Interface]', ...lines(own), '', '[Peer]', ...lines(peer), '' ].join('\n');
}

test('WireGuard configurations of other people are read', () => {
	const { parse } = load();
	const options = (changes) => parse(configuration(changes)).options;

	for (const Address of [ 'fc00::2/128, 10.64.1.2/32', '10.64.1.2/32,fc00::2/128', [ '10.64.1.2/32', 'fc00::2/128' ] ]) {
		assert.equal(options({ Address }).address, '10.64.1.2');
		assert.equal(options({ Address }).address6, '', 'the server carries no IPv6');
		assert.equal(options({ Address, AllowedIPs: '0.0.0.0/0, ::/0' }).address6, 'fc00::2');
	}

	assert.equal(parse(configuration({ PresharedKey: '' })).preshared_key, '');
	assert.equal(parse(configuration({ PresharedKey: KEY })).preshared_key, KEY);
	assert.equal(parse(`\ufeff${configuration()}`).private_key, KEY);

	for (const [ text, endpoint ] of [
		[ '2001:db8::1:51820', '[2001:db8::1]:51820' ],
		[ '[2001:db8::1]:51820', '[2001:db8::1]:51820' ],
		[ '1:2:3:4:5:6:7:8:443', '[1:2:3:4:5:6:7:8]:443' ],
		[ '192.0.2.1:1', '192.0.2.1:1' ]
	])
		assert.equal(options({ Endpoint: text }).endpoint, endpoint);

	assert.equal(options({ Address: '10.9.3.7/16' }).peer_address, '10.9.0.1', 'the first address of the network');
	assert.equal(options({ Address: '10.9.3.7' }).peer_address, '10.9.3.1');
	assert.equal(options({ AllowedIPs: '10.9.0.9/32' }).peer_address, '10.9.0.9');

	const neutral = { Jc: '0', S1: '0', H1: '1', H4: '4' };

	assert.deepEqual(parse(configuration(neutral)).warnings, [], 'plain WireGuard in the words of AmneziaWG');
});

test('what cannot be used of a WireGuard configuration is refused by its line', () => {
	const { parse } = load();

	for (const [ changes, reason ] of [
		[ { Jc: '4' }, /^Line 4: Jc belongs to AmneziaWG/ ],
		[ { S1: '15' }, /^Line 4: S1 belongs to AmneziaWG/ ],
		[ { H2: '1106457265' }, /^Line 4: H2 belongs to AmneziaWG/ ],
		[ { Endpoint: 'http://host:8000:51820' }, /^Line 8: A web address/ ],
		[ { Endpoint: '2001:db8::1:8000' }, /^Line 8: It is not clear whether/ ],
		[ { Endpoint: '[fe80::1%eth0]:51820' }, /^Line 8: A link-local address/ ],
		[ { Endpoint: 'vpn.example.net' }, /^Line 8: The server has no name or address with a port/ ],
		[ { Endpoint: 'vpn.example.net:0' }, /^Line 8: The server has no/ ],
		[ { Endpoint: null }, /The server has no name or address/ ],
		[ { Address: 'fc00::2/128' }, /^Line 3: The \[Interface\] has no IPv4 address/ ],
		[ { Address: '10.9.0.999/24' }, /^Line 3: "10.9.0.999\/24" is not an address/ ],
		[ { PrivateKey: 'short' }, /^Line 2: PrivateKey is not a key/ ],
		[ { PublicKey: '' }, /^Line 6: PublicKey is not a key/ ]
	])
		assert.throws(() => parse(configuration(changes)), (error) => reason.test(error.message) || assert.fail(`${error.message} (want ${reason})`));
});

test('a doubtful WireGuard configuration gives a warning', () => {
	const { parse } = load();
	const first = parse(configuration({ Address: '10.8.0.1/24' }));

	assert.equal(first.options.peer_address, '', 'never the same address for both ends');
	assert.match(first.warnings.join(), /the server's own configuration/);
	assert.equal(parse(configuration({ Address: '10.8.0.1/24', AllowedIPs: '10.8.0.1/32' })).options.peer_address, '');

	for (const AllowedIPs of [ '0.0.0.0/0, ::/0', [ '0.0.0.0/0', '::/0' ], '0.0.0.0/1, 128.0.0.0/1' ])
		assert.match(parse(configuration({ AllowedIPs, DNS: '10.64.0.1' })).warnings.join(), /VPN provider.*"millpond endpoint"/);

	assert.deepEqual(parse(configuration()).warnings, [], 'one\'s own server');
	assert.match(parse(configuration({ Foo: '1' })).warnings.join(), /^Line 4: Foo is not known/);
});
