// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

/* Texts that several pages share, and the calculations behind them. */

const STATES = {
	starting: [ 'notice', _('Starting'), _('The tunnel is starting. Until it is up, protected devices have no Internet.') ],
	shaping: [ 'success', _('Protected'), _('Your provider sees the same flat line whatever happens at home.') ],
	degraded: [ 'warning', _('No answer'), _('Your provider still sees the flat line, but the server does not answer. Protected devices wait.') ],
	paused: [ 'notice', _('Paused'), _('The schedule has turned the flat line off: nothing is hidden until the schedule turns it on again.') ],
	blocked: [ 'danger', _('Closed'), _('There is no tunnel, so protected devices have no Internet. They cannot send outside the tunnel.') ]
};

/* Style of the label, name of the choice, and what devices with this choice are called. */
const POLICIES = {
	shape: [ 'success', _('Protect'), _('Protected') ],
	block: [ 'warning', _('Keep at home'), _('Kept at home') ],
	direct: [ '', _('Leave alone'), _('Left alone') ]
};

/* Name, and default kbit/s up and down (docs/configuration.md, "Levels"). */
const LEVELS = {
	saver: [ _('Saver'), 80, 160 ],
	balanced: [ _('Balanced'), 160, 320 ],
	strict: [ _('Strict'), 320, 640 ]
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

return baseclass.extend({
	LEVELS,
	number,
	tight,

	/* A name that somebody else chose, with such characters as \u{202e}. */
	printable(text) {
		return String(text).replace(UNPRINTABLE, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
	},

	/* [style of the label, word, sentence] for a status. */
	state(status) {
		if (status.failure === 'absent')
			return [ '', _('Off'), _('millpond is not running. If it was stopped, protected devices have no Internet until it runs again.') ];

		if (status.failure === 'denied')
			return [ 'warning', _('Not shown'), _('You are not allowed to see what millpond does. Ask this router\'s administrator.') ];

		if (status.failure)
			return [ 'warning', _('Unknown'), _('The state cannot be read: %s').format(status.text) ];

		return STATES[status.state] ?? [ 'notice', String(status.state ?? '?'), _('These pages do not know this state of millpond.') ];
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
	},

	/* Styles that LuCI's themes lack. Colours come from the theme if it defines them. */
	style() {
		return E('style', [ `
.label.millpond-badge { font-size: 1em; white-space: nowrap; margin: 0 }
.millpond-row { display: flex; flex-wrap: wrap; gap: .5em 1em; align-items: center; margin: .5em 0 }
.millpond-row > .grow { flex: 1 1 16em }
.millpond-text::first-letter { text-transform: uppercase }
.millpond-list li { color: inherit }
.millpond-tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9em, 1fr)); gap: .75em; margin: 1em 0 }
.millpond-tiles > div { border: 1px solid var(--border-color-medium, #8884); border-radius: 4px; padding: .5em .75em }
.millpond-tiles dt { font-weight: normal; opacity: .8 }
.millpond-tiles dd { margin: 0; font-size: 1.15em; overflow-wrap: anywhere }
.millpond-graph { width: 100%; height: auto; display: block; color: inherit }
.millpond-graph .up { stroke: #2f7ed8; stroke-dasharray: none }
.millpond-graph .down { stroke: #d9601a; stroke-dasharray: 7 2 }
.millpond-graph polyline { vector-effect: non-scaling-stroke }
.millpond-graph text { fill: currentColor; font-size: 12px }
@media (min-width: 1000px) { .millpond-graph text { font-size: 9.5px } }
.millpond-graph .grid { stroke: currentColor; opacity: .25 }
.millpond-key::before { content: ''; display: inline-block; width: 2em; border-top: 3px solid #2f7ed8; margin-right: .4em; vertical-align: middle }
.millpond-key.down::before { border-top: 3px dashed #d9601a }
.millpond-devices select { min-width: 9em; width: auto; max-width: 100% }
.table.millpond-devices td { overflow-wrap: anywhere; vertical-align: top }
.millpond-devices .whole { display: block; white-space: nowrap }
.millpond-problem { margin: .5em 0 }
.millpond-problem summary { cursor: pointer; font-weight: bold }
.millpond-more { margin-top: .4em }
.millpond-more p { margin: .5em 0 }
.millpond-more label { display: flex; flex-wrap: wrap; gap: .25em .5em; align-items: center; float: none; width: auto; text-align: left; padding: 0 }
.millpond-more :is(input[type=text], input[type=number], select) { width: 12em; max-width: 100%; margin: 0 }
.millpond-label { flex: 0 0 6em }
.millpond-hint { display: block; opacity: .85; font-size: .92em }
.millpond-week { border-collapse: collapse; width: 100%; max-width: 48em; table-layout: fixed }
.millpond-week th[scope=row], .millpond-week .corner { width: 3em; border: 0 }
.millpond-week th { text-align: left; font-weight: normal; font-size: .92em; padding: 0 }
.millpond-week .swatch { display: inline-block; width: 1.6em; height: 1em; vertical-align: middle; margin-right: .4em; border: 1px solid var(--border-color-medium, #8884) }
.millpond-week td { height: 1.3em; padding: 0; border: 1px solid var(--border-color-medium, #8884) }
.millpond-week .off { background: repeating-linear-gradient(45deg, #8886 0 3px, transparent 3px 7px) }
.millpond-week .saver { background: #2f7ed844 }
.millpond-week .balanced { background: #2f7ed888 }
.millpond-week .strict { background: #2f7ed8cc }
.millpond-week .custom { background: #8a5fc7aa }
.millpond-facts > div { display: flex; flex-wrap: wrap; gap: 0 1em; padding: .15em 0 }
.millpond-facts dt { flex: 0 1 16em }
.millpond-facts dd { margin: 0; flex: 1 1 12em; overflow-wrap: anywhere }
.millpond-log { max-height: 28em; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere }
@media (max-width: 600px) {
	.millpond-row > .head { flex: 1 0 100% }
	.millpond-graph text { font-size: 23px }
	.table.millpond-devices .tr.table-titles { display: none }
	.table.millpond-devices .tr { display: block; border-bottom: 1px solid var(--border-color-medium, #8884); padding: .5em 0 }
	.table.millpond-devices .tr .td { display: flex; gap: .75em; border: 0; padding: .15em .25em; text-align: left; width: auto; max-width: 100% }
	.table.millpond-devices .tr .td::before { content: attr(data-title); flex: 0 0 6.5em; opacity: .8; font-weight: normal }
}` ]);
	}
});
