// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require uci';
'require ui';
'require millpond.words as words';

/* What each level of the knob costs and does to this home, before one is chosen. */

const NAMES = [ ...Object.keys(words.LEVELS), 'custom' ];

const GUARANTEES = {
	saver: _('each device waits less than it can bear, on average'),
	balanced: _('of each device\'s packets, 99 in 100 wait less than it can bear'),
	strict: _('no packet waits longer than its device can bear')
};

const CONFIDENCE = {
	none: _('Nothing has been watched in your home yet, so the delays are estimates.'),
	low: _('Watched in your home for %s: still too short to rely on.'),
	fair: _('Watched in your home for %s: fairly reliable.'),
	good: _('Watched in your home for %s: reliable.')
};

const UNAVAILABLE = {
	absent: _('The delays are estimates: millpond does not run, or is too old to watch your home.'),
	denied: _('The delays are estimates: you may not see what was watched in your home.'),
	failed: _('The delays are estimates: millpond watches your home once its tunnel has stood.')
};

/* [up, down] in kbit/s as the settings have them. */
function rates(level) {
	const [ name, upload, download ] = words.LEVELS[level] ?? [ null, 160, 320 ];
	const section = uci.get('millpond', name ? level : 'main');

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

/* The longest of 99 in 100 packets of a device, the slower direction, at the ladder's step at or below a pair of rates. */
function slowest(device, steps, pair) {
	const delays = [ 'upload', 'download' ].map((direction, at) => {
		const step = steps.filter(({ kbit }) => kbit <= pair[at]).length - 1;

		return device[`${direction}_packets`] ? words.number(device[`${direction}_p99_ms`]?.[step]) : null;
	}).filter((delay) => delay !== null);

	return delays.length ? Math.max(...delays) : null;
}

return baseclass.extend({
	NAMES,

	/* The table of levels, from `advise` where there is an answer; done(settings) takes what is chosen in it. */
	render(advice, done) {
		const watched = L.toArray(advice.levels);
		const cap = Number(uci.get('millpond', 'main', 'data_cap')) || 0;
		const rows = NAMES.map((level) => {
			const seen = watched.find((entry) => entry.level === level) ?? {};
			const [ upload, download ] = rates(level);
			const guess = words.price(upload, download);
			const measured = words.number(seen.delay_mean_ms) !== null;

			return [
				E('span', [ E('strong', [ words.level(level) ]), ' ', seen.in_force ? words.badge('success', _('in force')) : '' ]),
				both(upload, download),
				measured ? _('%s on average, nearly always under %s').format(words.delay(seen.delay_mean_ms), words.delay(seen.delay_p99_ms))
					: words.tight(_('about %.0f ms up, %.0f down').format(guess.upload_ms, guess.download_ms)),
				monthly(guess.gigabytes, cap ? 100 * guess.gigabytes / cap : null, seen.month_price),
				this.fitted(level, seen, done)
			];
		});

		return E('div', [
			table('prices', [ _('Level'), _('Rate'), _('Delay'), _('Data'), _('Fitted to your devices') ], rows),
			E('p', { 'data-name': 'confidence' }, [ advice.failure ? UNAVAILABLE[advice.failure]
				: (CONFIDENCE[advice.confidence] ?? String(advice.confidence_text ?? '')).format(words.span(Number(advice.watched_s) || 0)) ]),
			this.devices(advice)
		]);
	},

	/* The rates that this home needs for what a level promises; chosen only when that is confirmed. */
	fitted(level, seen, done) {
		const own = uci.get('millpond', level)?.['.type'] === 'level';
		const locked = L.hasViewPermission() ? null : '';
		const parts = [];

		if (seen.advised_upload_kbit) {
			parts.push(both(seen.advised_upload_kbit, seen.advised_download_kbit), ': ', monthly(seen.advised_month_gb, seen.advised_cap_percent, seen.advised_month_price), ' ',
				E('button', { 'class': 'btn cbi-button', 'data-action': `fit-${level}`, 'disabled': locked, 'click': () => this.confirm(level, seen, done) }, _('Use these…')));
		}

		if (own) {
			parts.push(' ', E('button', {
				'class': 'btn cbi-button', 'data-action': `usual-${level}`, 'disabled': locked,
				'click': ui.createHandlerFn(this, () => done({ [level]: null }))
			}, _('Usual rates')));
		}

		return E('span', parts.length ? parts : [ '–' ]);
	},

	confirm(level, seen, done) {
		ui.showModal(_('%s, fitted to your devices').format(words.level(level)), [
			E('p', [ _('The line will have %s, which is %s. Then %s, as far as your home was watched.').format(
				both(seen.advised_upload_kbit, seen.advised_download_kbit),
				monthly(seen.advised_month_gb, seen.advised_cap_percent, seen.advised_month_price), GUARANTEES[level] ?? seen.guarantee) ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, _('Cancel')), ' ',
				E('button', { 'class': 'btn cbi-button cbi-button-positive', 'data-action': 'confirm-rates', 'click': ui.createHandlerFn(this, () => done({
					[level]: { upload: String(seen.advised_upload_kbit), download: String(seen.advised_download_kbit) }, main: { level }
				})) }, _('Choose this level with these rates'))
			])
		]).querySelector('[data-action=confirm-rates]').focus();
	},

	/* How long each watched device's packets would wait at each level. */
	devices(advice) {
		const devices = L.toArray(advice.devices).filter((device) => device.upload_packets || device.download_packets);

		if (!devices.length)
			return '';

		return E('details', { 'data-name': 'device-delays' }, [
			E('summary', _('How long each device would wait')),
			E('p', _('Of 100 packets, 99 wait less than this. Marked: longer than the device can bear.')),
			table('delays', [ _('Device'), _('Can bear'), ...NAMES.map((level) => words.level(level)) ], devices.map((device) => [
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
