// SPDX-License-Identifier: Apache-2.0
'use strict';
'require dom';
'require poll';
'require uci';
'require ui';
'require view';
'require millpond.daemon as daemon';
'require millpond.graph as graph';
'require millpond.problems as problems';
'require millpond.words as words';

/* What millpond does now, on one page. */

const SPANS = [ [ 60, _('1 minute') ], [ 300, _('5 minutes') ], [ 3600, _('1 hour') ], [ 86400, _('1 day') ] ];

function tile(name, value) {
	return E('div', [ E('dt', name), E('dd', value) ]);
}

function delay(status) {
	const seen = L.toArray(status.peers).map((peer) => words.number(peer.delay_ms?.mean)).filter((mean) => mean !== null);

	return words.delay(seen.length ? Math.max(...seen) : null);
}

/* Data of the billing period, where the daemon counts it. */
function usage({ data }) {
	if (!L.isObject(data))
		return [];

	const tiles = [ tile(_('Data this period'), words.bytes(data.used_bytes)) ];

	if (words.number(data.forecast_bytes) !== null)
		tiles.push(tile(_('Forecast'), words.bytes(data.forecast_bytes)));

	if (data.cap_bytes > 0)
		tiles.push(tile(_('Of your allowance'), '%.0f %%'.format(100 * data.used_bytes / data.cap_bytes)));

	return tiles;
}

function wireCheck(audit) {
	const good = !L.toArray(audit.faults).length;
	const text = good
		? _('%d packets seen, all %d bytes, nothing else.').format(audit.packets, audit.wire_bytes)
		: _('%d packets seen. Not as it should be: %s').format(audit.packets, L.toArray(audit.faults).join('; '));

	return [ words.badge(good ? 'success' : 'danger', good ? _('Good') : _('Look here')), ' ', text ];
}

return view.extend({
	load() {
		this.seconds = 300;

		return Promise.all([
			daemon.status(),
			daemon.history(this.seconds),
			L.resolveDefault(daemon.devices(), {}),
			L.resolveDefault(uci.load('millpond'), null)
		]);
	},

	render([ status, history, known ]) {
		const readonly = !L.hasViewPermission();

		this.top = E('div', { 'aria-live': 'polite' });
		this.tiles = E('dl', { 'class': 'millpond-tiles' });
		this.picture = E('div');
		this.check = E('div');
		this.devices = E('div');
		this.buttons = E('div', { 'class': 'millpond-row' });
		this.readonly = readonly;
		this.known = known;
		this.update(status, history);

		poll.add(() => this.refresh());

		return E([], [
			words.style(),
			E('h2', _('Millpond')),
			this.top,
			this.buttons,
			E('div', { 'class': 'cbi-section' }, [
				E('div', { 'class': 'millpond-row' }, [
					E('h3', { 'class': 'grow' }, _('The line')),
					E('label', [ _('Show the last'), ' ', E('select', {
						'class': 'cbi-input-select', 'style': 'width: auto', 'data-name': 'span',
						'change': (ev) => {
							this.seconds = Number(ev.target.value);

							return this.refresh();
						}
					}, SPANS.map(([ seconds, name ]) => E('option', { 'value': seconds, 'selected': seconds === this.seconds ? '' : null }, name))) ])
				]),
				this.picture,
				this.tiles,
				this.check
			]),
			E('div', { 'class': 'cbi-section' }, [
				E('div', { 'class': 'millpond-row' }, [
					E('h3', { 'class': 'grow' }, _('Devices')),
					E('a', { 'class': 'btn cbi-button', 'href': L.url('admin/services/millpond/devices') }, _('Choose devices'))
				]),
				this.devices
			])
		]);
	},

	refresh() {
		return Promise.all([ daemon.status(), daemon.history(this.seconds), L.resolveDefault(daemon.devices(), null) ])
			.then(([ status, history, known ]) => {
				this.known = known ?? this.known;
				this.update(status, history);
			});
	},

	update(status, history) {
		const [ style, word, sentence ] = words.state(status);
		const enabled = uci.get('millpond', 'main', 'enabled') === '1';
		const mismatch = daemon.mismatch(status);

		dom.content(this.top, [
			E('p', { 'class': 'millpond-row', 'data-state': status.failure ?? status.state }, [
				words.badge(style, word), E('span', { 'class': 'grow' }, sentence)
			]),
			mismatch ? E('div', { 'class': 'alert-message notice', 'data-mismatch': mismatch }, mismatch === 'newer'
				? _('millpond is newer than these pages. Some of it may not be shown; update luci-app-millpond.')
				: _('millpond is older than these pages. Some of it may not be shown; update millpond.')) : '',
			status.failure === 'absent' ? this.wayOut(enabled) : '',
			...problems.render(status)
		]);

		// While one of them works, the buttons stay as they are.
		if (!this.busy)
			dom.content(this.buttons, this.actions(status, enabled));

		dom.content(this.picture, history ? graph.render(history, this.seconds)
			: E('em', _('There is nothing to draw while millpond does not run.')));

		dom.content(this.tiles, status.failure ? [] : [
			tile(_('Delay now'), delay(status)),
			tile(_('On the wire'), _('%d kbit/s up, %d down').format(status.upload_kbit ?? 0, status.download_kbit ?? 0)),
			...(status.cell ? [ tile(_('Each packet'), _('%d bytes').format(status.cell.wire_bytes)) ] : []),
			tile(_('Running for'), '%t'.format(status.uptime_s ?? 0)),
			...usage(status)
		]);

		dom.content(this.check, L.isObject(status.audit) ? E('div', { 'class': 'millpond-row', 'data-name': 'audit' }, [
			E('strong', _('Last wire check')),
			E('span', { 'class': 'grow' }, wireCheck(status.audit)),
			E('button', { 'class': 'btn cbi-button', 'disabled': this.readonly ? '' : null, 'click': ui.createHandlerFn(this, 'act', () => daemon.audit()) }, _('Check again'))
		]) : []);

		dom.content(this.devices, this.glance());
	},

	/* What to do where nothing runs. */
	wayOut(enabled) {
		const complete = uci.get('millpond', 'tunnel', 'public_key') || uci.get('millpond', 'tunnel', 'profile') || uci.get('millpond', 'tunnel', 'interface');

		return E('div', { 'class': 'alert-message notice', 'data-name': 'way-out' }, [
			E('p', !complete
				? _('Two steps are left: enter the data of your server under Settings, and choose devices. Then turn millpond on.')
				: (enabled ? _('millpond is turned on but does not run. Start it; if it stops again, see the messages under Help.')
					: _('millpond is turned off. Turn it on to protect the devices that you have chosen.'))),
			E('p', E('a', { 'class': 'btn cbi-button', 'href': L.url('admin/services/millpond', complete ? 'help' : 'settings') },
				complete ? _('See the messages') : _('Go to Settings')))
		]);
	},

	actions(status, enabled) {
		const button = (name, style, text, work) => E('button', {
			'class': `btn cbi-button ${style}`, 'data-action': name,
			'disabled': this.readonly ? '' : null,
			'click': ui.createHandlerFn(this, 'act', work)
		}, text);

		return [
			enabled
				? button('disable', 'cbi-button-negative', _('Turn off'), () => this.enable('0'))
				: button('enable', 'cbi-button-positive important', _('Turn on'), () => this.enable('1')),
			status.failure === 'absent'
				? (enabled ? button('start', 'cbi-button-apply', _('Start'), () => daemon.service('start')) : '')
				: button('stop', 'cbi-button-reset', _('Stop'), () => daemon.service('stop')),
			status.failure === 'absent' ? '' : button('restart', 'cbi-button-action', _('Restart'), () => daemon.service('restart'))
		];
	},

	/* Through the settings, so that it is seen, applied and reverted as every other change. */
	enable(value) {
		uci.set('millpond', 'main', 'enabled', value);

		return uci.save().then(() => ui.changes.apply(true));
	},

	/* Does what a button is for, with all of them locked, and says it where that fails. */
	act(work) {
		this.busy = true;
		this.buttons.querySelectorAll('button').forEach((button) => { button.disabled = true; });

		return Promise.resolve().then(work).catch((error) => {
			ui.addNotification(_('That did not work'), E('p', String(error.message ?? error)), 'danger');
		}).finally(() => {
			this.busy = false;

			return this.refresh();
		});
	},

	glance() {
		const all = L.toArray(this.known?.devices);
		const count = (policy) => all.filter((device) => (device.policy ?? 'direct') === policy);

		return [ 'shape', 'block', 'direct' ].map((policy) => {
			const [ style, word ] = words.policy(policy);
			const devices = count(policy);

			return E('p', { 'class': 'millpond-row', 'data-policy': policy }, [
				words.badge(style, '%s: %d'.format(word, devices.length)),
				E('span', { 'class': 'grow' }, devices.slice(0, 12).map((device) => device.name ?? device.hostname ?? device.mac).join(', ') + (devices.length > 12 ? ' …' : ''))
			]);
		});
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
