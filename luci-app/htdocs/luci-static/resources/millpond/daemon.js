// SPDX-License-Identifier: Apache-2.0
'use strict';
'require baseclass';
'require fs';
'require rpc';
'require millpond.home as home';

/* Calls to the router: the daemon's ubus object, this application's object for keys and join texts, the init script. */

/* The `interface` number of the daemon's status that these pages support. */
const INTERFACE = 1;
/* Packets in one check of the wire. At the usual rates it takes a minute or two. */
const AUDIT_PACKETS = 2000;
const INIT = '/etc/init.d/millpond';

const call = (method, params) => rpc.declare({ object: 'millpond', method, params, reject: true });
const callStatus = call('status');
const callDevices = call('devices');
const callHistory = call('history', [ 'seconds' ]);
const callAudit = call('audit', [ 'packets', 'deep' ]);
const callAdvise = call('advise');
const callReload = call('reload');
const callKey = rpc.declare({ object: 'luci.millpond', method: 'key', reject: true });
const callMakeKey = rpc.declare({ object: 'luci.millpond', method: 'make_key', reject: true });
const callKeepKeys = rpc.declare({ object: 'luci.millpond', method: 'keep_keys', params: [ 'private_key', 'preshared_key' ], reject: true });
const callReadJoin = rpc.declare({ object: 'luci.millpond', method: 'read_join', params: [ 'text' ], reject: true });
const callKeepJoin = rpc.declare({ object: 'luci.millpond', method: 'keep_join', params: [ 'text' ], reject: true });

/* Why a call failed: 'absent' (no such object or method), 'stopping' (the daemon ends), 'denied' (the user lacks the right), or 'failed'. */
function reason(error) {
	const text = String(error?.message ?? error);

	// A missing method is ubus code 3; uhttpd reports it as an invalid request.
	if (/-32000|-3260[12]|not found|code [34]\b/i.test(text))
		return 'absent';

	if (/code 10\b/.test(text))
		return 'stopping';

	if (/-32002|denied|code 6\b/i.test(text))
		return 'denied';

	return 'failed';
}

return baseclass.extend({
	/* The daemon's status, or { failure, text } if the call fails. */
	status() {
		return callStatus().then(
			(status) => L.isObject(status) ? status : { failure: 'failed', text: _('the answer is empty') },
			(error) => ({ failure: reason(error), text: String(error?.message ?? error) }));
	},

	/* Whether the daemon is 'older' or 'newer' than these pages; null if they match. */
	mismatch(status) {
		if (status.failure || status.interface === INTERFACE)
			return null;

		return status.interface > INTERFACE ? 'newer' : 'older';
	},

	/* The rates of the last `seconds`, or null. */
	history(seconds) {
		return L.resolveDefault(callHistory(seconds), null);
	},

	/* { devices: [...], cut } from the daemon. While it is not running, { devices } from DHCP and ARP. */
	devices() {
		return callDevices().catch(() => home.hosts().then((devices) => ({ devices })));
	},

	/* Starts a check of the wire, the same as the weekly one. The status then contains the result. */
	audit() {
		return callAudit(AUDIT_PACKETS, true).then((answer) => {
			if (answer?.error)
				throw new Error(answer.error);
		});
	},

	reload: callReload,

	/* What other rates would do and cost in this home, or { failure }. */
	advise() {
		return callAdvise().then(
			(advice) => L.isObject(advice) ? advice : { failure: 'failed' },
			(error) => ({ failure: reason(error) }));
	},

	/* { public_key, lies, preshared }. The router never sends the secret keys themselves. */
	key() {
		return L.resolveDefault(callKey(), {});
	},

	makeKey: callMakeKey,
	keepKeys: callKeepKeys,
	readJoin: callReadJoin,
	keepJoin: callKeepJoin,

	/* Starts, stops or restarts the service. An error contains the output of the init script. */
	service(action) {
		return fs.exec(INIT, [ action ]).then((result) => {
			if (result.code)
				throw new Error((result.stderr || result.stdout || _('exit code %d').format(result.code)).trim());
		});
	},

	/* The last messages, oldest first. */
	log() {
		return fs.exec('/sbin/logread', [ '-l', '200', '-e', 'millpond' ]).then((result) => (result.stdout ?? '').trim());
	},

	/* The report for support, without secrets. */
	support() {
		return fs.exec(INIT, [ 'support' ]).then((result) => {
			if (result.code)
				throw new Error((result.stderr || _('exit code %d').format(result.code)).trim());

			return result.stdout ?? '';
		});
	}
});
