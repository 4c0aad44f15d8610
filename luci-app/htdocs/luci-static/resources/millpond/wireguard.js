// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

/* Reads a WireGuard configuration in the format of wg-quick, as operators of servers provide it. */

const KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/* The first value of an option that may be a list. */
function first(values) {
	return String(values ?? '').split(',')[0].trim();
}

/* The first address of an address's network (taken for a /24), which is usually the server's. */
function serverOf(address) {
	const host = first(address).split('/')[0];

	return /^\d+\.\d+\.\d+\.\d+$/.test(host) ? host.replace(/\d+$/, '1') : '';
}

return baseclass.extend({
	isKey(text) {
		return KEY.test(text);
	},

	/* { private_key, preshared_key, options } of a text. Throws an error that says what is wrong with the text. */
	parse(text) {
		const sections = {};
		let section = null;

		for (const line of String(text).split(/\r?\n/)) {
			const bare = line.replace(/[#;].*$/, '').trim();
			const title = bare.match(/^\[(.+)\]$/);
			const pair = bare.match(/^([A-Za-z]+)\s*=\s*(.+)$/);

			if (title) {
				section = title[1].toLowerCase();

				if (section === 'peer' && sections.peer)
					throw new Error(_('The configuration names several servers. Paste the part [Interface] and the part [Peer] of one server.'));

				sections[section] = {};
			}
			else if (pair && section)
				sections[section][pair[1].toLowerCase()] = pair[2].trim();
			else if (bare)
				throw new Error(_('This is not a WireGuard configuration: "%s"').format(bare.substring(0, 12) + '…'));
		}

		const { interface: own, peer } = sections;

		if (!own || !peer)
			throw new Error(_('A WireGuard configuration needs the parts [Interface] and [Peer].'));

		for (const [ name, value, needed ] of [ [ 'PrivateKey', own.privatekey ], [ 'PublicKey', peer.publickey, true ], [ 'PresharedKey', peer.presharedkey ] ]) {
			if (value ? !KEY.test(value) : needed)
				throw new Error(_('%s is not a key. Was it copied completely?').format(name));
		}

		const address = first(own.address).split('/')[0];

		if (!/^\d+\.\d+\.\d+\.\d+$/.test(address))
			throw new Error(_('The [Interface] has no IPv4 address.'));

		if (!/^(.+):(\d+)$/.test(peer.endpoint ?? ''))
			throw new Error(_('The [Peer] has no Endpoint with a port, such as vpn.example.org:51820.'));

		const single = String(peer.allowedips ?? '').match(/(\d+\.\d+\.\d+\.\d+)\/32/);

		return {
			private_key: own.privatekey ?? '',
			preshared_key: peer.presharedkey ?? '',
			options: {
				type: 'wireguard',
				public_key: peer.publickey,
				endpoint: peer.endpoint,
				address,
				peer_address: single ? single[1] : serverOf(own.address)
			}
		};
	}
});
