// The pages in a browser: what is clicked reaches the daemon. Arguments: the program, the laboratory's, a folder for this run, a folder for
// pictures, and playwright-core's folder. With LUCI_RESOURCES (and LUCI_THEME), LuCI's own modules instead of the ones here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { answers } from './answers.mjs';
import { Router } from './router.mjs';
import { serve } from './server.mjs';
import { template } from './template.mjs';

const [ program, worldProgram, work, pictures, tools ] = process.argv.slice(2).map((path) => resolve(path));
const { chromium } = createRequire(join(tools, 'x.js'))(join(tools, 'node_modules/playwright-core'));
const here = fileURLToPath(new URL('.', import.meta.url));
const root = resolve(here, '../../luci-app');
const real = process.env.LUCI_RESOURCES;
const VIEWS = [ 'overview', 'devices', 'settings', 'help' ];
const MOST_BYTES = 40 * 1024;
const SECRET = execFileSync('wg', [ 'genkey' ], { encoding: 'utf8' }).trim();
const SETTINGS = readFileSync(join(here, 'settings.uci'), 'utf8');

const tests = [];
const test = (name, run) => tests.push([ name, run ]);

/* A router with its pages, at work for one test. */
async function world({ live = false, settings = SETTINGS, ...extra }, run) {
	const folder = join(work, String(world.count = (world.count ?? 0) + 1));

	mkdirSync(join(folder, 'config'), { recursive: true });
	writeFileSync(join(folder, 'config/millpond'), settings);

	const netns = `millpond-luci-${process.pid}`;
	const router = new Router({ root, work: folder, program, world: worldProgram, netns, answers: live ? null : answers(extra) });
	const modules = real ? real.split(':') : [ join(here, 'luci') ];
	const theme = real ? process.env.LUCI_THEME : join(here, 'luci');
	const pages = await serve({ router, resources: [ join(root, 'htdocs/luci-static/resources'), ...modules ], theme, real: Boolean(real) });

	if (live) {
		execFileSync('ip', [ 'netns', 'add', netns ]);
		execFileSync('ip', [ '-n', netns, 'link', 'set', 'lo', 'up' ]);
	}

	try {
		await run({ router, folder, open: (view, options) => open(pages.url, view, options), file: () => readFileSync(join(folder, 'config/millpond'), 'utf8') });
	}
	finally {
		await router.close();
		await pages.close();

		if (live)
			execFileSync('ip', [ 'netns', 'del', netns ]);
	}
}

const opened = [];

async function open(base, view, { width = 1100, dark = false, mode = 'write', path = 'admin/services/millpond' } = {}) {
	const page = await browser.newPage({ viewport: { width, height: 900 } });

	page.faults = [];
	page.received = '';
	page.on('pageerror', (error) => page.faults.push(String(error)));
	page.on('response', (response) => response.text().then((text) => { page.received += text; }, () => {}));
	page.on('dialog', (dialog) => dialog.accept());
	opened.push(page);
	await page.goto(`${base}/cgi-bin/luci/${path}/${view}?mode=${mode}&dark=${dark}`);
	await page.waitForSelector('#view h2, #view h3');

	return page;
}

/* Waits until a check holds, and says why it does not. */
async function until(check, what) {
	const end = Date.now() + 30_000;

	for (;;) {
		if (await check())
			return;

		assert.ok(Date.now() < end, `waited in vain: ${what}`);
		await new Promise((done) => setTimeout(done, 100));
	}
}

const apply = (page) => page.click('button.cbi-button-apply:not([data-action]), .cbi-button-apply.important');
const status = async (router) => JSON.parse(await router.ask('status json') ?? '{}');

test('the router is off, and the page says what is left to do', () => world({ live: true }, async ({ open }) => {
	const page = await open('overview');

	assert.match(await page.innerText('[data-state]'), /off/i);
	assert.match(await page.innerText('[data-name=way-out]'), /Turn it on/);
	assert.equal(await page.locator('[data-name=audit]').count(), 0, 'nothing is shown that the daemon does not tell');
	assert.deepEqual(page.faults, []);
}));

test('Turn on starts the daemon through the settings, Turn off ends it', () => world({ live: true }, async ({ open, router, file }) => {
	const page = await open('overview');

	await page.click('[data-action=enable]');
	await until(() => router.process, 'the daemon runs');
	assert.match(file(), /option enabled '1'/);

	const shown = async () => page.getAttribute('[data-state]', 'data-state').catch(() => null);

	await until(async () => [ 'starting', 'blocked', 'shaping' ].includes(await shown()), 'the page shows the daemon\'s state');

	const { problems } = await status(router);

	await until(async () => await page.locator('[data-problem]').count() >= problems.length, 'each problem has a notice');

	for (const { code } of problems)
		assert.match(await page.getAttribute(`[data-problem="${code}"] a`, 'href'), new RegExp(`help#problem-${code}$`));

	await page.waitForSelector('[data-action=disable]:enabled');
	await page.click('[data-action=disable]');
	await until(() => !router.process, 'the daemon has ended');
	await until(async () => await shown() === 'absent', 'the page says so');
}));

test('a daemon that goes away and comes back is no accident of the page\'s', () => world({ live: true, settings: SETTINGS.replace('enabled \'0\'', 'enabled \'1\'') }, async ({ open, router }) => {
	await router.start();

	const page = await open('overview');
	const shown = () => page.getAttribute('[data-state]', 'data-state');

	assert.notEqual(await shown(), 'absent');
	await page.click('[data-action=stop]');
	await until(async () => await shown() === 'absent', 'off');
	await page.click('[data-action=start]:enabled');
	await until(async () => await shown() !== 'absent', 'back');
	assert.deepEqual(page.faults, []);
}));

test('a level that is chosen is in force in the daemon', () => world({ live: true, settings: SETTINGS.replace('enabled \'0\'', 'enabled \'1\'') }, async ({ open, router }) => {
	await router.start();
	assert.equal((await status(router)).upload_kbit, 160);

	const page = await open('settings');

	await page.locator('[data-name=level] select').selectOption('strict');
	await apply(page);
	await until(async () => (await status(router)).upload_kbit === 320, 'the daemon has the new rate');
}));

test('a device that is chosen is in the settings, with its name, and the settings are right', () => world({ live: true }, async ({ open, router, folder, file }) => {
	const page = await open('devices');

	await page.getByLabel('Choice for plug').selectOption('shape');
	await page.getByLabel('Choice for the network iot').selectOption('block');
	await apply(page);
	await until(() => /50:c7:bf:00:11:22/.test(file()), 'the file has it');
	assert.match(file(), /config device\n\toption name 'plug'\n\toption mac '50:c7:bf:00:11:22'\n\toption policy 'shape'/);
	assert.match(file(), /config network\n\toption name 'iot'\n\toption policy 'block'/);
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);
	assert.ok(!router.process);
}));

test('what the page draws and lists comes from the daemon, by way of the broker', () => world({ live: true, settings: SETTINGS.replace('enabled \'0\'', 'enabled \'1\'') }, async ({ open, router }) => {
	await router.start();
	await until(async () => (await router.overBus('status', {}))[0] === 0, 'the object is published');

	const page = await open('overview');

	assert.equal((await router.overBus('history', { seconds: 300 }))[1].resolution_s, 1);
	await page.waitForSelector('svg.millpond-graph');
	await until(async () => /Front door camera/.test(await page.innerText('[data-policy=shape]')), 'the daemon\'s devices');
	assert.deepEqual(page.faults, []);
}));

test('a device with a MAC of its own making is pointed out', () => world({}, async ({ open }) => {
	const page = await open('devices');

	assert.match(await page.locator('tr', { hasText: 'phone' }).innerText(), /changes its address/i);
	assert.equal(await page.locator('[data-name=random-mac]').count(), 1);
}));

test('nonsense is refused before it is written', () => world({}, async ({ open, file }) => {
	const page = await open('settings');

	await page.locator('[data-name=endpoint] input').fill('no port');
	await apply(page);
	await new Promise((done) => setTimeout(done, 500));
	assert.doesNotMatch(file(), /no port/);
}));

test('a pasted configuration fills the form, and its secret key stays in a file', () => world({}, async ({ open, folder, file }) => {
	const page = await open('settings');
	const paste = async (text) => {
		await page.getByRole('button', { name: 'Paste a configuration…' }).click();
		await page.locator('.modal textarea').fill(text);
		await page.click('[data-action=take]');
	};

	await paste('hello');
	assert.match(await page.innerText('.modal [role=alert]'), /does not look like/);
	await page.locator('.modal textarea').fill(`[Interface]\nPrivateKey = ${SECRET}\nAddress = 10.9.0.7/24\n[Peer]\nPublicKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\nEndpoint = vpn.example.net:4500\nAllowedIPs = 0.0.0.0/0\n`);
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.net:4500', 'the form is filled');
	await apply(page);
	await until(() => /vpn.example.net/.test(file()), 'the settings are written');

	const [ , path ] = /option private_key '(.*)'/.exec(file());

	assert.equal(readFileSync(path, 'utf8').trim(), SECRET);
	assert.equal(statSync(path).mode & 0o777, 0o600);
	assert.match(file(), /option peer_address '10.9.0.1'/);
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);

	const again = await open('settings');
	const expected = execFileSync('wg', [ 'pubkey' ], { input: SECRET, encoding: 'utf8' }).trim();

	assert.equal((await again.textContent('[data-name=public-key]')).trim(), expected);

	for (const { received } of [ page, again ])
		assert.ok(!received.includes(SECRET), 'the secret key never comes to the browser');
}));

test('a pair of keys is made on the router', () => world({}, async ({ open, folder, file }) => {
	const page = await open('settings');

	if (real)
		await page.getByRole('link', { name: 'Keys' }).click();

	await page.getByRole('button', { name: 'Make a new pair' }).click();
	await until(() => existsSync(join(folder, 'keys')) && readdirSync(join(folder, 'keys')).some((name) => name.endsWith('.private')), 'there is a file');

	const [ name ] = readdirSync(join(folder, 'keys'));
	const secret = readFileSync(join(folder, 'keys', name), 'utf8').trim();

	await page.waitForSelector('text=/public key: /i');
	await apply(page);
	await until(() => file().includes(name), 'the settings name it');
	assert.ok(!page.received.includes(secret));
}));

test('a user who may only read sees, and cannot change', () => world({}, async ({ open, router, file }) => {
	for (const view of VIEWS) {
		const page = await open(view, { mode: 'read' });
		const names = await page.locator('#view :is(button, select, input, textarea):enabled').evaluateAll((nodes) => nodes.map((node) => node.dataset.name ?? node.dataset.action ?? node.className));

		// LuCI's own forms lock their fields by its own ways.
		if (!real)
			assert.deepEqual(names.filter((name) => ![ 'span', 'reload-log' ].includes(name)), [], view);

		assert.deepEqual(page.faults, [], view);
	}

	const before = file();

	for (const call of [ [ 'uci', 'set', { config: 'millpond', section: 'main', values: { enabled: '1' } } ], [ 'millpond', 'reload', {} ], [ 'luci.millpond', 'make_key', {} ],
		[ 'file', 'exec', { command: '/etc/init.d/millpond', params: [ 'stop' ] } ], [ 'file', 'exec', { command: '/bin/sh', params: [] } ] ])
		assert.equal((await router.call('read', ...call))[0], 6, call.slice(0, 2).join('.'));

	assert.equal(file(), before);
}));

test('what a daemon of another age does not say is left out, not made up', async () => {
	await world({ extra: { interface: 2, state: 'pondering', problems: [ { code: 'moon', severity: 'warning', text: 'the moon', fix: 'wait' } ], peers: null, cell: null } }, async ({ open }) => {
		const page = await open('overview');

		assert.equal(await page.getAttribute('[data-mismatch]', 'data-mismatch'), 'newer');
		assert.match(await page.innerText('[data-problem=moon]'), /the moon\s+wait/);
		assert.deepEqual(page.faults, []);
	});
	await world({ extra: { interface: undefined, state: undefined } }, async ({ open }) => {
		assert.equal(await (await open('overview')).getAttribute('[data-mismatch]', 'data-mismatch'), 'older');
	});
});

test('data used and the wire check are shown where the daemon tells them', () => world({
	extra: { data: { used_bytes: 42e9, forecast_bytes: 150e9, cap_bytes: 300e9 }, audit: { packets: 12000, wire_bytes: 508, faults: [] } }
}, async ({ open }) => {
	const page = await open('overview');

	assert.match(await page.innerText('[data-name=audit]'), /12000 packets seen, all 508 bytes, nothing else/);
	assert.match(await page.innerText('.millpond-tiles'), /42.0 GB[^]*150.0 GB[^]*14 %/);
}));

test('the graph draws both lines, and says them in words', () => world({}, async ({ open }) => {
	const page = await open('overview');
	const said = await page.getAttribute('svg.millpond-graph', 'aria-label');

	assert.match(said, /At home up to 216.0 Kbit\/s. Your provider sees up to 320.0 Kbit\/s./);
	assert.equal(await page.locator('svg.millpond-graph polyline').count(), 4);
	await page.locator('[data-name=span]').selectOption('86400');
	await until(async () => (await page.getAttribute('svg.millpond-graph polyline >> nth=0', 'points')).split(' ').length === 360, 'a day of samples');
}));

test('the tile on the status overview', () => world({}, async ({ open }) => {
	const page = await open('overview', { path: 'admin/status' });

	await page.waitForSelector('[data-name=millpond-tile]', { state: 'attached' });
	assert.match(await page.textContent('[data-name=millpond-tile]'), /Protected/);
}));

test('every control has a name, and the keyboard reaches the buttons', () => world({}, async ({ open }) => {
	for (const view of VIEWS) {
		const page = await open(view);
		const nameless = await page.locator('#view :is(button, select, input, textarea, svg)').evaluateAll((nodes) => nodes
			.filter((node) => node.type !== 'hidden' && !(node.getAttribute('aria-label') || node.labels?.length || node.textContent.trim() && node.tagName === 'BUTTON'))
			.map((node) => node.outerHTML.slice(0, 80)));

		if (!real)
			assert.deepEqual(nameless, [], view);
	}

	const page = await open('overview');

	for (let presses = 0; presses < 12; presses++) {
		await page.keyboard.press('Tab');

		if (await page.evaluate(() => document.activeElement.dataset.action) === 'stop')
			return;
	}

	assert.fail('Tab does not reach the button');
}));

test('pictures: wide, narrow, dark; nothing is wider than 360 pixels', () => world({}, async ({ open }) => {
	for (const [ name, options ] of [ [ 'wide', {} ], [ 'narrow', { width: 360 } ], [ 'dark', { dark: true } ] ]) {
		for (const view of VIEWS) {
			const page = await open(view, options);

			await page.screenshot({ path: join(pictures, `${view}-${name}.png`), fullPage: true });
			assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), `${view} ${name}`);
			assert.deepEqual(page.faults, [], view);
		}
	}
}));

test('small, translatable, and no broader rights than needed', () => {
	const parts = [ 'htdocs', 'root' ].flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((name) => join(root, folder, name)))
		.filter((path) => statSync(path).isFile());
	const bytes = parts.reduce((sum, path) => sum + gzipSync(readFileSync(path)).length, 0);

	console.log(`     ${bytes} bytes compressed, file by file`);
	assert.ok(bytes <= MOST_BYTES);
	assert.equal(readFileSync(join(root, 'po/templates/millpond.pot'), 'utf8'), template(root), 'po/templates/millpond.pot is behind the pages: tests/luci/template.mjs makes it');
	assert.doesNotMatch(readFileSync(join(root, 'root/usr/share/rpcd/acl.d/luci-app-millpond.json'), 'utf8'), /\*/);
});

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [ '--no-sandbox' ] });
let [ passed, failed ] = [ 0, 0 ];

mkdirSync(pictures, { recursive: true });

for (const [ name, run ] of tests.filter(([ name ]) => name.includes(process.env.LUCI_TEST ?? ''))) {
	try {
		await run();
		passed++;
		console.log(`PASS ${name}`);
	}
	catch (error) {
		failed++;
		console.log(`FAIL ${name}\n     ${String(error.stack).split('\n').slice(0, 12).join('\n     ')}\n     ${opened.flatMap((page) => page.faults).join('\n     ')}`);
	}

	await Promise.all(opened.splice(0).map((page) => page.close()));
}

await browser.close();
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
