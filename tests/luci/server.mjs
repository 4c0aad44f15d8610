// Serves the application's pages as uhttpd and LuCI do: the modules, one page for each view, /ubus, and the requests
// that apply changes.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const PAGES = '/cgi-bin/luci/';
const LOGIN = '<!DOCTYPE html><form method="post"><input name="luci_username"><input name="luci_password" type="password"><button>Log in</button></form>';

const STAND_IN = fileURLToPath(new URL('luci', import.meta.url));
/* Folders with LuCI's own modules and theme, if they are available. */
const REAL = process.env.LUCI_RESOURCES?.split(':');
const THEME = REAL ? process.env.LUCI_THEME : STAND_IN;

/* resources: folders to search, in order, before LuCI's own. host, port: the address to listen on. poll_s: polling
   interval of the pages. */
export async function serve({ router, resources, host = '127.0.0.1', port = 0, poll_s = 1 }) {
	const server = createServer((request, response) => {
		handle(request, response).catch((error) => send(response, 500, 'text/plain', String(error.stack)));
	});

	async function handle(request, response) {
		const url = new URL(request.url, 'http://router');
		const session = /sysauth_http=(\w+)/.exec(request.headers.cookie ?? '')?.[1];
		const { mode, uci } = router.sessions.get(session) ?? {};

		if (url.pathname.startsWith('/luci-static/resources/'))
			return file(response, [ ...resources, ...(REAL ?? [ STAND_IN ]) ], url.pathname.slice('/luci-static/resources/'.length));

		if (url.pathname.startsWith('/luci-static/theme/'))
			return file(response, [ THEME ], url.pathname.slice('/luci-static/theme/'.length));

		// LuCI probes uhttpd's own route to the broker with a GET. If the probe fails, LuCI sends its calls through its
		// dispatcher.
		if (url.pathname.startsWith('/ubus/') || url.pathname.startsWith(`${PAGES}admin/ubus`))
			return rpc(request, response);

		if (url.pathname.startsWith(`${PAGES}admin/uci/`))
			return changes(response, mode, uci, url.pathname.slice(`${PAGES}admin/uci/`.length));

		if (url.pathname.startsWith(PAGES) && request.method === 'POST')
			return login(request, response);

		if (url.pathname.startsWith(`${PAGES}admin/`))
			return mode ? send(response, 200, 'text/html', page(url.pathname.slice(PAGES.length), { session, mode, poll_s })) : send(response, 403, 'text/html', LOGIN);

		return send(response, 404, 'text/plain', '');
	}

	async function login(request, response) {
		const form = new URLSearchParams(await read(request));
		const session = router.login(form.get('luci_username'), form.get('luci_password'));

		if (!session)
			return send(response, 403, 'text/html', LOGIN);

		response.writeHead(302, { 'set-cookie': `sysauth_http=${session}; path=/cgi-bin/luci; SameSite=strict; HttpOnly`, location: `${PAGES}admin/services/millpond/overview` });
		response.end();
	}

	async function rpc(request, response) {
		const body = await read(request);

		if (!body)
			return send(response, 200, 'application/json', '');

		const calls = JSON.parse(body);
		const answers = await Promise.all([ calls ].flat().map(async ({ id, method, params }) => {
			if (method !== 'call')
				return { jsonrpc: '2.0', id, result: [] };

			const [ session, object, name, parameters = {} ] = params;
			const [ status, data ] = await router.send(session, object, name, parameters);

			// Like uhttpd, answers a missing object or a missing right with a JSON-RPC error.
			if (status === 4)
				return { jsonrpc: '2.0', id, error: { code: -32000, message: 'Object not found' } };

			if (status === 6)
				return { jsonrpc: '2.0', id, error: { code: -32002, message: 'Access denied' } };

			return { jsonrpc: '2.0', id, result: data === undefined ? [ status ] : [ status, data ] };
		}));

		send(response, 200, 'application/json', JSON.stringify(Array.isArray(calls) ? answers : answers[0]));
	}

	async function changes(response, mode, uci, action) {
		if (mode !== 'write')
			return send(response, 403, 'text/plain', '');

		if (action === 'revert')
			uci.revert();
		else if (action.startsWith('apply'))
			await router.apply(uci);

		send(response, 200, 'application/json', '{"token":"t"}');
	}

	await new Promise((resolve) => server.listen(port, host, resolve));

	return { url: `http://${host}:${server.address().port}`, close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }) };
}

async function read(request) {
	let body = '';

	for await (const part of request)
		body += part;

	return body;
}

function file(response, folders, name) {
	const path = folders.map((folder) => join(folder, normalize(name))).find(existsSync);

	return path ? send(response, 200, TYPES[extname(path)] ?? 'application/octet-stream', readFileSync(path)) : send(response, 404, 'text/plain', '');
}

function send(response, status, type, body) {
	response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
	response.end(body);
}

/* A LuCI page that loads a view. */
function page(path, { session, mode, poll_s }) {
	const view = path === 'admin/status/overview' ? 'status/index' : path.replace(/^admin\/services\//, '');
	const environment = {
		media: '/luci-static/theme', resource: '/luci-static/resources', scriptname: '/cgi-bin/luci', pathinfo: `/${path}`,
		requestpath: path.split('/'), dispatchpath: path.split('/'), pollinterval: poll_s, ubuspath: '/ubus/', sessionid: session, token: 't',
		nodespec: { satisfied: true, readonly: mode !== 'write' }, apply_rollback: 90, apply_holdoff: 1, apply_timeout: 5, apply_display: 0.2
	};

	return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${view}</title>
<script>document.documentElement.dataset.darkmode = matchMedia('(prefers-color-scheme: dark)').matches;</script>
${REAL ? '' : '<meta name="generator" content="stand-in">'}
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
${THEME ? '<link rel="stylesheet" href="/luci-static/theme/cascade.css">' : ''}
${REAL ? '<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/theme/mobile.css">' : ''}
${REAL ? '<script src="/luci-static/resources/cbi.js"></script>' : ''}
</head><body class="lang_en">
<header><a class="brand" href="/">router</a><ul class="nav" id="topmenu"></ul><div id="indicators" class="pull-right"></div></header>
<div id="maincontent" class="container"><div id="tabmenu" style="display:none"></div><div id="view"><div class="spinning">Loading view…</div></div></div>
${REAL ? '<script>window.TR = {};</script>' : ''}
<script src="/luci-static/resources/luci.js"></script>
<script>
L = new LuCI(${JSON.stringify(environment)});
L.require('ui').then((ui) => ui.instantiateView('${view}'));
</script></body></html>`;
}
