// Requirements on all pages: rights, accessible names, escaped texts, screenshots, size and translation.
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { USED } from '../answers.mjs';
import { ENABLED, SETTINGS, Skipped, VIEWS, paste, pictures, remote, root, tab, test, until, withRouter } from '../harness.mjs';
import { template } from '../template.mjs';

const MAX_BYTES = 44 * 1024;

test('a read-only user sees every page and changes nothing', () => withRouter({ daemon: 'any', settings: ENABLED }, async ({ open, router, file }) => {
	if (!router.reader)
		throw new Skipped('LUCI_READER names no user');

	for (const view of VIEWS) {
		const page = await open(view, { user: router.reader });
		const names = await page.locator('#view :is(button, select, input, textarea):enabled').evaluateAll((nodes) => nodes.map((node) => node.dataset.name ?? node.dataset.action ?? node.className));

		// LuCI's own forms lock their fields in another way.
		if (page.standIn)
			assert.deepEqual(names.filter((name) => ![ 'span', 'reload-log' ].includes(name)), [], view);

		assert.deepEqual(page.faults, [], view);
	}

	const before = await file();
	const session = await router.login(router.reader);

	for (const call of [ [ 'uci', 'set', { config: 'millpond', section: 'main', values: { enabled: '1' } } ], [ 'millpond', 'reload', {} ], [ 'luci.millpond', 'make_key', {} ],
		[ 'file', 'exec', { command: '/etc/init.d/millpond', params: [ 'stop' ] } ], [ 'file', 'exec', { command: '/bin/sh', params: [] } ] ])
		assert.ok([ 6, -32002 ].includes((await router.send(session, ...call))[0]), call.slice(0, 2).join('.'));

	assert.equal(await file(), before);
}));

test('each page has its styles from one file, and no heading twice', () => withRouter({ daemon: 'any' }, async ({ open }) => {
	for (const view of VIEWS) {
		const page = await open(view);
		const headings = await page.locator('#view :is(h2, h3)').allInnerTexts();

		assert.deepEqual(headings.filter((text, at) => headings.indexOf(text) !== at), [], view);
		assert.equal(await page.locator('#view style').count(), 0, view);
		assert.equal(await page.locator('link[href*="millpond.css"]').count(), 1, view);
	}
}));

test('Help shows the newest messages first, and fetches them again', () => withRouter({ daemon: 'any', settings: ENABLED }, async ({ open, router }) => {
	if (remote) {
		const page = await open('help');
		const started = async () => (await page.innerText('.millpond-log')).split('\n').findIndex((line) => /registered the ubus object/.test(line));

		await router.service('restart');
		await until(() => router.runs(), 'the daemon runs again');
		await page.click('[data-action=reload-log]');
		await until(async () => await started() >= 0 && await started() < 30, 'the last start is among the first lines');

		return;
	}

	appendFileSync(router.logFile, 'first\nsecond\n');

	const page = await open('help');

	assert.equal(await page.innerText('.millpond-log'), 'second\nfirst');
	appendFileSync(router.logFile, 'third\n');
	await page.click('[data-action=reload-log]');
	await page.waitForFunction(() => /^third\nsecond/.test(document.querySelector('.millpond-log').innerText));
}));

test('every control has an accessible name, and Tab reaches the buttons', () => withRouter({ daemon: 'any', settings: ENABLED }, async ({ open }) => {
	for (const view of VIEWS) {
		const page = await open(view);
		const nameless = await page.locator('#view :is(button, select, input, textarea, svg)').evaluateAll((nodes) => nodes
			.filter((node) => node.type !== 'hidden' && !(node.getAttribute('aria-label') || node.labels?.length || node.textContent.trim() && node.tagName === 'BUTTON'))
			.map((node) => node.outerHTML.slice(0, 80)));

		if (page.standIn)
			assert.deepEqual(nameless, [], view);
	}

	const page = await open('overview');

	for (let presses = 0; presses < 60; presses++) {
		await page.keyboard.press('Tab');

		if (await page.evaluate(() => document.activeElement.dataset.action) === 'stop')
			return;
	}

	assert.fail('Tab does not reach the button');
}));

test('texts from devices and messages are escaped', () => withRouter({
	daemon: 'any',
	settings: SETTINGS.replace('Front door camera', '<img src=x onerror=window.hurt=1>'),
	extra: { version: '<b>1</b>', problems: [ { code: '<i>', severity: 'error', text: '<img src=x onerror="window.hurt=1">', fix: '<u>fix</u>' } ] },
	methods: { devices: { devices: [ { mac: '18:b4:30:26:34:41', addresses: [ '192.168.1.20' ], hostname: '<img src=x onerror="window.hurt=1">', network: '<s>lan</s>', policy: 'shape' } ] } }
}, async ({ open, router }) => {
	if (router.logFile)
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

test('wide, narrow and dark screenshots, in which the pages fit 360 pixels', () => withRouter({
	daemon: 'any',
	settings: `${ENABLED}\nconfig schedule\n\toption start '23:00'\n\toption stop '06:00'\n\toption level 'saver'\n\nconfig schedule\n\tlist day 'sat'\n\tlist day 'sun'\n\toption start '12:00'\n\toption stop '14:00'\n\toption level 'off'\n`,
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

			if (view === 'settings') {
				await tab(page, 'Advanced');
				await tab(page, 'Advanced', 1);
				await page.screenshot({ path: join(pictures, `settings-advanced-${name}.png`), fullPage: true });
			}
		}
	}
}));

test('the package is small, its template is up to date, and its rights contain no wildcard', () => {
	const parts = [ 'htdocs', 'root' ].flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((name) => join(root, folder, name)))
		.filter((path) => statSync(path).isFile());
	const bytes = parts.reduce((sum, path) => sum + gzipSync(readFileSync(path)).length, 0);

	console.log(`     ${bytes} bytes compressed, file by file`);
	assert.ok(bytes <= MAX_BYTES);
	assert.equal(readFileSync(join(root, 'po/templates/millpond.pot'), 'utf8'), template(root), 'po/templates/millpond.pot is out of date: run "make translations"');
	assert.doesNotMatch(readFileSync(join(root, 'root/usr/share/rpcd/acl.d/luci-app-millpond.json'), 'utf8'), /\*/);
});
