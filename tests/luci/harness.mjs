// Shared parts of the page tests: a router, emulated for each test or the one at LUCI_URL, and a browser that is logged
// in there. `tests` lists the tests. A test that cannot run on its router throws `Skipped`.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { answers } from './answers.mjs';
import { RemoteRouter } from './remote_router.mjs';
import { Router } from './router.mjs';
import { serve } from './server.mjs';
import { text } from './uci.mjs';

/* Arguments: paths of millpond, of millpond-world, of a folder for this run, of a folder for screenshots, and of the
   folder with playwright-core. */
export const [ program, worldProgram, work, pictures, tools ] = process.argv.slice(2).map((path) => resolve(path));
export const here = fileURLToPath(new URL('.', import.meta.url));
export const root = resolve(here, '../../luci-app');
export const VIEWS = [ 'overview', 'devices', 'settings', 'help' ];
export const SETTINGS = readFileSync(join(here, 'settings.uci'), 'utf8');
export const ENABLED = SETTINGS.replace('enabled \'0\'', 'enabled \'1\'');

const { chromium, request } = createRequire(join(tools, 'x.js'))(join(tools, 'node_modules/playwright-core'));
const WAIT_TIMEOUT_MS = process.env.LUCI_URL ? 90_000 : 30_000;

export const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [ '--no-sandbox' ] });
/* The router at LUCI_URL, or null. */
export const remote = process.env.LUCI_URL ? await RemoteRouter.at({
	url: process.env.LUCI_URL, user: process.env.LUCI_USER ?? 'root', password: process.env.LUCI_PASSWORD ?? '', reader: process.env.LUCI_READER, request
}) : null;

export const tests = [];
export const test = (name, run) => tests.push([ name, run ]);

export class Skipped extends Error {}

/* Runs one test on a router with the pages. `daemon` is the daemon that the test needs: 'real', 'recorded' (fixed
   answers), or 'any'. `keys`: the test makes new tunnel keys. `links`: it makes network interfaces. `own`: only at
   LUCI_URL, with the router's own settings and state. `shapes`: a real daemon has to shape, with these settings. */
export async function withRouter({ daemon = 'recorded', keys = false, links = false, own = false, shapes = false, settings = SETTINGS, ...more }, run) {
	if (!remote)
		return emulated({ live: daemon === 'real', settings, ...more }, run);

	if (keys)
		throw new Skipped('it would replace the router\'s keys');

	if (daemon === 'recorded')
		throw new Skipped('it needs recorded answers');

	if (links)
		throw new Skipped('it makes network interfaces');

	if ((own || shapes) && !remote.shaping)
		throw new Skipped('the router was not shaping when the tests started');

	if (own)
		await remote.restore();
	else
		await remote.set(settings);

	return run({ router: remote, open: (view, options) => open(remote, view, options), file: async () => text(await remote.settings()) });
}

async function emulated({ live, settings, command, ...extra }, run) {
	const folder = join(work, String(emulated.count = (emulated.count ?? 0) + 1));

	mkdirSync(join(folder, 'config'), { recursive: true });
	writeFileSync(join(folder, 'config/millpond'), settings);

	const netns = `millpond-luci-${process.pid}`;
	const router = new Router({ root, work: folder, program, worldProgram, netns, command, answers: live ? null : answers(extra) });
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

/* Opens a page of a router { url, users } in a new browser context, logged in as `user`. */
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
	await page.waitForSelector('#view :is(h2, h3)', { timeout: WAIT_TIMEOUT_MS });
	await page.waitForFunction(() => document.querySelector('link[data-name=millpond-style]')?.sheet);
	// LuCI's own forms have other elements than the stand-ins in tests/luci/luci.
	page.standIn = await page.locator('meta[name=generator][content=stand-in]').count() > 0;

	return page;
}

/* Styles of labels and of messages in the themes that LuCI ships. "modal" and "spinning" are LuCI's own. */
const STYLES = { label: [ 'important', 'notice', 'success', 'warning' ], 'alert-message': [ 'danger', 'error', 'info', 'modal', 'notice', 'spinning', 'success', 'warning' ] };

/* The styles of labels and messages on the open pages that no theme has. */
export async function wrongStyles() {
	const used = await Promise.all(opened.map((page) => page.evaluate((kinds) => kinds.flatMap((kind) => [ ...document.querySelectorAll(`.${kind}`) ]
		.flatMap((node) => [ ...node.classList ].filter((name) => name !== kind && !/^(millpond|cbi)-/.test(name)).map((name) => [ kind, name ]))), Object.keys(STYLES)).catch(() => [])));

	return [ ...new Set(used.flat().filter(([ kind, name ]) => !STYLES[kind].includes(name)).map((pair) => pair.join('.'))) ];
}

/* Closes the pages that the last test opened, and returns their script errors. */
export async function finish() {
	const pages = opened.splice(0);

	await Promise.all(pages.map((page) => page.context().close()));

	return pages.flatMap((page) => page.faults);
}

/* Waits until check() returns true. On a time-out, the error names `what`. */
export async function until(check, what) {
	const end = Date.now() + WAIT_TIMEOUT_MS;

	for (;;) {
		if (await check())
			return;

		assert.ok(Date.now() < end, `timed out waiting: ${what}`);
		await new Promise((done) => setTimeout(done, 100));
	}
}

/* Presses "Save & Apply". */
export const apply = (page) => page.click('button.cbi-button-apply:not([data-action]), .cbi-button-apply.important');

/* Presses "Save & Apply", and waits until LuCI has applied everything and loads the page again. LuCI refuses to apply
   other changes before that. */
export const applyAll = (page) => Promise.all([ page.waitForEvent('load', { timeout: WAIT_TIMEOUT_MS }), apply(page) ]);

/* Opens a tab by its name (`number` selects among tabs of the same name). The stand-ins have no tabs. */
export async function tab(page, name, number = 0) {
	if (!page.standIn)
		await page.getByRole('link', { name, exact: true }).nth(number).click();
}

/* Pastes a text into the dialogue of the settings, and waits for the result. */
export async function paste(page, text) {
	await page.getByRole('button', { name: 'Paste…' }).click();
	await page.locator('.modal textarea').fill(text);
	await page.click('[data-action=read]');
	await page.waitForFunction(() => document.querySelector('.modal [role=alert]').textContent || document.querySelector('[data-action=take]'));
}
