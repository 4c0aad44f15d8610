// Serves an emulated router with the pages until a signal comes, so that LUCI_URL can name it. Arguments: paths of
// millpond and of millpond-world, the daemon's network namespace, a folder (with config/millpond in it), the address to
// listen on, the port, and root's password.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Router } from './router.mjs';
import { serve } from './server.mjs';

const [ program, worldProgram, netns, work, host, port, password ] = process.argv.slice(2);
const root = fileURLToPath(new URL('../../luci-app', import.meta.url));
const router = new Router({ root, work: resolve(work), program: resolve(program), worldProgram: resolve(worldProgram), netns, password });
const pages = await serve({ router, resources: [ `${root}/htdocs/luci-static/resources` ], host, port: Number(port), poll_s: 2 });

if ((await router.settings()).some(({ id, options }) => id === 'main' && options.enabled === '1'))
	await router.start();

console.log(`serving ${pages.url}`);

for (const signal of [ 'SIGTERM', 'SIGINT' ]) {
	process.on(signal, async () => {
		await router.close();
		await pages.close();
		process.exit(0);
	});
}
