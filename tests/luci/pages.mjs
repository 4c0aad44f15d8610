// The pages in a browser: what is clicked reaches the daemon. Arguments: the program, the laboratory's, a folder for this run, a folder for
// pictures, and playwright-core's folder. With LUCI_RESOURCES (and LUCI_THEME), LuCI's own modules instead of the ones here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { advice, answers } from './answers.mjs';
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
async function world({ live = false, settings = SETTINGS, command, ...extra }, run) {
	const folder = join(work, String(world.count = (world.count ?? 0) + 1));

	mkdirSync(join(folder, 'config'), { recursive: true });
	writeFileSync(join(folder, 'config/millpond'), settings);

	const netns = `millpond-luci-${process.pid}`;
	const router = new Router({ root, work: folder, program, world: worldProgram, netns, command, answers: live ? null : answers(extra) });
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

	await paste(page, 'hello');
	assert.match(await page.innerText('.modal [role=alert]'), /does not look like/);
	await page.locator('.modal textarea').fill(`[Interface]\nPrivateKey = ${SECRET}\nAddress = 10.9.0.7/24\n[Peer]\nPublicKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\nEndpoint = vpn.example.net:4500\nAllowedIPs = 0.0.0.0/0\n`);
	await page.click('[data-action=read]');
	await page.waitForSelector('[data-action=take]');
	assert.match(await page.innerText('.modal'), /vpn\.example\.net:4500[^]*10\.9\.0\.7/, 'what is in it is shown first');
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

/* A text as an endpoint's operator gets it, for a home of that name. */
function joinText(folder, name, ...options) {
	const config = join(folder, 'endpoint.uci');
	const run = (...command) => execFileSync(program, [ 'endpoint', ...command, '--config', config ], { encoding: 'utf8', stdio: [ 'ignore', 'pipe', 'ignore' ] });

	if (!existsSync(config))
		run('init', '--host', 'vpn.example.org', '--anyway', '--no-start', '--keys', folder);

	return run('add-home', name, ...options, '--socket', join(folder, 'no.sock')).trim();
}

async function paste(page, text) {
	await page.getByRole('button', { name: 'Paste…' }).click();
	await page.locator('.modal textarea').fill(text);
	await page.click('[data-action=read]');
	await page.waitForFunction(() => document.querySelector('.modal [role=alert]').textContent || document.querySelector('[data-action=take]'));
}

test('a join text fills the settings, keys stay on the router, and what is refused says why', () => world({}, async ({ open, folder, file }) => {
	const page = await open('settings');
	const text = joinText(folder, 'maple street');

	await paste(page, text.slice(0, -20));
	assert.match(await page.innerText('.modal [role=alert]'), /not complete/);

	// As mail wraps it.
	await page.locator('.modal textarea').fill(`  ${text.replace(/(.{60})/g, '$1\n')}\n`);
	await page.click('[data-action=read]');
	await page.waitForSelector('[data-action=take]');
	assert.match(await page.innerText('.modal'), /maple street[^]*vpn\.example\.org:51820/);
	assert.ok(!existsSync(join(folder, 'keys')), 'nothing is kept before it is confirmed');
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.org:51820', 'the form is filled');
	assert.doesNotMatch(file(), /vpn\.example\.org/, 'nothing is applied yet');
	await apply(page);
	await until(() => /vpn\.example\.org/.test(file()), 'the settings are written');

	const [ , path ] = /option private_key '(.*)'/.exec(file());

	assert.equal(statSync(path).mode & 0o777, 0o600);
	assert.match(file(), /option enabled '0'/, 'turning on is left to the owner');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);

	const again = await open('settings');

	await paste(again, text);
	assert.match(await again.innerText('.modal [role=alert]'), /has used that join text already/);

	const secret = readFileSync(path, 'utf8').trim();

	for (const { received } of [ page, again ])
		assert.ok(!received.includes(secret), 'the secret key never comes to the browser');
}));

test('a join text for a key that is the router\'s own', () => world({}, async ({ open, folder, file }) => {
	const before = await open('settings');
	const own = (await before.textContent('[data-name=public-key]')).trim();

	await paste(before, joinText(folder, 'elsewhere', '--public-key', execFileSync('wg', [ 'pubkey' ], { input: SECRET, encoding: 'utf8' }).trim()));
	assert.match(await before.innerText('.modal [role=alert]'), /made for another router/);

	const page = await open('settings');

	await paste(page, joinText(folder, 'here', '--public-key', own));
	assert.match(await page.innerText('.modal'), /the pair that this router has made/);
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.org:51820', 'the form is filled');
	await apply(page);
	await until(() => /vpn\.example\.org/.test(file()), 'the settings are written');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);
}));

test('an older millpond says that it is too old for a join text', () => world({ command: '/bin/false' }, async ({ open }) => {
	const page = await open('settings');

	await paste(page, 'millpond1-AAAA');
	assert.match(await page.innerText('.modal [role=alert]'), /too old/);
	await page.getByRole('button', { name: 'Cancel' }).click();
	assert.ok(!await page.locator('.modal [role=alert]').isVisible());
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

const USED = { level: 'saver', level_by: 'cap-day', data: { used_bytes: 42e9, forecast_bytes: 150e9, since_unix: 1795000000, until_unix: 1797592000, cap_bytes: 300e9, share_percent: 14, forecast_percent: 50 } };

test('data used and the wire check are shown where the daemon tells them, and the check can be repeated', () => world({
	extra: { ...USED, audit: { age_s: 7200, running: false, packets: 12000, wire_bytes: 508, faults: [] } }
}, async ({ open, router }) => {
	const page = await open('overview');

	assert.match(await page.innerText('[data-name=audit]'), /12000 packets seen, all 508 bytes, nothing else/);
	assert.match(await page.innerText('.millpond-tiles'), /Saver\s+to save data[^]*42.0 GB\s+14 %[^]*150.0 GB\s+50 %/);
	await page.click('[data-action=audit]');
	await until(async () => /under way/.test(await page.innerText('[data-name=audit]')), 'the page says that it runs');
	assert.ok(await page.locator('[data-action=audit]').isDisabled());
	assert.ok(router.calls.some(([ , object, method ]) => object === 'millpond' && method === 'audit'));
	Object.assign(router.answers.status, { audit: { age_s: 1, running: false, packets: 2000, wire_bytes: 508, faults: [ '3 packets of 96 bytes' ] } });
	await until(async () => /Look here[^]*3 packets of 96 bytes/i.test(await page.innerText('[data-name=audit]')), 'the new result');
}));

test('a daemon that neither checks its line nor watches the home says so in a sentence', () => world({ without: [ 'advise', 'audit' ] }, async ({ open }) => {
	const overview = await open('overview');

	assert.match(await overview.innerText('[data-name=no-audit]'), /too old/);
	assert.equal(await overview.locator('[data-action=audit]').count(), 0);

	const settings = await open('settings');

	assert.match(await settings.innerText('[data-name=confidence]'), /estimates/);
	assert.equal(await settings.locator('[data-name=device-delays]').count(), 0);
	assert.deepEqual([ ...overview.faults, ...settings.faults ], []);
}));

/* Keys that an answer has only where there is something to say. */
const SOMETIMES = /^(cap_|month_price|price_per_gb|delay_|advised_|saver_|balanced_|strict_)/;

/* Where a recorded answer and the daemon's own differ in keys or kinds; arrays by their first. */
function differences(recorded, own, path = '') {
	if (Array.isArray(recorded) && Array.isArray(own))
		return recorded.length && own.length ? differences(recorded[0], own[0], `${path}[]`) : [];

	if (typeof recorded !== typeof own)
		return [ `${path}: ${typeof recorded}, but ${typeof own}` ];

	if (typeof own !== 'object' || own === null)
		return [];

	return [ ...new Set([ ...Object.keys(recorded), ...Object.keys(own) ]) ].filter((key) => key in own || !SOMETIMES.test(key))
		.flatMap((key) => differences(recorded[key], own[key], `${path}.${key}`));
}

test('the recorded advice has the keys of the daemon\'s own', () => world({ live: true, settings: SETTINGS.replace('enabled \'0\'', 'enabled \'1\'\n\toption data_cap \'300\'') }, async ({ open, router }) => {
	await router.start();
	await until(async () => (await router.overBus('status', {}))[0] === 0, 'the object is published');

	const [ code, own ] = await router.overBus('advise', {});

	// A daemon before `advise`: what the page does without is another test's.
	if (code) {
		console.log('     this daemon has no advise');

		return;
	}

	assert.deepEqual(differences(advice(), own), []);

	const page = await open('settings');

	assert.match(await page.innerText('[data-name=confidence]'), /Nothing has been watched/);
	assert.match(await page.locator('[data-name=prices] tr', { hasText: 'Balanced' }).innerText(), /in force/i);
}));

test('what each level does to this home stands beside it, and fitted rates are set only when confirmed', () => world({}, async ({ open, file, folder }) => {
	const page = await open('settings');
	const row = (level) => page.locator('[data-name=prices] tr', { hasText: level });

	assert.match(await row('Balanced').innerText(), /in force[^]*160 kbit\/s up, 320 down[^]*100 ms on average, nearly always under 563 ms[^]*156 GB a month/i);
	assert.match(await row('Saver').innerText(), /32 kbit\/s up, 32 down: 21 GB a month, 7 % of your allowance/);
	await page.click('[data-name=device-delays] summary');
	assert.match(await page.locator('[data-name=delays] tr', { hasText: 'plug' }).innerText(), /1.7 s/);
	assert.match(await page.locator('[data-name=delays] tr', { hasText: 'camera' }).innerText(), /28.1 s: too long/i);

	await page.click('[data-action=fit-saver]');
	await page.getByRole('button', { name: 'Cancel' }).click();
	await page.click('[data-action=fit-saver]');
	await page.click('[data-action=confirm-rates]');
	await until(async () => await page.locator('[data-name=level] select').first().inputValue().catch(() => '') === 'saver', 'the level is chosen');
	await apply(page);
	await until(() => /config level 'saver'\n\toption upload '32'\n\toption download '32'/.test(file()), 'the rates are in the settings');
	assert.match(file(), /option level 'saver'/);
	await page.click('[data-action=usual-saver]');
	await page.waitForSelector('[data-action=usual-saver]', { state: 'detached' });
	await apply(page);
	await until(() => !/config level/.test(file()), 'the usual rates hold again');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);
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

test('what devices and messages say is text, never part of the page', () => world({
	settings: SETTINGS.replace('Front door camera', '<img src=x onerror=window.hurt=1>'),
	extra: { version: '<b>1</b>', problems: [ { code: '<i>', severity: 'error', text: '<img src=x onerror="window.hurt=1">', fix: '<u>mend</u>' } ] },
	methods: { devices: { devices: [ { mac: '18:b4:30:26:34:41', addresses: [ '192.168.1.20' ], hostname: '<img src=x onerror="window.hurt=1">', network: '<s>lan</s>', policy: 'shape' } ] } }
}, async ({ open, router }) => {
	appendFileSync(router.logFile, 'millpond: <img src=x onerror="window.hurt=1">\n');

	for (const view of VIEWS) {
		const page = await open(view);

		assert.equal(await page.locator('#view :is(img, b, i, u, s)').count(), 0, view);
		assert.equal(await page.evaluate(() => window.hurt), undefined, view);
		assert.deepEqual(page.faults, [], view);
	}

	const page = await open('settings');

	await paste(page, '<img src=x onerror=window.hurt=1>');
	assert.equal(await page.locator('.modal img').count(), 0);
}));

test('pictures: wide, narrow, dark; nothing is wider than 360 pixels', () => world({
	settings: `${SETTINGS}\nconfig schedule\n\toption start '23:00'\n\toption stop '06:00'\n\toption level 'saver'\n\nconfig schedule\n\tlist day 'sat'\n\tlist day 'sun'\n\toption start '12:00'\n\toption stop '14:00'\n\toption level 'off'\n`,
	extra: { ...USED, audit: { age_s: 7200, running: false, packets: 12000, wire_bytes: 508, faults: [] }, problems: [
		{ code: 'data-cap', severity: 'warning', text: 'by the end of the month 350 GB of 300 GB will be used', fix: '' }
	] }
}, async ({ open }) => {
	for (const [ name, options ] of [ [ 'wide', {} ], [ 'narrow', { width: 360 } ], [ 'dark', { dark: true } ] ]) {
		for (const view of VIEWS) {
			const page = await open(view, options);

			await page.locator('details').evaluateAll((nodes) => nodes.forEach((node) => { node.open = true; }));
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
