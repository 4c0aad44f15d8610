// SPDX-License-Identifier: Apache-2.0
'use strict';
'require dom';
'require ui';
'require view';
'require millpond.daemon as daemon';
'require millpond.problems as problems';

/* Recent messages, the report for support, and the lists of hidden things, of things not hidden, and of problems. */

const HIDDEN = [
	_('When your protected devices send, how much, and whether they send at all.'),
	_('Which devices they are, how many, and which servers they talk to.')
];

const NOT_HIDDEN = [
	_('That you use millpond, and the rate of its line.'),
	_('The tunnel\'s own handshakes, about every two minutes, whatever the devices do.'),
	_('The traffic of everything that you have not chosen to protect, such as your computer and phone.'),
	_('The servers that your devices talk to: your own server and its provider see them. Choose a server that you trust more than your provider.'),
	_('The data that devices send to their makers: the camera\'s maker still has the camera\'s pictures.')
];

function save(text, name) {
	const url = URL.createObjectURL(new Blob([ text ], { type: 'text/plain' }));
	const link = E('a', { 'href': url, 'download': name });

	document.body.appendChild(link);
	link.click();
	link.remove();
	window.setTimeout(() => URL.revokeObjectURL(url), 1000);
}

return view.extend({
	load() {
		return Promise.all([ daemon.log().catch((error) => error), daemon.status() ]);
	},

	render([ log, status ]) {
		this.log = E('pre', { 'class': 'millpond-log', 'tabindex': '0', 'role': 'log', 'aria-label': _('Recent messages') });
		this.show(log);
		// The page's address may name a problem, to which the browser could not scroll before this.
		window.setTimeout(() => document.querySelector('.millpond-problem[open]')?.scrollIntoView());

		return E([], [
			E('h2', _('Help')),
			E('div', { 'class': 'cbi-section' }, [
				E('div', { 'class': 'millpond-row' }, [
					E('h3', { 'class': 'grow' }, _('Recent messages, newest first')),
					E('button', { 'class': 'btn cbi-button', 'data-action': 'reload-log', 'click': ui.createHandlerFn(this, 'reload') }, _('Refresh')),
					E('button', { 'class': 'btn cbi-button', 'data-action': 'support', 'disabled': L.hasViewPermission() ? null : '', 'click': ui.createHandlerFn(this, 'support') }, _('Download a report for support'))
				]),
				E('p', _('The report contains the settings, the state and the messages. Keys, addresses and hardware addresses are masked; read the report before you send it to anybody.')),
				this.log
			]),
			E('div', { 'class': 'cbi-section' }, [
				E('h3', _('Hidden from your provider')),
				E('ul', { 'class': 'millpond-list' }, HIDDEN.map((text) => E('li', text))),
				E('h3', _('Not hidden')),
				E('ul', { 'class': 'millpond-list' }, NOT_HIDDEN.map((text) => E('li', text)))
			]),
			E('div', { 'class': 'cbi-section' }, [
				E('h3', _('Problems and what to do')),
				...problems.help(),
				E('p', [ status.version ? _('millpond %s').format(status.version) : '' ])
			])
		]);
	},

	show(log) {
		dom.content(this.log, [ log instanceof Error
			? _('The messages cannot be read: %s').format(log.message)
			: (log.split('\n').reverse().join('\n') || _('There are no messages.')) ]);
		this.log.scrollTop = 0;
	},

	reload() {
		return daemon.log().catch((error) => error).then((log) => this.show(log));
	},

	support() {
		return daemon.support().then(
			(text) => save(text, 'millpond-support.txt'),
			(error) => ui.addNotification(_('That did not work'), E('p', [ error.message ]), 'danger'));
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
