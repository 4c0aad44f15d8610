// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

/* Reads a WireGuard configuration in the format of wg-quick, as operators of servers provide it. */

const KEY = /^[A-Za-z0-9+\/]{42}[AEIMQUYcgkosw048]=$/;

/* The options of wg and wg-quick. The values of those with `true` add up over several lines. */
const KNOWN = {
	'interface': { privatekey: false, address: true, dns: true, listenport: false, fwmark: false, mtu: false, table: false, preup: true, postup: true, predown: true, postdown: true, saveconfig: false },
	'peer': { publickey: false, presharedkey: false, allowedips: true, endpoint: false, persistentkeepalive: false }
};

/* AmneziaWG's options, which change WireGuard's packets, unless they have these values. */
const AMNEZIA = /^(jc|jmin|jmax|[sh][1-4]|[ij][1-5]|itime)$/;

function isNeutral(name, value) {
	return value === '' || value === (name.startsWith('h') ? name.substring(1) : '0');
}

function fail(line, reason) {
	throw new Error(_('Line %d: %s').format(line, reason));
}

function isIpv4(text) {
	return /^(\d{1,3})(\.\d{1,3}){3}$/.test(text) && text.split('.').every((part) => part < 256);
}

/* Whether the text is an IPv6 address, as far as the browser can tell. */
function isIpv6(text) {
	if (!/^[0-9A-Fa-f:.]+$/.test(text) || !text.includes(':'))
		return false;

	try {
		return Boolean(new URL(`http://[${text}]/`));
	}
	catch {
		return false;
	}
}

/* The addresses and networks of a list, as { text, host, bits }. */
function list(value) {
	return (value?.text ?? '').split(/[\s,]+/).filter(Boolean).map((text) => {
		const [ host, bits ] = text.split('/');

		return { text, host, bits: bits === undefined ? null : Number(bits) };
	});
}

/* The first address of an IPv4 address's network (taken for a /24 if that is not known), which is usually the server's. */
function firstOf({ host, bits }) {
	const number = host.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
	const size = 2 ** (32 - (bits >= 8 && bits <= 30 ? bits : 24));
	const first = number - number % size + 1;

	return [ 24, 16, 8, 0 ].map((shift) => Math.floor(first / 2 ** shift) % 256).join('.');
}

/* HOST:PORT of a text, an IPv6 address in brackets. Throws an error that says what is wrong. */
function endpoint(text) {
	if (text.includes('://'))
		throw new Error(_('A web address is no server of a tunnel. Write only the name or address, and the port: vpn.example.org:51820'));

	const [ , bracketed, plain, port ] = text.match(/^(?:\[([^\]]*)\]|(.*)):(\d{1,5})$/) ?? [];
	const host = bracketed ?? plain;

	if (!host || port < 1 || port > 65535)
		throw new Error(_('The server has no name or address with a port, such as vpn.example.org:51820.'));

	if (/^fe[89ab][0-9a-f]:/i.test(host))
		throw new Error(_('A link-local address cannot be the address of a server on the Internet.'));

	if (plain?.includes(':') && isIpv6(text))
		throw new Error(_('It is not clear whether the end of the address is a port. Write an IPv6 address in brackets, such as [2001:db8::1]:51820.'));

	if (bracketed === undefined ? host.includes(':') && !isIpv6(host) || /[\s/]/.test(host) : !isIpv6(host))
		throw new Error(_('The server has no name or address with a port, such as vpn.example.org:51820.'));

	return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/* The sections of a text: each has its options, as { text, line }. */
function sectionsOf(text, warnings) {
	const sections = {};
	let section = null;

	text.replace(/^\ufeff/, '').split(/\r?\n/).forEach((whole, at) => {
		const bare = whole.replace(/[#;].*$/, '').trim();
		const line = at + 1;
		const title = bare.match(/^\[(.+)\]$/);
		const pair = bare.match(/^([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*)$/);

		if (title) {
			section = title[1].toLowerCase();

			if (section === 'peer' && sections.peer)
				fail(line, _('The configuration names several servers. Paste the part [Interface] and the part [Peer] of one server.'));

			sections[section] = {};
		}
		else if (pair && section) {
			const name = pair[1].toLowerCase();
			const before = sections[section][name];
			const adds = KNOWN[section]?.[name];

			if (AMNEZIA.test(name)) {
				if (!isNeutral(name, pair[2]))
					fail(line, _('%s belongs to AmneziaWG, which changes WireGuard\'s packets. millpond needs a server with WireGuard as it is.').format(pair[1]));
			}
			else if (adds === undefined)
				warnings.push(_('Line %d: %s is not known and was left out.').format(line, pair[1]));
			else
				sections[section][name] = { text: adds && before ? `${before.text}, ${pair[2]}` : pair[2], line };
		}
		else if (bare)
			fail(line, _('This is not a WireGuard configuration: "%s"').format(bare.substring(0, 12) + '…'));
	});

	return sections;
}

return baseclass.extend({
	endpoint,

	isKey(text) {
		return KEY.test(text);
	},

	/* { private_key, preshared_key, options, warnings } of a text. Throws an error that says what is wrong with the text. */
	parse(text) {
		const warnings = [];
		const { interface: own, peer } = sectionsOf(String(text), warnings);

		if (!own || !peer)
			throw new Error(_('A WireGuard configuration needs the parts [Interface] and [Peer].'));

		for (const [ name, value, needed ] of [ [ 'PrivateKey', own.privatekey ], [ 'PublicKey', peer.publickey, true ], [ 'PresharedKey', peer.presharedkey ] ]) {
			if (value?.text ? !KEY.test(value.text) : needed)
				fail(value?.line ?? 0, _('%s is not a key. Was it copied completely?').format(name));
		}

		const addresses = list(own.address);
		const address = addresses.find(({ host }) => isIpv4(host));
		const wrong = addresses.find(({ host }) => !isIpv4(host) && !isIpv6(host));

		if (wrong)
			fail(own.address.line, _('"%s" is not an address.').format(wrong.text));

		if (!address)
			fail(own.address?.line ?? 0, _('The [Interface] has no IPv4 address.'));

		let server;

		try {
			server = endpoint(peer.endpoint?.text ?? '');
		}
		catch (error) {
			fail(peer.endpoint?.line ?? 0, error.message);
		}

		const allowed = list(peer.allowedips);
		const single = allowed.find(({ host, bits }) => isIpv4(host) && bits === 32 && host !== address.host);
		const likely = single?.host ?? firstOf(address);
		const address6 = addresses.find(({ host }) => isIpv6(host) && !/^fe[89ab]/i.test(host));

		if (likely === address.host)
			warnings.push(_('The configuration does not say the server\'s address inside the tunnel: this router has the first address of its network itself. Fill it in under Tunnel. Is this the server\'s own configuration?'));

		if (allowed.some(({ bits }) => bits === 0 || bits === 1) && own.dns?.text)
			warnings.push(_('This looks like the configuration of a VPN provider. The tunnel works only if millpond runs on the server too ("millpond endpoint"), and providers do not run it: protected devices would have no Internet. Use a server of your own; its option "exit" can send everything on through the provider.'));

		return {
			private_key: own.privatekey?.text ?? '',
			preshared_key: peer.presharedkey?.text ?? '',
			warnings,
			options: {
				type: 'wireguard',
				public_key: peer.publickey.text,
				endpoint: server,
				address: address.host,
				address6: address6 && allowed.some(({ host, bits }) => host.includes(':') && bits < 2) ? address6.host : '',
				peer_address: likely === address.host ? '' : likely
			}
		};
	}
});
