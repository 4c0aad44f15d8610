// Serves the application's pages as uhttpd and LuCI do: modules, one page for each view, /ubus, and the applying of changes.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const PAGES = '/cgi-bin/luci/';

/* resources: folders that are looked through in turn; theme: a folder with a style sheet of LuCI's, if there is one. */
export async function serve({ router, resources, theme, real }) {
	const server = createServer((request, response) => {
		handle(request, response).catch((error) => send(response, 500, 'text/plain', String(error.stack)));
	});

	async function handle(request, response) {
		const url = new URL(request.url, 'http://router');
		const mode = url.searchParams.get('mode') ?? /mode=(read|write)/.exec(request.headers.cookie ?? '')?.[1] ?? 'write';

		if (url.pathname.startsWith('/luci-static/resources/'))
			return file(response, resources, url.pathname.slice('/luci-static/resources/'.length));

		if (url.pathname.startsWith('/luci-static/theme/'))
			return file(response, [ theme ], url.pathname.slice('/luci-static/theme/'.length));

		// The probe with GET is how LuCI finds uhttpd's own way to the broker; without it, calls go through its dispatcher.
		if (url.pathname.startsWith('/ubus/') || url.pathname.startsWith(`${PAGES}admin/ubus`))
			return rpc(request, response, mode);

		if (url.pathname.startsWith(`${PAGES}admin/uci/`))
			return changes(response, mode, url.pathname.slice(`${PAGES}admin/uci/`.length));

		if (url.pathname.startsWith(`${PAGES}admin/`)) {
			const html = page(url.pathname.slice(PAGES.length), { mode, theme, real, dark: url.searchParams.get('dark') ?? 'false' });

			response.setHeader('set-cookie', `mode=${mode}; path=/`);

			return send(response, 200, 'text/html', html);
		}

		return send(response, 404, 'text/plain', '');
	}

	async function rpc(request, response, mode) {
		let body = '';

		for await (const part of request)
			body += part;

		if (!body)
			return send(response, 200, 'application/json', '');

		const asked = JSON.parse(body);
		const answers = await Promise.all([ asked ].flat().map(async ({ id, method, params }) => {
			if (method !== 'call')
				return { jsonrpc: '2.0', id, result: [] };

			const [ , object, name, parameters = {} ] = params;
			const [ status, data ] = await router.call(mode, object, name, parameters);

			// As uhttpd: an object that is not there, and a right that is not there, are errors of the protocol.
			if (status === 4)
				return { jsonrpc: '2.0', id, error: { code: -32000, message: 'Object not found' } };

			if (status === 6)
				return { jsonrpc: '2.0', id, error: { code: -32002, message: 'Access denied' } };

			return { jsonrpc: '2.0', id, result: data === undefined ? [ status ] : [ status, data ] };
		}));

		send(response, 200, 'application/json', JSON.stringify(Array.isArray(asked) ? answers : answers[0]));
	}

	async function changes(response, mode, action) {
		if (mode !== 'write')
			return send(response, 403, 'text/plain', '');

		if (action === 'revert')
			router.uci.revert();
		else if (action.startsWith('apply'))
			await router.apply();

		send(response, 200, 'application/json', '{"token":"t"}');
	}

	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

	return { url: `http://127.0.0.1:${server.address().port}`, close: () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); }) };
}

function file(response, folders, name) {
	const path = folders.map((folder) => join(folder, normalize(name))).find(existsSync);

	return path ? send(response, 200, TYPES[extname(path)] ?? 'application/octet-stream', readFileSync(path)) : send(response, 404, 'text/plain', '');
}

function send(response, status, type, body) {
	response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
	response.end(body);
}

/* A page of LuCI's with a view in it. */
function page(path, { mode, theme, real, dark }) {
	const view = path === 'admin/status/overview' ? 'status/index' : path.replace(/^admin\/services\//, '');
	const environment = {
		media: '/luci-static/theme', resource: '/luci-static/resources', scriptname: '/cgi-bin/luci', pathinfo: `/${path}`,
		requestpath: path.split('/'), dispatchpath: path.split('/'), pollinterval: 1, ubuspath: '/ubus/', sessionid: '0'.repeat(32), token: 't',
		nodespec: { satisfied: true, readonly: mode !== 'write' }, apply_rollback: 90, apply_holdoff: 1, apply_timeout: 5, apply_display: 0.2
	};

	return `<!DOCTYPE html>
<html lang="en" data-darkmode="${dark}"><head><meta charset="utf-8"><title>${view}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
${theme ? '<link rel="stylesheet" href="/luci-static/theme/cascade.css">' : ''}
${real ? '<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/theme/mobile.css">' : ''}
${real ? '<script src="/luci-static/resources/cbi.js"></script>' : ''}
</head><body class="lang_en">
<header><a class="brand" href="/">router</a><ul class="nav" id="topmenu"></ul><div id="indicators" class="pull-right"></div></header>
<div id="maincontent" class="container"><div id="tabmenu" style="display:none"></div><div id="view"><div class="spinning">Loading view…</div></div></div>
${real ? '<script>window.TR = {};</script>' : ''}
<script src="/luci-static/resources/luci.js"></script>
<script>
L = new LuCI(${JSON.stringify(environment)});
L.require('ui').then((ui) => ui.instantiateView('${view}'));
</script></body></html>`;
}
