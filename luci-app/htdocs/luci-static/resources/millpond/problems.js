// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

/* The daemon's problems, by their stable codes: in plain words, and where they are explained. */

const KNOWN = {
	'settings': [ _('The settings have a mistake'), _('millpond goes on with the settings before. Open Settings, mend what the message names, and apply.') ],
	'name': [ _('The server cannot be found'), _('The name of the server has no address just now. Check the spelling under Settings, Tunnel, and whether the router is online. It is tried again by itself.') ],
	'guard': [ _('The guard is not complete'), _('Until this is mended, devices may go out beside the tunnel. Restart the service; if that does not help, restart the router.') ],
	'guard-file': [ _('The guard cannot be stored'), _('Nothing is open now, but after the next restart of the router devices might go out beside the tunnel for a moment. Make room on the flash, for example by removing packages that you do not need.') ],
	'package-missing': [ _('A package is missing'), _('The message names it. Install it under System, Software; nothing has to be restarted.') ],
	'tunnel': [ _('The tunnel cannot be set up'), _('The router refused a part of the tunnel, often because a kernel module is missing. The message names it; install it under System, Software.') ],
	'tun-taken': [ _('Another millpond is running'), _('Restart the router, or stop the other one.') ],
	'upkeep': [ _('Looking after the network failed'), _('It is tried again by itself. If it goes on, restart the service.') ],
	'realtime': [ _('The router does not keep time well enough'), _('millpond may not run before other programs, so packets may leave a little late. Restart the service; in a container, permit real-time scheduling.') ],
	'clock': [ _('The clock is not set'), _('It is set by itself as a rule, once the router is online; then the tunnel is tried again at once, and schedules hold. Otherwise see System, System, Time Synchronization.') ],
	'socket': [ _('The control socket could not be made'), _('These pages work; the commands on the router do not. The message says why, often because memory is full. Restart the service when that is mended.') ],
	'data-cap': [ _('Your data allowance is too small'), _('The line takes the same day and night. Choose a smaller level under Settings, or a day of the month from which a smaller one holds. millpond never changes the line by itself because of the data used.') ],
	'audit': [ _('The last check of the wire found something'), _('The message says what. Check again; if it stays, download a report under Help and ask for help with it.') ],
	'ubus': [ _('These pages were cut off'), _('The router\'s message bus was restarted. Nothing is wrong with the protection.') ]
};

return baseclass.extend({
	KNOWN,

	/* One notice for each problem of a status, with a link to its explanation. */
	render(status) {
		return L.toArray(status.problems).map((problem) => {
			const code = String(problem.code ?? '?');
			const severity = problem.severity === 'error' ? 'danger' : (problem.severity === 'info' ? 'notice' : 'warning');

			return E('div', { 'class': `alert-message ${severity}`, 'role': 'alert', 'data-problem': code }, [
				E('h4', [ KNOWN[code]?.[0] ?? _('Problem') ]),
				E('p', [ String(problem.text ?? '') ]),
				E('p', [
					KNOWN[code]?.[1] ?? String(problem.fix ?? ''), ' ',
					E('a', { 'style': 'color: inherit; text-decoration: underline', 'href': `${L.url('admin/services/millpond/help')}#problem-${code}` }, [ _('More about this (%s)').format(code) ])
				])
			]);
		});
	},

	/* Explanations of all codes. */
	help() {
		return Object.keys(KNOWN).map((code) => E('div', { 'id': `problem-${code}` }, [
			E('h4', [ KNOWN[code][0], ' ', E('small', [ E('code', [ code ]) ]) ]),
			E('p', [ KNOWN[code][1] ])
		]));
	}
});
