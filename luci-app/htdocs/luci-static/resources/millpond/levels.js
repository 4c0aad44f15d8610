// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require uci';
'require ui';
'require millpond.words as words';

/* Compares the levels for this home: rate, delay, data, and rates fitted to its devices. */

const NAMES = [ ...Object.keys(words.LEVELS), 'custom' ];

/* How many periods of an allowance make the month of 30 days that costs are given for. */
const PERIODS = { day: 30, week: 30 / 7, month: 1 };

const GUARANTEES = {
	saver: _('the packets of each device wait less than the device tolerates, on average'),
	balanced: _('99 of 100 packets of each device wait less than the device tolerates'),
	strict: _('no packet waits longer than its device tolerates')
};

const CONFIDENCE = {
	none: _('Nothing has been measured in your home yet, so the delays are estimates.'),
	low: _('Measured in your home for %s: not yet reliable.'),
	fair: _('Measured in your home for %s: fairly reliable.'),
	good: _('Measured in your home for %s: reliable.')
};

const UNAVAILABLE = {
	absent: _('The delays are estimates: millpond is not running, or is too old to measure your home.'),
	denied: _('The delays are estimates: you are not allowed to see the measurements.'),
	failed: _('The delays are estimates: millpond starts to measure your home when its tunnel is up.')
};

/* [up, down] of a level in kbit/s, from the settings. */
function rates(level) {
	const [ , upload, download ] = words.LEVELS[level] ?? words.LEVELS.balanced;
	const section = uci.get('millpond', level in words.LEVELS ? level : 'main');

	return [ Number(section?.upload) || upload, Number(section?.download) || download ];
}

function both(upload, download) {
	return words.tight(_('%s kbit/s up, %s down').format(Math.round(upload), Math.round(download)));
}

function monthly(gigabytes, share, price) {
	return words.tight([
		_('%.0f GB a month').format(gigabytes),
		words.number(share) === null ? '' : _('%.0f %% of your allowance').format(share),
		price > 0 ? _('%.2f extra').format(price) : ''
	].filter(Boolean).join(', '));
}

function table(name, titles, rows) {
	return E('table', { 'class': 'table millpond-devices', 'data-name': name }, [
		E('tr', { 'class': 'tr table-titles' }, titles.map((title) => E('th', { 'class': 'th', 'scope': 'col' }, [ title ]))),
		...rows.map((cells) => E('tr', { 'class': 'tr' }, cells.map((cell, at) => E('td', { 'class': 'td', 'data-title': titles[at] }, E('div', [ cell ])))))
	]);
}

/* 99th percentile of a device's delays in ms, in the slower direction, at the measured rates at or below [up, down]. */
function slowest(device, steps, pair) {
	const delays = [ 'upload', 'download' ].map((direction, at) => {
		const step = steps.filter(({ kbit }) => kbit <= pair[at]).length - 1;

		return device[`${direction}_packets`] ? words.number(device[`${direction}_p99_ms`]?.[step]) : null;
	}).filter((delay) => delay !== null);

	return delays.length ? Math.max(...delays) : null;
}

return baseclass.extend({
	NAMES,

	/* The table of levels, with the measurements of `advise` if there are any. Choices are passed to done(settings). */
	render(advice, done) {
		const advised = L.toArray(advice.levels);
		const cap = (Number(uci.get('millpond', 'main', 'data_cap')) || 0) * (PERIODS[uci.get('millpond', 'main', 'cap_period')] ?? 1);
		const rows = NAMES.map((level) => {
			const entry = advised.find((one) => one.level === level) ?? {};
			const [ upload, download ] = rates(level);
			const estimate = words.estimate(upload, download);
			const measured = words.number(entry.delay_mean_ms) !== null;

			return [
				E('span', [
					E('strong', [ words.level(level) ]), ' ', entry.in_force ? words.badge('success', _('in force')) : '',
					E('span', { 'class': 'millpond-hint' }, [ words.LEVELS[level]?.[3] ?? _('rates of your own, for cameras that stream') ])
				]),
				both(upload, download),
				measured ? _('%s on average, nearly always under %s').format(words.delay(entry.delay_mean_ms), words.delay(entry.delay_p99_ms))
					: words.tight(_('about %.0f ms up, %.0f down').format(estimate.upload_ms, estimate.download_ms)),
				monthly(estimate.gigabytes, cap ? 100 * estimate.gigabytes / cap : null, entry.month_price),
				this.fitted(level, entry, done)
			];
		});

		return E('div', [
			table('prices', [ _('Level'), _('Rate'), _('Delay'), _('Data'), _('Fitted to your devices') ], rows),
			E('p', { 'data-name': 'confidence' }, [ advice.failure ? UNAVAILABLE[advice.failure]
				: (CONFIDENCE[advice.confidence] ?? String(advice.confidence_text ?? '')).format(words.span(Number(advice.watched_s) || 0)) ]),
			this.devices(advice)
		]);
	},

	/* The rates at which this home gets the level's guarantee. The user confirms them before they are set. */
	fitted(level, entry, done) {
		const overridden = uci.get('millpond', level)?.['.type'] === 'level';
		const locked = L.hasViewPermission() ? null : '';
		const parts = [];

		if (entry.advised_upload_kbit) {
			parts.push(both(entry.advised_upload_kbit, entry.advised_download_kbit), ': ', monthly(entry.advised_month_gb, entry.advised_cap_percent, entry.advised_month_price), ' ',
				entry.advised_saves_gb >= 0.5 ? E('span', { 'class': 'millpond-hint' }, [ words.tight(_('%.0f GB a month less than now').format(entry.advised_saves_gb)) ]) : '',
				E('button', { 'class': 'btn cbi-button', 'data-action': `fit-${level}`, 'disabled': locked, 'click': () => this.confirm(level, entry, done) }, _('Use these rates…')));
		}

		if (overridden) {
			parts.push(' ', E('button', {
				'class': 'btn cbi-button', 'data-action': `usual-${level}`, 'disabled': locked,
				'click': ui.createHandlerFn(this, () => done({ [level]: null }))
			}, _('Default rates')));
		}

		return E('span', parts.length ? parts : [ '–' ]);
	},

	confirm(level, entry, done) {
		ui.showModal(_('%s, fitted to your devices').format(words.level(level)), [
			E('p', [ _('The line will use %s (%s). According to the measurements in your home, %s.').format(
				both(entry.advised_upload_kbit, entry.advised_download_kbit),
				monthly(entry.advised_month_gb, entry.advised_cap_percent, entry.advised_month_price), GUARANTEES[level] ?? entry.guarantee) ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, _('Cancel')), ' ',
				E('button', { 'class': 'btn cbi-button cbi-button-positive', 'data-action': 'confirm-rates', 'click': ui.createHandlerFn(this, () => done({
					[level]: { upload: String(entry.advised_upload_kbit), download: String(entry.advised_download_kbit), cell: String(entry.advised_cell_bytes ?? '') }, main: { level }
				})) }, _('Choose this level with these rates'))
			])
		]).querySelector('[data-action=confirm-rates]').focus();
	},

	/* How long the packets of each measured device would wait at each level. */
	devices(advice) {
		const devices = L.toArray(advice.devices).filter((device) => device.upload_packets || device.download_packets);

		if (!devices.length)
			return '';

		return E('details', { 'data-name': 'device-delays' }, [
			E('summary', _('How long each device would wait')),
			E('p', _('99 of 100 packets wait less than this. Marked delays are longer than the device tolerates.')),
			table('delays', [ _('Device'), _('Tolerated delay'), ...NAMES.map((level) => words.level(level)) ], devices.map((device) => [
				E('strong', [ device.name ]),
				words.delay(device.tolerance_ms),
				...NAMES.map((level) => {
					const delay = slowest(device, L.toArray(advice.steps), rates(level));

					return delay > device.tolerance_ms ? words.badge('warning', _('%s: too long').format(words.delay(delay))) : words.delay(delay);
				})
			]))
		]);
	}
});
