// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require millpond.words as words';

/* Shows the schedules as a week: one row for each day, one cell for each hour. */

const DAYS = [ 'mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun' ];
const NAMES = [ _('Mon'), _('Tue'), _('Wed'), _('Thu'), _('Fri'), _('Sat'), _('Sun') ];
const WEEK_MIN = 7 * 24 * 60;

function minutes(text) {
	const found = String(text ?? '').match(/^\s*(\d?\d):(\d\d)(:00)?\s*$/);

	return found && found[1] < 24 && found[2] < 60 ? found[1] * 60 + Number(found[2]) : null;
}

/* The days of an option: names in any case, in a list or in one value. */
function days(value) {
	return L.toArray(value).flatMap((text) => text.trim().split(/\s+/)).map((day) => day.substring(0, 3).toLowerCase());
}

return baseclass.extend({
	DAYS,
	days,
	NAMES,

	isTime(text) {
		return minutes(text) !== null;
	},

	/* The level at a minute of the week, which begins on Monday. `usual` is the level outside all schedules. */
	levelAt(minute, schedules, usual) {
		for (const schedule of schedules) {
			const [ start, stop ] = [ minutes(schedule.start), minutes(schedule.stop) ];

			if (start === null || stop === null)
				continue;

			const length = stop > start ? stop - start : stop + 24 * 60 - start;
			const chosen = days(schedule.day);

			for (const day of chosen.length ? chosen : DAYS) {
				const begin = DAYS.indexOf(day) * 24 * 60 + start;

				if (DAYS.includes(day) && (minute - begin + WEEK_MIN) % WEEK_MIN < length)
					return schedule.level;
			}
		}

		return usual;
	},

	render(schedules, usual) {
		return E('div', [
			E('table', { 'class': 'millpond-week', 'aria-label': _('The week: the level at each hour') }, [
				E('tr', [ E('td', { 'class': 'corner' }), ...[ 0, 6, 12, 18 ].map((hour) => E('th', { 'scope': 'colgroup', 'colspan': 6 }, [ `${hour}:00` ])) ]),
				...DAYS.map((day, row) => E('tr', [
					E('th', { 'scope': 'row' }, [ NAMES[row] ]),
					...Array.from({ length: 24 }, (unused, hour) => {
						const level = this.levelAt((row * 24 + hour) * 60 + 30, schedules, usual);

						return E('td', { 'class': level, 'title': `${NAMES[row]} ${hour}:00 ${words.level(level)}` });
					})
				]))
			]),
			E('p', { 'class': 'millpond-row millpond-week' }, [ usual, ...schedules.map((schedule) => schedule.level) ]
				.filter((level, at, all) => level && all.indexOf(level) === at)
				.map((level) => E('span', [ E('span', { 'class': `swatch ${level}` }), words.level(level), level === usual ? ` ${_('(usual level)')}` : '' ])))
		]);
	}
});
