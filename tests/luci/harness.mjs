// What the tests of the pages share: a router of their own for each, or the one at LUCI_URL, and a browser that is logged in there.
// The tests are listed in `tests`; a test that cannot be run where it is throws `Skipped`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { answers } from './answers.mjs';
import { Elsewhere } from './elsewhere.mjs';
import { Router } from './router.mjs';
import { serve } from './server.mjs';

/* Of the command line: the program, the laboratory's, a folder for this run, a folder for pictures, and playwright-core's. */
export const [ program, worldProgram, work, pictures, tools ] = process.argv.slice(2).map((path) => resolve(path));
export const here = fileURLToPath(new URL('.', import.meta.url));
export const root = resolve(here, '../../luci-app');
export const VIEWS = [ 'overview', 'devices', 'settings', 'help' ];
export const SETTINGS = readFileSync(join(here, 'settings.uci'), 'utf8');
export const ENABLED = SETTINGS.replace('enabled \'0\'', 'enabled \'1\'');

const { chromium, request } = createRequire(join(tools, 'x.js'))(join(tools, 'node_modules/playwright-core'));
const PATIENCE_MS = process.env.LUCI_URL ? 90_000 : 30_000;

export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [ '--no-sandbox' ] });
/* The router at LUCI_URL, if one is named. */
export const elsewhere = process.env.LUCI_URL ? await Elsewhere.at({
	url: process.env.LUCI_URL, user: process.env.LUCI_USER ?? 'root', password: process.env.LUCI_PASSWORD ?? '', request
}) : null;

export const tests = [];
export const test = (name, run) => tests.push([ name, run ]);

export class Skipped extends Error {}

/* A router with its pages, at work for one test. `daemon` is what answers there: 'real', 'recorded', or 'any' where it does not matter. `keys`: the
   tunnel's keys are made anew. `links`: it makes network interfaces. Only at LUCI_URL: `own`, with the settings and the state that the router has. */
export async function world({ daemon = 'recorded', keys = false, links = false, own = false, settings = SETTINGS, ...more }, run) {
	if (!elsewhere)
		return emulated({ live: daemon === 'real', settings, ...more }, run);

	if (keys)
		throw new Skipped('it would take the router\'s keys away');

	if (daemon === 'recorded')
		throw new Skipped('its answers are recorded ones');

	if (links)
		throw new Skipped('it makes network interfaces of its own');

	if (own && !elsewhere.shaping)
		throw new Skipped('the router did not shape when the tests began');

	if (own)
		await elsewhere.putBack();
	else
		await elsewhere.set(settings);

	return run({ router: elsewhere, open: (view, options) => open(elsewhere, view, options) });
}

async function emulated({ live, settings, command, ...extra }, run) {
	const folder = join(work, String(emulated.count = (emulated.count ?? 0) + 1));

	mkdirSync(join(folder, 'config'), { recursive: true });
	writeFileSync(join(folder, 'config/millpond'), settings);

	const netns = `millpond-luci-${process.pid}`;
	const router = new Router({ root, work: folder, program, world: worldProgram, netns, command, answers: live ? null : answers(extra) });
	const pages = await serve({ router, resources: [ join(root, 'htdocs/luci-static/resources') ] });

	if (live) {
		execFileSync('ip', [ 'netns', 'add', netns ]);
		execFileSync('ip', [ '-n', netns, 'link', 'set', 'lo', 'up' ]);
	}

	try {
		await run({ router, folder, open: (view, options) => open({ url: pages.url, users: router.users }, view, options), file: () => readFileSync(join(folder, 'config/millpond'), 'utf8') });
	}
	finally {
		await router.close();
		await pages.close();

		if (live)
			execFileSync('ip', [ 'netns', 'del', netns ]);
	}
}

const opened = [];

/* A page of a router { url, users }, in a browser of its own where that user has logged in. */
async function open({ url, users }, view, { width = 1100, dark = false, user = Object.keys(users)[0], path = 'admin/services/millpond' } = {}) {
	const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: dark ? 'dark' : 'light', ignoreHTTPSErrors: true });
	const page = await context.newPage();

	page.faults = [];
	page.received = '';
	page.on('pageerror', (error) => page.faults.push(String(error)));
	page.on('response', (response) => response.text().then((text) => { page.received += text; }, () => {}));
	page.on('dialog', (dialog) => dialog.accept());
	opened.push(page);
	await context.request.post(`${url}/cgi-bin/luci/`, { form: { luci_username: user, luci_password: users[user].password } });
	await page.goto(`${url}/cgi-bin/luci/${path}/${view}`);
	assert.equal(await page.locator('[name=luci_password]').count(), 0, `${user} cannot log in`);
	await page.waitForSelector('#view :is(h2, h3)', { timeout: PATIENCE_MS });
	// LuCI's own forms have ways of their own.
	page.standIn = await page.locator('meta[name=generator][content=stand-in]').count() > 0;

	return page;
}

/* Faults of the pages that the last test opened, which are closed. */
export async function finish() {
	const pages = opened.splice(0);

	await Promise.all(pages.map((page) => page.context().close()));

	return pages.flatMap((page) => page.faults);
}

/* Waits until a check holds, and says why it does not. */
export async function until(check, what) {
	const end = Date.now() + PATIENCE_MS;

	for (;;) {
		if (await check())
			return;

		assert.ok(Date.now() < end, `waited in vain: ${what}`);
		await new Promise((done) => setTimeout(done, 100));
	}
}

/* Presses "Save & Apply". */
export const apply = (page) => page.click('button.cbi-button-apply:not([data-action]), .cbi-button-apply.important');

/* Opens the tab of that name, of several the one of that number, where LuCI has tabs. */
export async function tab(page, name, number = 0) {
	if (!page.standIn)
		await page.getByRole('link', { name, exact: true }).nth(number).click();
}

/* Gives a text to the dialogue of the settings. */
export async function paste(page, text) {
	await page.getByRole('button', { name: 'Paste…' }).click();
	await page.locator('.modal textarea').fill(text);
	await page.click('[data-action=read]');
	await page.waitForFunction(() => document.querySelector('.modal [role=alert]').textContent || document.querySelector('[data-action=take]'));
}
