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
	'interface': [ _('Waiting for the tunnel\'s interface'), _('The interface that Settings, Tunnel names is not there yet, is down, or lacks this router\'s address. Bring it up under Network, Interfaces; millpond takes it by itself.') ],
	'foreign-qdisc': [ _('Something else shapes the tunnel'), _('Another queue (SQM, for example) stands on the tunnel\'s interface. Turn it off for this interface; on the Internet\'s own it may stay.') ],
	'openvpn': [ _('OpenVPN does not run'), _('The message names what is wrong in the profile or on the router. Mend it; it is tried again by itself.') ],
	'openvpn-compression': [ _('The OpenVPN server wants to compress'), _('Compressed packets tell what is in them. Whoever looks after the server has to take the push of compression out of its profile.') ],
	'openvpn-address': [ _('The OpenVPN server gives another address'), _('The address under Settings, Tunnel and the server\'s ifconfig-push must be the same.') ],
	'rule-before': [ _('Another program may take the devices\' packets'), _('The message names its rule. Nothing leaves beside the tunnel, but devices may be cut off. Give millpond a lower number under Settings, Advanced, Priority of its rules.') ],
	'mark-taken': [ _('Another program uses millpond\'s mark'), _('Choose another one under Settings, Advanced, Packet mark.') ],
	'table-taken': [ _('Another program uses millpond\'s routing table'), _('Choose another number under Settings, Advanced, Routing table.') ],
	'address-in-lan': [ _('The tunnel\'s address is in use at home'), _('One of your own networks has the same addresses as the tunnel. Whoever looks after the server has to choose others, for both ends.') ],
	'resolver-in-lan': [ _('The server for names is at home'), _('Under Settings, Names (DNS), enter one on the Internet, such as 9.9.9.9, or let the router answer.') ],
	'network-outside': [ _('A chosen network is not one of yours'), _('The message names it: it leads out to the Internet. Choose networks of the home under Devices.') ],
	'network-missing': [ _('A chosen network is not there'), _('The message names it. It may have been renamed or removed; choose again under Devices.') ],
	'network-unsure': [ _('millpond cannot tell whether a network is yours'), _('Protected devices do not reach it. If it is one of yours, choose "Leave alone" for it under Devices.') ],
	'hardware-offload': [ _('The router hides connections from millpond'), _('Hardware flow offloading passes packets on where nothing can protect them. Turn it off under Network, Firewall; software offloading may stay.') ],
	'zone': [ _('The time zone is not known'), _('Schedules go by universal time until you choose your zone under System, System.') ],
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
				E('p', { 'class': 'millpond-text' }, [ String(problem.text ?? '') ]),
				E('p', [
					KNOWN[code]?.[1] ?? String(problem.fix ?? ''), ' ',
					E('a', { 'style': 'color: inherit; text-decoration: underline', 'href': `${L.url('admin/services/millpond/help')}#problem-${code}` }, [ _('More about this (%s)').format(code) ])
				])
			]);
		});
	},

	/* Explanations of all codes; that of the page's address is open. */
	help() {
		return Object.keys(KNOWN).map((code) => E('details', {
			'class': 'millpond-problem', 'id': `problem-${code}`, 'open': window.location.hash === `#problem-${code}` ? '' : null
		}, [
			E('summary', [ KNOWN[code][0], ' ', E('small', [ E('code', [ code ]) ]) ]),
			E('p', [ KNOWN[code][1] ])
		]));
	}
});
