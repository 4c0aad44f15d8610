// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require millpond.words as words';

/* Two panes with one scale: the traffic at home, and the traffic that the provider sees. */

const WIDTH = 720;
const HEIGHT = 110;
const LEFT = 8;
const TOP = 30;
const GAP = 26;
const FOOT = 22;

/* A scale ends at one of these values times a power of ten. */
const STEPS = [ 1, 2, 3, 4, 6, 8, 10 ];

const SVG = 'http://www.w3.org/2000/svg';

function shape(name, attributes, text) {
	const node = document.createElementNS(SVG, name);

	for (const key in attributes)
		node.setAttribute(key, attributes[key]);

	if (text != null)
		node.appendChild(document.createTextNode(text));

	return node;
}

function series(history, key) {
	return L.toArray(history?.[key]).map((value) => Number(value) || 0);
}

/* A line with the newest value at the right edge. A short history leaves space on the left. */
function line(values, slots, top, scale, direction) {
	const step = (WIDTH - LEFT) / Math.max(slots - 1, 1);
	const points = values.map((value, at) => {
		const x = WIDTH - (values.length - 1 - at) * step;
		const y = top + HEIGHT - value / scale * HEIGHT;

		return `${x.toFixed(1)},${y.toFixed(1)}`;
	});

	return shape('polyline', { 'class': direction, 'points': points.join(' '), 'fill': 'none', 'stroke-width': '1.8' });
}

/* The end of the scale: a round rate, a little above a value. Both in bytes per second. */
function ceiling(value) {
	const bits = Math.max(value * 8 * 1.05, 1000);
	const power = 10 ** Math.floor(Math.log10(bits));

	return STEPS.find((step) => step * power >= bits) * power / 8;
}

function maximum(values) {
	return values.reduce((high, value) => Math.max(high, value), 0);
}

return baseclass.extend({
	/* Draws the daemon's answer to `history` for the last `seconds`. */
	render(history, seconds) {
		const home = [ series(history, 'home_upload_bytes_per_s'), series(history, 'home_download_bytes_per_s') ];
		const wire = [ series(history, 'wire_upload_bytes_per_s'), series(history, 'wire_download_bytes_per_s') ];
		const slots = Math.max(Math.round(seconds / (history?.resolution_s || 1)), 2);
		const scale = ceiling(maximum([ ...home, ...wire ].map(maximum)));
		const summary = _('Traffic at home: up to %s. Your provider sees: up to %s.').format(
			words.rate(maximum(home.map(maximum))), words.rate(maximum(wire.map(maximum))));
		const svg = shape('svg', {
			'class': 'millpond-graph',
			'viewBox': `0 0 ${WIDTH} ${2 * (TOP + HEIGHT) + GAP - 10 + FOOT}`,
			'role': 'img',
			'aria-label': summary
		});

		[ [ _('Traffic at home'), home ], [ _('Traffic that your provider sees'), wire ] ].forEach(([ title, [ up, down ] ], at) => {
			const top = TOP + at * (TOP + HEIGHT + GAP - 10);

			svg.appendChild(shape('text', { 'x': LEFT, 'y': top - 7 }, title));
			svg.appendChild(shape('text', { 'x': WIDTH, 'y': top - 7, 'text-anchor': 'end' }, words.rate(scale)));

			for (const y of [ top, top + HEIGHT / 2, top + HEIGHT ])
				svg.appendChild(shape('line', { 'class': 'grid', 'x1': LEFT, 'x2': WIDTH, 'y1': y, 'y2': y }));

			svg.appendChild(line(down, slots, top, scale, 'down'));
			svg.appendChild(line(up, slots, top, scale, 'up'));
		});

		const ground = 2 * (TOP + HEIGHT) + GAP - 10;

		svg.appendChild(shape('text', { 'x': LEFT, 'y': ground + FOOT - 5 }, _('%s ago').format(words.span(seconds))));
		svg.appendChild(shape('text', { 'x': WIDTH, 'y': ground + FOOT - 5, 'text-anchor': 'end' }, _('now')));

		return E('figure', { 'style': 'margin: 0' }, [
			svg,
			E('figcaption', { 'class': 'millpond-row' }, [
				E('span', { 'class': 'millpond-key' }, _('from home')),
				E('span', { 'class': 'millpond-key down' }, _('to home')),
				E('span', [ summary ])
			])
		]);
	}
});
