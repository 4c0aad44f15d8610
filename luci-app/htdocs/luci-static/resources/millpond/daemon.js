// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require fs';
'require rpc';

/* What is asked of the router: the daemon's object on ubus, the keys' object of this application, the service. */

/* The interface number of the daemon's status that these pages were written for. */
const INTERFACE = 1;
/* Of one check of the wire: a minute or two at the usual rates. */
const AUDIT_PACKETS = 2000;
const INIT = '/etc/init.d/millpond';

const call = (method, params) => rpc.declare({ object: 'millpond', method, params, reject: true });
const callStatus = call('status');
const callDevices = call('devices');
const callHistory = call('history', [ 'seconds' ]);
const callAudit = call('audit', [ 'packets' ]);
const callAdvise = call('advise');
const callReload = call('reload');
const callKey = rpc.declare({ object: 'luci.millpond', method: 'key', reject: true });
const callMakeKey = rpc.declare({ object: 'luci.millpond', method: 'make_key', reject: true });
const callKeepKeys = rpc.declare({ object: 'luci.millpond', method: 'keep_keys', params: [ 'private_key', 'preshared_key' ], reject: true });
const callReadJoin = rpc.declare({ object: 'luci.millpond', method: 'read_join', params: [ 'text' ], reject: true });
const callKeepJoin = rpc.declare({ object: 'luci.millpond', method: 'keep_join', params: [ 'text' ], reject: true });
const callHostHints = rpc.declare({ object: 'luci-rpc', method: 'getHostHints', expect: { '': {} } });
const callInterfaces = rpc.declare({ object: 'network.interface', method: 'dump', expect: { interface: [] } });

/* Why a call failed: 'absent' (nobody there to be asked), 'denied' (this user may not), or 'failed'. */
function reason(error) {
	const text = String(error?.message ?? error);

	// A method that is not there is 3, or for uhttpd a mistake in the request.
	if (/-32000|-3260[12]|not found|code [34]\b/i.test(text))
		return 'absent';

	if (/-32002|denied|code 6\b/i.test(text))
		return 'denied';

	return 'failed';
}

return baseclass.extend({
	/* The daemon's status, or { failure, text } where it cannot be had. */
	status() {
		return callStatus().then(
			(status) => L.isObject(status) ? status : { failure: 'failed', text: _('The answer was empty.') },
			(error) => ({ failure: reason(error), text: String(error?.message ?? error) }));
	},

	/* 'older', 'newer', or null where daemon and pages fit. */
	mismatch(status) {
		if (status.failure || status.interface === INTERFACE)
			return null;

		return status.interface > INTERFACE ? 'newer' : 'older';
	},

	/* Rates of the last seconds, or null. */
	history(seconds) {
		return L.resolveDefault(callHistory(seconds), null);
	},

	/* { devices: [...], cut } as the daemon knows them; where it does not run, as DHCP and ARP know them. */
	devices() {
		return callDevices().catch(() => callHostHints().then((hints) => ({
			devices: Object.keys(hints).map((mac) => ({
				mac: mac.toLowerCase(),
				random_mac: (parseInt(mac.substring(0, 2), 16) & 2) !== 0,
				addresses: [ ...L.toArray(hints[mac].ipaddrs), ...L.toArray(hints[mac].ip6addrs) ],
				hostname: hints[mac].name
			}))
		})));
	},

	/* Names of the router's own networks that devices may be on. */
	networks() {
		return L.resolveDefault(callInterfaces(), []).then((list) => list
			.filter((entry) => /^br-/.test(entry.l3_device ?? entry.device ?? '') && !entry.interface.endsWith('6'))
			.map((entry) => ({ name: entry.interface, device: entry.l3_device ?? entry.device })));
	},

	/* Begins a check of the wire; the status tells the result. */
	audit() {
		return callAudit(AUDIT_PACKETS).then((answer) => {
			if (answer?.error)
				throw new Error(answer.error);
		});
	},

	reload: callReload,

	/* What other rates would cost this home, or { failure } where the daemon cannot tell. */
	advise() {
		return callAdvise().then(
			(advice) => L.isObject(advice) ? advice : { failure: 'failed' },
			(error) => ({ failure: reason(error) }));
	},

	/* { public_key, preshared }: of the secrets nothing more than this ever comes from the router. */
	key() {
		return L.resolveDefault(callKey(), {});
	},

	makeKey: callMakeKey,
	keepKeys: callKeepKeys,
	readJoin: callReadJoin,
	keepJoin: callKeepJoin,

	/* Starts, stops or restarts the service; an error says what it printed. */
	service(action) {
		return fs.exec(INIT, [ action ]).then((result) => {
			if (result.code)
				throw new Error((result.stderr || result.stdout || _('exit code %d').format(result.code)).trim());
		});
	},

	/* Recent messages, oldest first. */
	log() {
		return fs.exec('/sbin/logread', [ '-l', '200', '-e', 'millpond' ]).then((result) => (result.stdout ?? '').trim());
	},

	/* All that is useful to who helps, without secrets. */
	support() {
		return fs.exec(INIT, [ 'support' ]).then((result) => {
			if (result.code)
				throw new Error((result.stderr || _('exit code %d').format(result.code)).trim());

			return result.stdout ?? '';
		});
	}
});
