// The pages of a router at LUCI_URL whose daemon shapes: they show what the daemon does.
import assert from 'node:assert/strict';
import { join } from 'node:path';

import { VIEWS, applyAll, pictures, test, until, withRouter } from '../harness.mjs';

const AUDIT_PACKETS = 2000;
/* Allows for a slow, emulated machine, whose cells are sometimes late. */
const MAX_VARIATION = 0.35;

const live = { daemon: 'real', own: true };

async function awaitShaping(router) {
	await until(async () => (await router.query('status'))?.state === 'shaping', 'the router shapes');
}

/* The coefficient of variation: standard deviation divided by mean. */
function variation(values) {
	const mean = values.reduce((sum, value) => sum + value, 0) / values.length;

	return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) / mean;
}

/* The heights of a line of the graph above the bottom of its pane, in SVG units, newest last. */
async function heights(page, pane, direction) {
	const points = (await page.getAttribute(`svg.millpond-graph polyline.${direction} >> nth=${pane}`, 'points')).split(' ').map((point) => Number(point.split(',')[1]));
	const ground = await page.locator('svg.millpond-graph line.grid').nth(3 * pane + 2).getAttribute('y1');

	return points.map((y) => Number(ground) - y);
}

test('while the home\'s traffic varies, the provider\'s line is flat', () => withRouter(live, async ({ open, router }) => {
	await awaitShaping(router);

	const page = await open('overview');

	await page.locator('[data-name=span]').selectOption('60');
	assert.equal(await page.getAttribute('[data-state]', 'data-state'), 'shaping');
	assert.match(await page.innerText('[data-state]'), /Protected/i);
	await until(async () => (await heights(page, 1, 'up')).length >= 50 && variation((await heights(page, 0, 'up')).slice(-50)) > 1, 'a minute in which something happened at home');

	const [ home, wire ] = await Promise.all([ 0, 1 ].map((pane) => heights(page, pane, 'up')));
	const [ busy, flat ] = [ home, wire ].map((line) => variation(line.slice(-50, -1)));

	assert.ok(flat < MAX_VARIATION && flat < busy / 3, `at home ${busy}, on the wire ${flat}`);
	console.log(`     variation of the line's height in 50 s: ${busy.toFixed(2)} at home, ${flat.toFixed(2)} on the wire`);

	const status = await router.query('status');
	const tiles = await page.innerText('.millpond-tiles');

	assert.match(tiles, new RegExp(`Delay now\\s+\\d+(\\.\\d+)?\\sm?s`, 'i'));
	assert.match(tiles, new RegExp(`On the wire\\s+${status.upload_kbit} kbit/s up\\s+${status.download_kbit} kbit/s down`, 'i'));
	assert.match(tiles, new RegExp(`Each packet\\s+${status.cell.wire_bytes} bytes`, 'i'));
	assert.match(tiles, /Data this period\s+[1-9][\d.]*\s[kMG]?B/i);
	assert.deepEqual(page.faults, []);
}));

test('the button starts a check of the wire, and the page shows the result', () => withRouter(live, async ({ open, router }) => {
	await awaitShaping(router);

	const page = await open('overview');
	const shown = () => page.innerText('[data-name=audit]');

	await until(async () => !(await router.query('status')).audit?.running, 'no check is running');
	await page.click('[data-action=audit]:enabled');
	await until(async () => /is running/i.test(await shown()), 'the page shows that the check is running');
	assert.ok(await page.locator('[data-action=audit]').isDisabled());
	await until(async () => (await router.query('status')).audit?.running === false, 'the check has ended');

	const { audit, cell } = await router.query('status');

	await until(async () => !/is running/i.test(await shown()), 'the page shows that the check has ended');
	assert.ok(audit.packets >= AUDIT_PACKETS);
	assert.match(await shown(), audit.faults.length ? /Needs attention/i : /Good/i);
	assert.ok((await shown()).includes(audit.faults.length ? audit.faults[0] : `all ${cell.wire_bytes} bytes`), `${await shown()}: ${JSON.stringify(audit)}`);
	console.log(`     ${(await shown()).replace(/\s+/g, ' ')}`);
}));

test('the levels are listed with the delays measured in this home', () => withRouter(live, async ({ open, router }) => {
	await awaitShaping(router);
	await until(async () => (await router.query('advise')).devices.some((device) => device.upload_packets > 0), 'a device has sent something');

	const page = await open('settings');
	const status = await router.query('status');
	const level = status.level[0].toUpperCase() + status.level.slice(1);

	assert.match(await page.innerText('[data-name=confidence]'), /Measured in your home for/);
	assert.match(await page.locator('[data-name=prices] tr', { hasText: level }).innerText(), new RegExp(`in force[^]*${status.upload_kbit}\\skbit/s up, ${status.download_kbit} down[^]*on average, nearly always under`, 'i'));
	assert.match(await page.locator('[data-name=prices] tr', { hasText: 'Saver' }).innerText(), /on average, nearly always under/);
	await page.click('[data-name=device-delays] summary');
	assert.ok(await page.locator('[data-name=delays] tr').count() > 1);
}));

test('the page Devices shows the bytes that the daemon counted', () => withRouter(live, async ({ open, router }) => {
	await awaitShaping(router);
	await until(async () => (await router.query('devices')).devices.some((device) => device.upload_bytes > 1000), 'a device has sent something');

	const { devices } = await router.query('devices');
	const { name } = devices.find((device) => device.upload_bytes > 1000);
	const page = await open('devices');

	assert.match(await page.locator('tr', { hasText: name }).first().innerText(), /just now|second|minute[^]*[1-9][\d.]*\s[kMG]?B, [\d.]+\s[kMG]?B/i);
}));

test('screenshots of a daemon that shapes', () => withRouter(live, async ({ open, router }) => {
	await awaitShaping(router);

	for (const view of VIEWS) {
		const page = await open(view);

		await page.screenshot({ path: join(pictures, `${view}-live.png`), fullPage: true });
		assert.deepEqual(page.faults, [], view);
	}
}));

test('another level doubles the rate that the provider sees', () => withRouter(live, async ({ open, router }) => {
	await awaitShaping(router);

	const wireRate = async () => (await router.query('history', { seconds: 60 })).wire_upload_bytes_per_s.slice(-8, -1).reduce((sum, value) => sum + value / 7, 0);
	const settings = await open('settings');

	router.changed = true;
	await settings.locator('[data-name=level] select').selectOption('strict');
	await applyAll(settings);
	await until(async () => (await router.query('status'))?.upload_kbit === 320, 'the daemon has the new rate');
	await until(async () => Math.abs(await wireRate() - 40_000) < 8_000, 'the wire has the new rate');
}));

test('after "Stop" and "Start" the page follows until the devices are protected again', () => withRouter(live, async ({ open, router }) => {
	await awaitShaping(router);

	const page = await open('overview');
	const shown = () => page.getAttribute('[data-state]', 'data-state').catch(() => null);

	await page.click('[data-action=stop]:enabled');
	await until(async () => await shown() === 'absent', 'off');
	await page.click('[data-action=start]:enabled');
	await until(async () => await shown() === 'shaping', 'protected again');
	assert.deepEqual(page.faults, []);
}));
