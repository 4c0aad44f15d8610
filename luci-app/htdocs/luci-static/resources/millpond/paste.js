// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require dom';
'require ui';
'require millpond.daemon as daemon';
'require millpond.wireguard as wireguard';
'require millpond.words as words';

/* The dialogue that takes what a server handed out: an endpoint's join text, or a WireGuard configuration. */

const JOIN = /^\s*millpond\d/;

/* Why `millpond join` refuses a text, by its stable codes. */
const REFUSALS = {
	'not-join-text': _('This is not a join text. It begins with "millpond1-".'),
	'version': _('The join text was made by another version of millpond. Update millpond here or on the server, and ask for a new text.'),
	'cut': _('The join text is not complete. Copy all of it, down to its end.'),
	'altered': _('Something in the join text was changed on its way. Copy it once more.'),
	'expired': _('The join text has expired. Ask whoever looks after the server for a new one.'),
	'used': _('This router has used that join text already. Nothing was changed.'),
	'other-router': _('The join text was made for another router. Give whoever looks after the server the public key under Keys, and ask for a new text.'),
	'no-key': _('The join text needs a key that this router has to make. Make a pair under Keys, apply it, and give the public key to whoever looks after the server.'),
	'older': _('This millpond is too old for join texts. Update it, or paste a WireGuard configuration.')
};

/* Where the text came from the router: what it says, or why not. */
function checked(answer) {
	if (answer.code || answer.error)
		throw new Error(REFUSALS[answer.code] ?? answer.error);

	return answer;
}

/* { lines, warnings, take } of a join text. `take` keeps its keys and gives { public_key, settings }. */
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
				[ _('To be used until'), found.expires_s ? new Date(found.expires_s * 1000).toLocaleString() : '' ],
				[ _('Keys'), found.made_by === 'router' ? _('the pair that this router has made') : _('a pair that the server has made') ]
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
			[ _('This router\'s address inside the tunnel'), options.address ],
			[ _('The server\'s address inside the tunnel'), options.peer_address ],
			[ _('Keys'), found.private_key ? _('the pair in the configuration') : _('the pair that this router has made') ]
		],
		warnings: [],
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
	/* Asks for the text, says what is in it, and calls done({ public_key, settings }) once that is confirmed. */
	open(done) {
		const text = E('textarea', {
			'class': 'cbi-input-textarea', 'rows': 10, 'style': 'width: 100%', 'spellcheck': 'false', 'autocomplete': 'off',
			'aria-label': _('Join text or WireGuard configuration')
		});
		const fault = E('p', { 'role': 'alert' });
		const body = E('div', [ text, fault ]);
		const next = E('div', { 'style': 'display: inline' });
		const button = (name, title, work) => E('button', {
			'class': 'btn cbi-button cbi-button-positive', 'data-action': name,
			'click': ui.createHandlerFn(this, () => Promise.resolve().then(work).catch((error) => dom.content(fault, [ String(error.message ?? error) ])))
		}, title);
		const show = (found) => {
			text.value = '';
			dom.content(body, [
				E('p', _('This is in it:')),
				E('dl', { 'class': 'millpond-facts' }, found.lines.filter(([ , value ]) => value).map(([ name, value ]) => E('div', [ E('dt', [ name ]), E('dd', [ value ]) ]))),
				...found.warnings.map((warning) => E('p', { 'class': 'alert-message warning' }, [ warning ])),
				fault
			]);
			dom.content(fault, []);
			dom.content(next, button('take', _('Take it over'), () => found.take().then(done)));
			next.firstChild.focus();
		};

		dom.content(next, button('read', _('Continue'), () => Promise.resolve((JOIN.test(text.value) ? readJoin : readWireguard)(text.value)).then(show)));
		ui.showModal(_('Paste what the server gave you'), [
			E('p', _('A join text ("millpond1-…") or a WireGuard configuration. Secret keys in it are kept in files on the router and not shown again.')),
			body,
			E('div', { 'class': 'right' }, [ E('button', { 'class': 'btn', 'click': ui.hideModal }, _('Cancel')), ' ', next ])
		]);
		text.focus();
	}
});
