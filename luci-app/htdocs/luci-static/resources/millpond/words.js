// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

/* Texts that several pages share, and the calculations behind them. */

/* Style of the label, name of the choice, and what devices with this choice are called. */
const POLICIES = {
	shape: [ 'success', _('Protect'), _('Protected') ],
	block: [ 'warning', _('Keep at home'), _('Kept at home') ],
	direct: [ '', _('Leave alone'), _('Left alone') ]
};

/* Name, default kbit/s up and down (docs/configuration.md, "Levels"), and for whom the level is. */
const LEVELS = {
	saver: [ _('Saver'), 30, 30, _('plugs, lamps, sensors') ],
	balanced: [ _('Balanced'), 80, 160, _('and a speaker') ],
	strict: [ _('Strict'), 160, 320, _('and a doorbell') ]
};

/* Bytes of a packet on the wire: WireGuard over IPv4, with the default limit of 512. */
const CELL_BYTES = 508;
const DAYS = 30;

const SPANS = [ [ 86400, _('%d day'), _('%d days') ], [ 3600, _('%d hour'), _('%d hours') ], [ 60, _('%d minute'), _('%d minutes') ], [ 1, _('%d second'), _('%d seconds') ] ];

function number(value) {
	return Number.isFinite(value) ? value : null;
}

/* No-break spaces between numbers and their units. */
function tight(text) {
	return text.replace(/(\d) (?=%|[kMGT]?B\b|m?s\b|[kM]bit)/g, '$1\u00a0');
}

/* A number in the largest unit that fits, with at least two digits. Each of the units is 1000 times the one before. */
function scaled(value, units) {
	let step = 0;

	for (; value >= 1000 && step < units.length - 1; step++)
		value /= 1000;

	return `${value.toFixed(value < 10 && step ? 1 : 0)}\u00a0${units[step]}`;
}

/* Characters that control a terminal, or reverse the text around them (the daemon's config/printable.rs). */
const UNPRINTABLE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

/* The stylesheet of all pages, loaded once. */
if (!document.querySelector('link[data-name=millpond-style]'))
	document.head.appendChild(E('link', { 'rel': 'stylesheet', 'href': L.resource('millpond/millpond.css'), 'data-name': 'millpond-style' }));

return baseclass.extend({
	LEVELS,
	number,
	tight,

	/* A name that somebody else chose, with such characters as \u{202e}. */
	printable(text) {
		return String(text).replace(UNPRINTABLE, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
	},

	level(name) {
		return name === 'off' ? _('Off') : (LEVELS[name]?.[0] ?? _('Custom'));
	},

	policy(name) {
		return POLICIES[name] ?? [ '', name ?? '?', name ?? '?' ];
	},

	bytes(value) {
		return number(value) === null ? '–' : scaled(value, [ 'B', 'kB', 'MB', 'GB', 'TB' ]);
	},

	rate(bytes) {
		return number(bytes) === null ? '–' : scaled(bytes * 8 / 1000, [ 'kbit/s', 'Mbit/s', 'Gbit/s' ]);
	},

	delay(milliseconds) {
		if (number(milliseconds) === null)
			return '–';

		return tight(milliseconds < 1000 ? _('%.0f ms').format(milliseconds) : _('%.1f s').format(milliseconds / 1000));
	},

	ago(seconds) {
		if (number(seconds) === null)
			return '–';

		return seconds < 60 ? _('just now') : _('%s ago').format(this.span(seconds));
	},

	/* A duration in the largest unit of which it has at least two. */
	span(seconds) {
		const [ size, one, many ] = SPANS.find(([ least ]) => seconds >= 2 * least) ?? SPANS.at(-1);
		const count = Math.floor(seconds / size);

		return (count === 1 ? one : many).format(count);
	},

	/* Estimates for a pair of rates in kbit/s: GB in 30 days, and the mean delay of a small packet up and down. */
	estimate(upload, download) {
		const wait = (kbit) => CELL_BYTES * 8 / kbit * 0.56;

		return {
			gigabytes: (upload + download) * 1000 / 8 * 86400 * DAYS / 1e9,
			upload_ms: wait(upload),
			download_ms: wait(download)
		};
	},

	/* A label in LuCI's style. */
	badge(style, text) {
		return E('span', { 'class': `label millpond-badge ${style}` }, [ text ]);
	}
});
