// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require dom';
'require ui';
'require millpond.daemon as daemon';
'require millpond.wireguard as wireguard';
'require millpond.words as words';

/* The dialogue for the text from a server: an endpoint's join text, or a WireGuard configuration. */

const JOIN = /^\s*millpond\d/;

/* Why `millpond join` refuses a text, by stable error codes. 'older' comes from this application's rpcd object. */
const REFUSALS = {
	'not-join-text': _('This is not a join text. A join text begins with "millpond1-".'),
	'version': _('The join text was made by another version of millpond. Update millpond here or on the server, and ask for a new text.'),
	'cut': _('The join text is incomplete. Copy all of it.'),
	'altered': _('The join text was changed on the way. Copy it again.'),
	'expired': _('The join text has expired. Ask the server\'s operator for a new one.'),
	'used': _('This router has already used this join text. Nothing was changed.'),
	'other-router': _('The join text was made for another router. Give the server\'s operator the public key under Keys, and ask for a new text.'),
	'no-key': _('The join text needs a key of this router. Make a pair of keys under Keys, apply it, and give the public key to the server\'s operator.'),
	'older': _('This version of millpond is too old for join texts. Update it, or paste a WireGuard configuration.')
};

/* Passes the router's answer on, or throws the reason for a refusal. */
function checked(answer) {
	if (answer.code || answer.error)
		throw new Error(REFUSALS[answer.code] ?? answer.error);

	return answer;
}

/* { lines, warnings, take } of a join text. take() makes the router keep the keys; it gives { public_key, settings }. */
function readJoin(text) {
	const bare = text.replace(/\s+/g, '');

	return daemon.readJoin(bare).then(checked).then((found) => {
		const { tunnel = {}, dns = {} } = found.settings;

		return {
			lines: [
				[ _('Name of this home'), found.name ],
				[ _('Server'), [ tunnel.endpoint, ...L.toArray(tunnel.backup).map((line) => line.split(' ')[0]) ].join(', ') ],
				[ _('This router\'s address inside the tunnel'), [ tunnel.address, tunnel.address6 ].filter(Boolean).join(', ') ],
				[ _('Names (DNS)'), L.toArray(dns.server).join(', ') ],
				[ _('The server sends at most'), found.max_download_kbit ? words.rate(found.max_download_kbit * 125) : '' ],
				[ _('Use before'), found.expires_s ? new Date(found.expires_s * 1000).toLocaleString() : '' ],
				[ _('Keys'), found.made_by === 'router' ? _('the pair that this router made') : _('a pair that the server made') ]
			],
			warnings: L.toArray(found.warnings),
			take: () => daemon.keepJoin(bare).then(checked)
		};
	});
}

function readWireguard(text) {
	const found = wireguard.parse(text);
	const { options } = found;

	return {
		lines: [
			[ _('Server'), options.endpoint ],
			[ _('This router\'s address inside the tunnel'), [ options.address, options.address6 ].filter(Boolean).join(', ') ],
			[ _('The server\'s address inside the tunnel'), options.peer_address ],
			[ _('Keys'), found.private_key ? _('the pair in the configuration') : _('the pair that this router made') ]
		],
		warnings: found.warnings,
		take: () => (found.private_key ? daemon.keepKeys(found.private_key, found.preshared_key).then(checked) : Promise.resolve({})).then((kept) => ({
			public_key: kept.public_key,
			settings: { tunnel: {
				...options,
				...(kept.private_key_file ? { private_key: kept.private_key_file, join_key: '', preshared_key: kept.preshared_key_file } : {})
			} }
		}))
	};
}

return baseclass.extend({
	/* Asks for the text, shows its contents, and calls done({ public_key, settings }) when the user confirms them. */
	open(done) {
		const text = E('textarea', {
			'class': 'cbi-input-textarea', 'rows': 10, 'style': 'width: 100%', 'spellcheck': 'false', 'autocomplete': 'off',
			'aria-label': _('Join text or WireGuard configuration')
		});
		const failure = E('p', { 'role': 'alert' });
		const body = E('div', [ text, failure ]);
		const next = E('div', { 'style': 'display: inline' });
		const button = (name, title, work) => E('button', {
			'class': 'btn cbi-button cbi-button-positive', 'data-action': name,
			'click': ui.createHandlerFn(this, () => Promise.resolve().then(work).catch((error) => dom.content(failure, [ String(error.message ?? error) ])))
		}, title);
		const show = (found) => {
			text.value = '';
			dom.content(body, [
				E('p', _('The text contains:')),
				E('dl', { 'class': 'millpond-facts' }, found.lines.filter(([ , value ]) => value).map(([ name, value ]) => E('div', [ E('dt', [ name ]), E('dd', [ value ]) ]))),
				...found.warnings.map((warning) => E('p', { 'class': 'alert-message warning' }, [ warning ])),
				failure
			]);
			dom.content(failure, []);
			dom.content(next, button('take', _('Use these settings'), () => found.take().then(done)));
			next.firstChild.focus();
		};

		dom.content(next, button('read', _('Continue'), () => Promise.resolve((JOIN.test(text.value) ? readJoin : readWireguard)(text.value)).then(show)));
		ui.showModal(_('Paste the text from the server'), [
			E('p', _('Paste a join text ("millpond1-…") or a WireGuard configuration. The router keeps the secret keys in files and does not show them again.')),
			body,
			E('div', { 'class': 'right' }, [ E('button', { 'class': 'btn', 'click': ui.hideModal }, _('Cancel')), ' ', next ])
		]);
		text.focus();
	}
});
