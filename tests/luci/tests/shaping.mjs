// A daemon behind the pages that really shapes, at LUCI_URL: what they show is what it does.
import assert from 'node:assert/strict';
import { join } from 'node:path';

import { VIEWS, apply, pictures, test, until, world } from '../harness.mjs';

const AUDIT_PACKETS = 2000;
/* What is seen on a slow, emulated machine, whose cells are late now and then. */
const MOST_VARIATION = 0.35;

const own = { daemon: 'real', own: true };

async function shapes(router) {
	await until(async () => (await router.query('status'))?.state === 'shaping', 'the router shapes');
}

/* Of numbers: the standard deviation in units of the mean. */
function variation(values) {
	const mean = values.reduce((sum, value) => sum + value, 0) / values.length;

	return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) / mean;
}

/* The heights of a line of the graph, newest last, in its own units above the ground of its pane. */
async function heights(page, pane, direction) {
	const points = (await page.getAttribute(`svg.millpond-graph polyline.${direction} >> nth=${pane}`, 'points')).split(' ').map((point) => Number(point.split(',')[1]));
	const ground = await page.locator('svg.millpond-graph line.grid').nth(3 * pane + 2).getAttribute('y1');

	return points.map((y) => Number(ground) - y);
}

test('a line that shapes: protected, flat for the provider, whatever happens at home', () => world(own, async ({ open, router }) => {
	await shapes(router);

	const page = await open('overview');

	await page.locator('[data-name=span]').selectOption('60');
	assert.equal(await page.getAttribute('[data-state]', 'data-state'), 'shaping');
	assert.match(await page.innerText('[data-state]'), /Protected/i);
	await until(async () => (await heights(page, 1, 'up')).length >= 50 && variation((await heights(page, 0, 'up')).slice(-50)) > 1, 'a minute in which something happened at home');

	const [ home, wire ] = await Promise.all([ 0, 1 ].map((pane) => heights(page, pane, 'up')));
	const [ busy, flat ] = [ home, wire ].map((line) => variation(line.slice(-50, -1)));

	assert.ok(flat < MOST_VARIATION && flat < busy / 3, `at home ${busy}, on the wire ${flat}`);
	console.log(`     variation of the line's height in 50 s: ${busy.toFixed(2)} at home, ${flat.toFixed(2)} on the wire`);

	const status = await router.query('status');
	const tiles = await page.innerText('.millpond-tiles');

	assert.match(tiles, new RegExp(`Delay now\\s+\\d+(\\.\\d+)?\\sm?s`, 'i'));
	assert.match(tiles, new RegExp(`On the wire\\s+${status.upload_kbit} kbit/s up\\s+${status.download_kbit} kbit/s down`, 'i'));
	assert.match(tiles, new RegExp(`Each packet\\s+${status.cell.wire_bytes} bytes`, 'i'));
	assert.match(tiles, /Data this period\s+[1-9][\d.]*\s[kMG]?B/i);
	assert.deepEqual(page.faults, []);
}));

test('the check of the wire, asked for with the button, ends with what it found', () => world(own, async ({ open, router }) => {
	await shapes(router);

	const page = await open('overview');
	const said = () => page.innerText('[data-name=audit]');

	await until(async () => !(await router.query('status')).audit?.running, 'none is under way');
	await page.click('[data-action=audit]:enabled');
	await until(async () => /under way/i.test(await said()), 'it runs');
	assert.ok(await page.locator('[data-action=audit]').isDisabled());
	await until(async () => (await router.query('status')).audit?.running === false, 'it has ended');

	const { audit, cell } = await router.query('status');

	await until(async () => !/under way/i.test(await said()), 'the page says so');
	assert.ok(audit.packets >= AUDIT_PACKETS);
	assert.match(await said(), audit.faults.length ? /Look here/i : /Good/i);
	assert.ok((await said()).includes(audit.faults.length ? audit.faults[0] : `all ${cell.wire_bytes} bytes`), `${await said()}: ${JSON.stringify(audit)}`);
	console.log(`     ${(await said()).replace(/\s+/g, ' ')}`);
}));

test('the levels stand beside what they did to the devices of this home', () => world(own, async ({ open, router }) => {
	await shapes(router);
	await until(async () => (await router.query('advise')).devices.some((device) => device.upload_packets > 0), 'a device has sent something');

	const page = await open('settings');
	const status = await router.query('status');
	const level = status.level[0].toUpperCase() + status.level.slice(1);

	assert.match(await page.innerText('[data-name=confidence]'), /Watched in your home for/);
	assert.match(await page.locator('[data-name=prices] tr', { hasText: level }).innerText(), new RegExp(`in force[^]*${status.upload_kbit}\\skbit/s up, ${status.download_kbit} down[^]*on average, nearly always under`, 'i'));
	assert.match(await page.locator('[data-name=prices] tr', { hasText: 'Saver' }).innerText(), /on average, nearly always under/);
	await page.click('[data-name=device-delays] summary');
	assert.ok(await page.locator('[data-name=delays] tr').count() > 1);
}));

test('the devices have sent and received what the daemon counted', () => world(own, async ({ open, router }) => {
	await shapes(router);
	await until(async () => (await router.query('devices')).devices.some((device) => device.upload_bytes > 1000), 'a device has sent something');

	const { devices } = await router.query('devices');
	const { name } = devices.find((device) => device.upload_bytes > 1000);
	const page = await open('devices');

	assert.match(await page.locator('tr', { hasText: name }).first().innerText(), /just now|second|minute[^]*[1-9][\d.]*\s[kMG]?B, [\d.]+\s[kMG]?B/i);
}));

test('live pictures', () => world(own, async ({ open, router }) => {
	await shapes(router);

	for (const view of VIEWS) {
		const page = await open(view);

		await page.screenshot({ path: join(pictures, `${view}-live.png`), fullPage: true });
		assert.deepEqual(page.faults, [], view);
	}
}));

test('another level doubles the line that the provider sees', () => world(own, async ({ open, router }) => {
	await shapes(router);

	const wired = async () => (await router.query('history', { seconds: 60 })).wire_upload_bytes_per_s.slice(-8, -1).reduce((sum, value) => sum + value / 7, 0);
	const settings = await open('settings');

	router.changed = true;
	await settings.locator('[data-name=level] select').selectOption('strict');
	await apply(settings);
	await until(async () => (await router.query('status'))?.upload_kbit === 320, 'the daemon has the new rate');
	await until(async () => Math.abs(await wired() - 40_000) < 8_000, 'the line is that high');
}));

test('Stop and Start: the pages follow until the devices are protected again', () => world(own, async ({ open, router }) => {
	await shapes(router);

	const page = await open('overview');
	const shown = () => page.getAttribute('[data-state]', 'data-state').catch(() => null);

	await page.click('[data-action=stop]:enabled');
	await until(async () => await shown() === 'absent', 'off');
	await page.click('[data-action=start]:enabled');
	await until(async () => await shown() === 'shaping', 'protected again');
	assert.deepEqual(page.faults, []);
}));
