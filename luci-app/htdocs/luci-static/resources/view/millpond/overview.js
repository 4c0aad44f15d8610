// SPDX-License-Identifier: Apache-2.0
'use strict';
'require dom';
'require poll';
'require uci';
'require ui';
'require view';
'require millpond.choices as choices';
'require millpond.daemon as daemon';
'require millpond.graph as graph';
'require millpond.headline as headline';
'require millpond.problems as problems';
'require millpond.words as words';

/* The present state of millpond on one page. */

const SPANS = [ [ 60, _('1 minute') ], [ 300, _('5 minutes') ], [ 3600, _('1 hour') ], [ 86400, _('1 day') ] ];

function tile(name, value, hint) {
	return E('div', [ E('dt', [ name ]), E('dd', [ value, hint ? E('span', { 'class': 'millpond-hint' }, [ hint ]) : '' ]) ]);
}

function delay(status) {
	const means = L.toArray(status.peers).map((peer) => words.number(peer.delay_ms?.mean)).filter((mean) => mean !== null);

	return words.delay(means.length ? Math.max(...means) : null);
}

/* Tiles with the data of the billing period, if the daemon counts it. */
function usage({ data }) {
	if (!L.isObject(data))
		return [];

	const share = (bytes, percent) => data.cap_bytes > 0
		? words.tight(_('%.0f %% of your allowance').format(words.number(percent) ?? 100 * bytes / data.cap_bytes)) : '';
	const tiles = [ tile(_('Data this period'), words.bytes(data.used_bytes), share(data.used_bytes, data.share_percent)) ];

	if (words.number(data.forecast_bytes) !== null) {
		const end = data.until_unix ? _('Forecast to %s').format(new Date(data.until_unix * 1000).toLocaleDateString(undefined, { day: 'numeric', month: 'short' })) : _('Forecast');

		tiles.push(tile(end, words.bytes(data.forecast_bytes), share(data.forecast_bytes, data.forecast_percent)));
	}

	if (data.forecast_price > 0)
		tiles.push(tile(_('Beyond the allowance'), _('%.2f extra').format(data.forecast_price)));

	return tiles;
}

/* The result of the last check of the wire. */
function wireCheck(audit) {
	if (words.number(audit?.packets) === null || !audit.wire_bytes)
		return [ audit?.running ? '' : _('No check has run yet.') ];

	const faults = L.toArray(audit.faults);
	const text = faults.length
		? _('%s packets seen. Faults: %s').format(audit.packets.toLocaleString(), faults.join('; '))
		: _('%s packets seen, all %d bytes, nothing else.').format(audit.packets.toLocaleString(), audit.wire_bytes);

	return [ words.badge(faults.length ? 'important' : 'success', faults.length ? _('Needs attention') : _('Good')), ' ', text, ` (${words.ago(audit.age_s)})` ];
}

/* How long the lateness of the cells keeps the home's secret: at least the time for the peer that is seen through first. */
function watching({ peers }) {
	const days = L.toArray(peers).map((peer) => words.number(peer.min_watch_days)).filter((least) => least !== null);

	return days.length ? [ E('span', { 'class': 'millpond-hint', 'data-name': 'watching' },
		[ ' ', _('It takes at least %s of watching to tell a busy home from an idle one.').format(words.span(86400 * Math.min(...days))) ]) ] : [];
}

/* What bursts show, in numbers that are never rounded in favour of millpond. */
function bursts({ burst }) {
	if (!burst)
		return '';

	const text = burst.bursts_a_day === undefined ? _('How often the devices need a burst is not known yet.') : [
		_('Of the %d bursts that your provider sees on an ordinary day, %d are decoys.').format(burst.bursts_a_day, burst.decoys_a_day),
		_('From a burst it cannot be surer than %s that something happened; after one as long as the events here (%s), not surer than %s.').format(percent(burst.burst_percent), words.span(burst.event_s), percent(burst.event_percent)),
		_('From a quiet slot it cannot be surer than %s that nothing happened.').format(percent(burst.quiet_percent))
	].join(' ');

	return E('p', { 'class': 'millpond-hint', 'data-name': 'bursts' }, [ text ]);
}

/* Rounded up, to thousandths only where whole percents would say "certain". */
function percent(value) {
	return `${value > 99 ? value.toFixed(3) : Math.ceil(value)}\u00a0%`;
}

/* Why the level in force differs from the level of the settings. */
function reason(status) {
	return { 'schedule': _('by the schedule'), 'cap-day': _('to save data'), 'wan': _('for the line in use (%s)').format(status.wan) }[status.level_by];
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
		this.meaning = E('p', { 'class': 'millpond-hint' });
		this.readonly = readonly;
		this.known = known;
		this.update(status, history);

		poll.add(() => this.refresh());

		return E([], [
			E('h2', _('Millpond')),
			this.top,
			this.buttons,
			this.meaning,
			E('div', { 'class': 'cbi-section' }, [
				E('div', { 'class': 'millpond-row' }, [
					E('h3', { 'class': 'grow' }, _('The line')),
					E('label', [ _('Show the last'), ' ', E('select', {
						'class': 'cbi-input-select', 'style': 'width: auto', 'data-name': 'span',
						'change': (ev) => {
							this.seconds = Number(ev.target.value);

							return this.refresh();
						}
					}, SPANS.map(([ seconds, name ]) => E('option', { 'value': seconds, 'selected': seconds === this.seconds ? '' : null }, [ name ]))) ])
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
		const round = this.round = (this.round ?? 0) + 1;

		return Promise.all([ daemon.status(), daemon.history(this.seconds), L.resolveDefault(daemon.devices(), null) ])
			.then(([ status, history, known ]) => {
				// An answer that comes late must not replace a newer one.
				if (round < (this.shown ?? 0))
					return;

				this.shown = round;
				this.known = known ?? this.known;
				this.update(status, history);
			});
	},

	update(status, history) {
		const home = choices.summary();
		const { name, style, word, text } = headline.of(status, home);
		const mismatch = daemon.mismatch(status);

		dom.content(this.top, [
			E('p', { 'class': 'millpond-row', 'data-state': status.failure ?? status.state, 'data-headline': name }, [
				words.badge(style, word), E('span', { 'class': 'grow' }, [ text ])
			]),
			mismatch ? E('div', { 'class': 'alert-message notice', 'data-mismatch': mismatch }, mismatch === 'newer'
				? _('millpond is newer than these pages. Some information may be missing; update luci-app-millpond.')
				: _('millpond is older than these pages. Some information may be missing; update millpond.')) : '',
			bursts(status),
			status.failure === 'absent' ? this.wayOut(home) : '',
			...problems.render(status)
		]);

		// While the action of a button runs, the buttons stay as they are.
		if (!this.busy)
			dom.content(this.buttons, this.actions(status, home.enabled));

		dom.content(this.meaning, status.failure ? [] : [ _('Turned off: your devices work as they would without millpond. Stopped: protected devices have no Internet until you start millpond again.') ]);

		dom.content(this.picture, history ? graph.render(history, this.seconds)
			: E('em', _('There is no graph while millpond is not running.')));

		dom.content(this.tiles, status.failure ? [] : [
			tile(_('Delay now'), delay(status)),
			...(status.level ? [ tile(_('Level'), words.level(status.level), reason(status)) ] : []),
			tile(_('On the wire'), _('%d kbit/s up').format(status.upload_kbit ?? 0), _('%d kbit/s down').format(status.download_kbit ?? 0)),
			...(status.cell ? [ tile(_('Each packet'), _('%d bytes').format(status.cell.wire_bytes)) ] : []),
			tile(_('Running for'), words.span(status.uptime_s ?? 0)),
			...usage(status)
		]);

		dom.content(this.check, status.failure ? [] : this.wire(status));
		dom.content(this.devices, this.glance(status, home));
	},

	/* The last check, with a button for another. A daemon without `audit` and `level_by` is too old for checks. */
	wire(status) {
		const running = status.audit?.running;

		if (!L.isObject(status.audit) && status.level_by === undefined)
			return E('p', { 'data-name': 'no-audit' }, _('This version of millpond is too old to check its line and to count its data.'));

		return E('div', { 'class': 'millpond-row', 'data-name': 'audit' }, [
			E('strong', { 'class': 'head' }, _('Last check of the wire')),
			E('span', { 'class': 'grow' }, [ ...wireCheck(status.audit), ...watching(status) ]),
			running ? E('em', { 'class': 'spinning' }, _('A check is running.')) : '',
			E('button', {
				'class': 'btn cbi-button', 'data-action': 'audit', 'disabled': this.readonly || running || this.busy ? '' : null,
				'click': ui.createHandlerFn(this, 'act', () => daemon.audit())
			}, _('Check again'))
		]);
	},

	/* What to do while the daemon is not running. */
	wayOut({ enabled, complete }) {
		return E('div', { 'class': 'alert-message notice', 'data-name': 'way-out' }, [
			E('p', [ !complete
				? _('Two steps are left: enter the data of your server under Settings, and choose devices. Then turn millpond on.')
				: (enabled ? _('millpond is turned on but not running. Start it; if it stops again, see the messages under Help.')
					: _('millpond is turned off. Turn it on to protect the devices that you have chosen.')) ]),
			E('p', [ E('a', { 'class': 'btn cbi-button', 'href': L.url('admin/services/millpond', complete ? 'help' : 'settings') },
				[ complete ? _('See the messages') : _('Go to Settings') ]) ])
		]);
	},

	actions(status, enabled) {
		const button = (name, style, text, action) => E('button', {
			'class': `btn cbi-button ${style}`, 'data-action': name,
			'disabled': this.readonly ? '' : null,
			'click': ui.createHandlerFn(this, 'act', action)
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

	/* Goes through the settings, so that LuCI shows, applies and reverts it like any other change. The service follows only while procd knows it, so the page calls it, too. */
	enable(value) {
		const follow = () => daemon.service('reload').catch((error) => this.report(error));

		uci.set('millpond', 'main', 'enabled', value);
		document.addEventListener('uci-applied', follow, { once: true });

		return Promise.resolve(value === '1' ? daemon.service('enable') : null).then(() => uci.save()).then(() => ui.changes.apply(true));
	},

	report(error) {
		ui.addNotification(_('That did not work'), E('p', [ String(error.message ?? error) ]), 'danger');
	},

	/* Runs a button's action with all buttons locked, and shows a notice if it fails. */
	act(action) {
		this.busy = true;
		[ this.buttons, this.check ].forEach((node) => node.querySelectorAll('button').forEach((button) => { button.disabled = true; }));

		return Promise.resolve().then(action).catch((error) => this.report(error)).finally(() => {
			this.busy = false;

			return this.refresh();
		});
	},

	glance(status, { enabled }) {
		const all = choices.merge(this.known ?? {});
		const withPolicy = (policy) => all.filter((device) => choices.policy(device) === policy);
		const note = enabled ? _('The choices in the settings. The guard holds them while millpond is not running.')
			: _('The choices in the settings. They apply when millpond is turned on.');

		return [ status.failure === 'absent' ? E('p', { 'class': 'millpond-hint', 'data-name': 'by-settings' }, [ note ]) : '', ...[ 'shape', 'block', 'direct' ].map((policy) => {
			const [ style, , word ] = words.policy(policy);
			const devices = withPolicy(policy);

			return E('p', { 'class': 'millpond-row', 'data-policy': policy }, [
				words.badge(devices.length ? style : '', '%s: %d'.format(word, devices.length)),
				E('span', { 'class': 'grow' }, [ policy === 'shape' && !devices.length ? _('None yet. Choose the devices that you want to hide.') : '', devices.slice(0, 12).map((device) => device.title).join(', ') + (devices.length > 12 ? ' …' : '') ])
			]);
		}) ];
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
