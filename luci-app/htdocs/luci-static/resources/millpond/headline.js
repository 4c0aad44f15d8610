// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

/* The headline of the pages: what is true about this home, in one word and one sentence. */

const hasProblem = (status, ...codes) => L.toArray(status.problems).some(({ code }) => codes.includes(code));
const shaping = (test) => (status, home) => status.state === 'shaping' && test(status, home);

/* Name, condition, style of the label, word, sentence. The first condition that holds decides. */
const STATES = [
	[ 'denied', ({ failure }) => failure === 'denied', 'warning', _('Not shown'),
		_('You are not allowed to see what millpond does. Ask this router\'s administrator.') ],
	[ 'stopping', ({ failure }) => failure === 'stopping', 'notice', _('Stopping'),
		_('millpond is ending. Its guard stays until it has ended.') ],
	[ 'incomplete', ({ failure }, home) => failure === 'absent' && !home.complete, '', _('Not set up'),
		_('millpond is not set up yet: your devices work as they would without it.') ],
	[ 'off', ({ failure }, home) => failure === 'absent' && !home.enabled, '', _('Off'),
		_('millpond is turned off: your devices work as they would without it.') ],
	[ 'stopped', ({ failure }) => failure === 'absent', 'important', _('Stopped'),
		_('millpond is not running, but its guard holds: protected devices have no Internet until it runs again.') ],
	[ 'unknown', ({ failure }) => failure, 'warning', _('Unknown'), _('The state cannot be read: %s') ],
	[ 'starting', ({ state }) => state === 'starting', 'notice', _('Starting'),
		_('The tunnel is starting. Until it is up, protected devices have no Internet.') ],
	[ 'blocked', ({ state }) => state === 'blocked', 'important', _('Closed'),
		_('There is no tunnel, so protected devices have no Internet. They cannot send outside the tunnel.') ],
	[ 'degraded', ({ state }) => state === 'degraded', 'warning', _('No answer'),
		_('Your provider still sees the flat line, but the server does not answer. Protected devices wait.') ],
	[ 'paused', ({ state }) => state === 'paused', 'notice', _('Paused'),
		_('The schedule has turned the flat line off: nothing is hidden until the schedule turns it on again.') ],
	[ 'open', shaping((status) => hasProblem(status, 'guard', 'hardware-offload')), 'important', _('Not safe'),
		_('The flat line runs, but devices may send outside it. See the problem below.') ],
	[ 'nothing-chosen', shaping((status, home) => !home.chosen), 'notice', _('Nothing chosen yet'),
		_('The flat line runs, but no device is protected. Choose the devices that you want to hide.') ],
	[ 'check-failed', shaping((status) => L.toArray(status.audit?.faults).length || hasProblem(status, 'audit', 'router-quotes')), 'warning', _('Protected, but look'),
		_('Your provider sees the flat line, but the last check of the wire found something. See below.') ],
	[ 'limited', shaping((status) => L.toArray(status.problems).some(({ severity }) => severity === 'error')), 'warning', _('Protected in part'),
		_('Your provider sees the flat line, but a problem limits the protection. See below.') ],
	[ 'weak-law', shaping(({ law }) => [ 'constant', 'kernel' ].includes(law)), 'warning', _('Protected with limits'),
		_('Your provider sees packets of one size, but the chosen law of the intervals does not hide how busy the router is.') ],
	[ 'bounded', shaping(({ promise }) => promise === 'bounded'), 'warning', _('Protected, with bursts'),
		_('Your provider sees bursts, and cannot tell which of them are real. That is a weaker promise than a flat line.') ],
	[ 'protected', shaping(() => true), 'success', _('Protected'),
		_('Your provider sees the same flat line whatever your protected devices do.') ]
];

return baseclass.extend({
	NAMES: STATES.map(([ name ]) => name),

	/* { name, style, word, text } for a status, and the summary of the settings (choices.js). */
	of(status, home) {
		const [ name, , style, word, text ] = STATES.find(([ , condition ]) => condition(status, home))
			?? [ 'other', null, 'notice', String(status.state ?? '?'), _('These pages do not know this state of millpond.') ];

		return { name, style, word, text: name === 'unknown' ? text.format(status.text) : text };
	}
});
