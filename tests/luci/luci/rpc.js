'use strict';
'require baseclass';

/* Stand-in for LuCI's calls over /ubus. */

let next = 1;

function expected(answer, { expect }) {
	const [ key ] = Object.keys(expect ?? {});

	if (key === undefined)
		return answer;

	const value = key === '' ? answer : answer?.[key];

	return value !== null && typeof value === typeof expect[key] ? value : expect[key];
}

return baseclass.extend({
	declare(options) {
		return (...args) => fetch(`${L.env.ubuspath}?${options.object}.${options.method}`, {
			method: 'POST',
			body: JSON.stringify({
				jsonrpc: '2.0', id: next++, method: 'call',
				params: [ L.env.sessionid, options.object, options.method, Object.fromEntries((options.params ?? []).map((name, at) => [ name, args[at] ])) ]
			})
		}).then((response) => response.json()).then(({ error, result }) => {
			if (error)
				throw new Error(`RPC call to ${options.object}/${options.method} failed with error ${error.code}: ${error.message}`);

			if (options.reject && result[0])
				throw new Error(`RPC call to ${options.object}/${options.method} failed with ubus code ${result[0]}: ?`);

			return expected(result.length > 1 ? result[1] : result[0], options);
		});
	}
});
