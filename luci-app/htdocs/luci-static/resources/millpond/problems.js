// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';

/* The daemon's problems by their stable codes: a title, and an explanation with the remedy. */

const KNOWN = {
	'settings': [ _('The settings contain an error'), _('millpond keeps the previous settings. Open Settings, correct the error that the message names, and apply.') ],
	'name': [ _('The server cannot be found'), _('The server\'s name has no address at the moment, or one of a private network. Check the spelling under Settings, Tunnel, and whether the router is online. millpond keeps trying.') ],
	'guard': [ _('The guard is incomplete'), _('Until this is fixed, devices may send outside the tunnel. Restart the service; if that does not help, restart the router.') ],
	'guard-minimal': [ _('The guard is in emergency mode'), _('The router refuses a part of the guard, so shaped and blocked devices reach only your home. The message names the part; if a package is missing, install it under System, Software. millpond keeps trying.') ],
	'guard-file': [ _('The guard cannot be stored'), _('The guard works now, but after the next restart of the router, devices might send outside the tunnel for a moment. Free some flash memory, for example by removing packages that you do not need.') ],
	'package-missing': [ _('A package is missing'), _('The message names it. Install it under System, Software; no restart is needed.') ],
	'tunnel': [ _('The tunnel cannot be set up'), _('The router refused a part of the tunnel, often because a kernel module is missing. The message names the part; install the module under System, Software.') ],
	'tun-taken': [ _('Another millpond is already running'), _('Restart the router, or stop the other one.') ],
	'address-conflict': [ _('Two devices use one address'), _('The message names both. millpond protects and blocks neither because of it. If you replaced a device, wait ten minutes. Otherwise give each device an address of its own, and choose it under Devices by its hardware address.') ],
	'unknown-device': [ _('An unknown device uses a protected device\'s address'), _('It may be the same device with another hardware address, for example a private one, or a new device. Choose for it under Devices. There you can also let millpond shut such devices out.') ],
	'not-in-tunnel': [ _('Protected devices do not get into the tunnel'), _('Another program on the router, such as mwan3, pbr or the kill switch of a VPN, routes their packets elsewhere. millpond stops these packets, so the devices have no Internet. Exempt the devices that the message names in that program.') ],
	'upkeep': [ _('millpond could not check its network setup'), _('millpond keeps trying. If the problem stays, restart the service.') ],
	'realtime': [ _('millpond lacks real-time priority'), _('The router refuses real-time priority, locked memory or exact timers, so packets may leave a little late. Restart the service; in a container, allow real-time scheduling.') ],
	'clock': [ _('The clock is not set'), _('The router usually sets its clock when it is online. millpond then tries the tunnel again at once, and schedules apply. If the clock stays wrong, see System, System, Time Synchronization.') ],
	'socket': [ _('The control socket could not be created'), _('These pages work; the commands on the router do not. The message says why, often because memory is full. Restart the service when that is fixed.') ],
	'data-cap': [ _('Your data allowance is too small'), _('The line uses the same amount of data day and night. Choose a smaller level under Settings, or a day of the month from which a smaller level applies. millpond never changes the line because of the data used.') ],
	'audit': [ _('The last check of the wire found a fault'), _('The message names the fault. Check again; if the problem stays, download a report under Help and ask for help with it.') ],
	'trains': [ _('The server sends packets one by one'), _('The rates in the settings need several packets to leave together, which the server\'s version of millpond cannot do. Until it is updated, the line is slower than set.') ],
	'bursts': [ _('The server knows no bursts'), _('The settings have bursts, which the server\'s version of millpond cannot do. Until it is updated, the line stays at its base rate.') ],
	'router-quotes': [ _('The router speaks for a device'), _('A program on the router sends to the Internet what a protected or blocked device sent to it: a DNS server, a proxy or a relay. The message names the device. Stop that program, or keep the device from it; then check again.') ],
	'overload': [ _('The server is too small for its homes'), _('On a server: it leaves out a part of the cells of every home. Move homes to another server, or use a machine with more processors.') ],
	'interface': [ _('Waiting for the tunnel\'s interface'), _('The interface under Settings, Tunnel does not exist yet, is down, or lacks this router\'s address. Bring it up under Network, Interfaces; millpond then uses it.') ],
	'foreign-qdisc': [ _('Another program shapes the tunnel'), _('The tunnel\'s interface has another queue (SQM, for example). Turn that queue off for this interface; on the Internet interface it may stay.') ],
	'openvpn': [ _('OpenVPN is not running'), _('The message names the error in the profile or on the router. Correct it; millpond keeps trying.') ],
	'openvpn-compression': [ _('The OpenVPN server wants to compress packets'), _('The sizes of compressed packets reveal their contents. The server\'s operator must remove the pushed compression from the server\'s profile.') ],
	'openvpn-address': [ _('The OpenVPN server gives another address'), _('The address under Settings, Tunnel and the server\'s ifconfig-push must be the same.') ],
	'rule-before': [ _('Another program may redirect the devices\' packets'), _('The message names the rule. No packet leaves outside the tunnel, but devices may be cut off. Give millpond a lower number under Settings, Advanced, Priority of the routing rules.') ],
	'mark-taken': [ _('Another program uses millpond\'s mark'), _('Choose another mark under Settings, Advanced, Packet mark.') ],
	'table-taken': [ _('Another program uses millpond\'s routing table'), _('Choose another number under Settings, Advanced, Routing table.') ],
	'in-other-tunnel': [ _('The tunnel runs inside another tunnel'), _('Another program on the router, such as Tailscale with an exit node, sends millpond\'s own packets through its tunnel. The message names the rule. Exempt the server\'s address in that program.') ],
	'cell-too-long': [ _('Packets are shorter than set'), _('The line to the server does not carry packets of the length under Settings, so millpond uses the longest that it carries whole. Nothing is wrong with that; a smaller number under Settings, Packet size removes this notice.') ],
	'address-in-lan': [ _('The tunnel\'s address is in use at home'), _('One of your own networks uses the same addresses as the tunnel. The server\'s operator must choose other addresses, for both ends.') ],
	'resolver-in-lan': [ _('The DNS server is at home'), _('Under Settings, Names (DNS), enter a DNS server on the Internet, such as 9.9.9.9, or let the router answer.') ],
	'network-outside': [ _('A chosen network is not one of yours'), _('The network that the message names leads to the Internet. Choose networks of your home under Devices.') ],
	'network-missing': [ _('A chosen network was not found'), _('The message names the network. None of its devices is protected. It may have been renamed or removed, or its interface is not known; choose again under Devices.') ],
	'network-unsure': [ _('millpond cannot tell whether a network is yours'), _('Protected devices cannot reach it. If the network is yours, choose "Leave alone" for it under Devices.') ],
	'tunnel-port': [ _('A tunnel leads out of your network'), _('The message names a bridge port that carries frames to another place. Protected devices cannot use it. If all of the other end is yours, name the port under Settings, Advanced, Ports of the home.') ],
	'mesh-port': [ _('A mesh carries the devices\' packets'), _('The message names the mesh. Its radio link should be encrypted. If it is yours, name the port under Settings, Advanced, Ports of the home.') ],
	'relay': [ _('A program tells the provider about devices'), _('The message names the program and says what it tells: the addresses of your devices, for example. Stop the program under System, Startup. If it is odhcpd, edit the interface under Network, Interfaces: on the tab DHCP Server, IPv6 Settings, choose server mode instead of relay mode, and turn the NDP proxy off.') ],
	'hardware-offload': [ _('The router hides connections from millpond'), _('Hardware flow offloading forwards packets where millpond cannot protect them. Turn it off under Network, Firewall; software offloading may stay.') ],
	'router-closed': [ _('No device can open these pages'), _('Every network of your home is protected or blocked, and such devices cannot open this router\'s pages. Choose "Leave alone" for your computer under Devices before you leave this page.') ],
	'threads': [ _('The settings ask for more threads than there are processors'), _('On a server: remove option threads from the settings; all processors are then used.') ],
	'exit-missing': [ _('The exit of homes is not there'), _('On a server: the tunnel by which homes\' packets should leave does not exist or is down, so these homes have no Internet. Nothing leaves another way. Bring the tunnel up.') ],
	'device-numbers': [ _('More devices than millpond can tell apart'), _('The last ones share a queue with the first ones. Remove their sections, and choose their network under Devices instead.') ],
	'zone': [ _('The time zone is unknown'), _('Schedules use universal time (UTC) until you choose your zone under System, System.') ],
	'ubus': [ _('These pages lost their connection to millpond'), _('The router\'s message bus (ubus) does not answer. The devices stay protected; you need not do anything.') ]
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

	/* The explanations of all codes. The one that the page's address names is open. */
	help() {
		return Object.keys(KNOWN).map((code) => E('details', {
			'class': 'millpond-problem', 'id': `problem-${code}`, 'open': window.location.hash === `#problem-${code}` ? '' : null
		}, [
			E('summary', [ KNOWN[code][0], ' ', E('small', [ E('code', [ code ]) ]) ]),
			E('p', [ KNOWN[code][1] ])
		]));
	}
});
