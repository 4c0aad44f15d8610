// The page Overview: state, graph, data, check of the wire, on and off.
import assert from 'node:assert/strict';

import { USED } from '../answers.mjs';
import { ENABLED, remote, test, until, withRouter } from '../harness.mjs';

test('while millpond is off, the page says how to turn it on', () => withRouter({ daemon: 'real' }, async ({ open }) => {
	const page = await open('overview');

	assert.match(await page.innerText('[data-state]'), /off/i);
	assert.match(await page.innerText('[data-name=way-out]'), /Turn it on/);
	assert.equal(await page.locator('[data-name=audit]').count(), 0, 'without a daemon there is no check of the wire');
	assert.deepEqual(page.faults, []);
}));

test('"Turn on" and "Turn off" start and end the daemon through the settings', () => withRouter({ daemon: 'real' }, async ({ open, router }) => {
	const page = await open('overview');

	// LuCI loads the page again after it has applied changes; a click before that is lost.
	await Promise.all([ page.waitForEvent('load'), page.click('[data-action=enable]') ]);
	await until(() => router.runs(), 'the daemon runs');
	assert.equal((await router.settings()).find(({ id }) => id === 'main').options.enabled, '1');

	const shown = async () => page.getAttribute('[data-state]', 'data-state').catch(() => null);

	await until(async () => [ 'starting', 'blocked', 'shaping' ].includes(await shown()), 'the page shows the daemon\'s state');

	const { problems } = await router.query('status');

	await until(async () => await page.locator('[data-problem]').count() >= problems.length, 'each problem has a notice');

	for (const { code } of problems)
		assert.match(await page.getAttribute(`[data-problem="${code}"] a`, 'href'), new RegExp(`help#problem-${code}$`));

	await page.waitForSelector('[data-action=disable]:enabled');
	await page.click('[data-action=disable]');
	await until(async () => !await router.runs(), 'the daemon has ended');
	await until(async () => await shown() === 'absent', 'the page says so');
}));

test('the page survives a stop and a start of the daemon', () => withRouter({ daemon: 'real', settings: ENABLED }, async ({ open, router }) => {
	await router.service('start');

	const page = await open('overview');
	const shown = () => page.getAttribute('[data-state]', 'data-state');

	assert.notEqual(await shown(), 'absent');
	await page.click('[data-action=stop]');
	await until(async () => await shown() === 'absent', 'off');
	await page.click('[data-action=start]:enabled');
	await until(async () => await shown() !== 'absent', 'back');
	assert.deepEqual(page.faults, []);
}));

test('the graph and the devices come from the daemon, through the broker', () => withRouter({ daemon: 'real', settings: ENABLED }, async ({ open, router }) => {
	await router.service('start');
	await until(() => router.runs(), 'the daemon publishes its ubus object');

	const page = await open('overview');

	assert.equal((await router.query('history', { seconds: 300 })).resolution_s, 1);
	await page.waitForSelector('svg.millpond-graph');
	await until(async () => /Front door camera/.test(await page.innerText('[data-policy=shape]')), 'the daemon\'s devices');
	assert.deepEqual(page.faults, []);
}));

test('values that an older or newer daemon lacks are left out', async () => {
	await withRouter({ extra: { interface: 2, state: 'pondering', problems: [ { code: 'moon', severity: 'warning', text: 'the moon', fix: 'wait' } ], peers: null, cell: null } }, async ({ open }) => {
		const page = await open('overview');

		assert.equal(await page.getAttribute('[data-mismatch]', 'data-mismatch'), 'newer');
		assert.match(await page.innerText('[data-problem=moon]'), /the moon\s+wait/i);
		assert.deepEqual(page.faults, []);
	});
	await withRouter({ extra: { interface: undefined, state: undefined } }, async ({ open }) => {
		assert.equal(await (await open('overview')).getAttribute('[data-mismatch]', 'data-mismatch'), 'older');
	});
});

test('the page shows the data used and the check of the wire, and can repeat the check', () => withRouter({
	extra: { ...USED, audit: { age_s: 7200, running: false, packets: 12000, wire_bytes: 508, faults: [] }, peers: [ { min_watch_days: 112.5 }, {} ] }
}, async ({ open, router }) => {
	const page = await open('overview');

	assert.match(await page.innerText('[data-name=watching]'), /at least 112 days of watching/);
	router.answers.status.peers = [ { min_watch_days: 0.25 }, { min_watch_days: 3650 } ];
	await until(async () => /at least 6 hours of watching/.test(await page.innerText('[data-name=watching]')), 'the least of all peers');
	router.answers.status.peers = [ {} ];
	await until(async () => await page.locator('[data-name=watching]').count() === 0, 'an older daemon, or a law that hides nothing');

	assert.match(await page.innerText('[data-name=audit]'), /12,000 packets seen, all 508 bytes, nothing else/);
	assert.match(await page.innerText('.millpond-tiles'), /Saver\s+to save data[^]*42\sGB\s+14\s%[^]*150\sGB\s+50\s%/);
	await page.click('[data-action=audit]');
	await until(async () => /is running/.test(await page.innerText('[data-name=audit]')), 'the page says that it runs');
	assert.ok(await page.locator('[data-action=audit]').isDisabled());
	assert.ok(router.calls.some(([ , object, method ]) => object === 'millpond' && method === 'audit'));
	Object.assign(router.answers.status, { audit: { age_s: 1, running: false, packets: 2000, wire_bytes: 508, faults: [ '3 packets of 96 bytes' ] } });
	await until(async () => /Needs attention[^]*3 packets of 96 bytes/i.test(await page.innerText('[data-name=audit]')), 'the new result');
}));

test('the graph draws both panes and describes them in words', () => withRouter({}, async ({ open }) => {
	const page = await open('overview');
	const label = await page.getAttribute('svg.millpond-graph', 'aria-label');

	assert.match(label, /Traffic at home: up to 216\skbit\/s. Your provider sees: up to 320\skbit\/s./);
	assert.equal(await page.locator('svg.millpond-graph polyline').count(), 4);
	await page.locator('[data-name=span]').selectOption('86400');
	await until(async () => (await page.getAttribute('svg.millpond-graph polyline >> nth=0', 'points')).split(' ').length === 360, 'a day of samples');
}));

test('the tile on the status page', () => withRouter({ daemon: 'any' }, async ({ open }) => {
	const page = await open('overview', { path: 'admin/status' });

	await page.waitForSelector('[data-name=millpond-tile]', { state: 'attached' });
	assert.match(await page.textContent('[data-name=millpond-tile]'), remote ? /Off|Starting|Closed|Protected/ : /Protected/);
}));

test('a problem links to its explanation, which is open and in view', () => withRouter({
	daemon: 'any', settings: `${ENABLED}\nconfig network\n\toption name 'nowhere'\n`,
	extra: { problems: [ { code: 'network-missing', severity: 'error', text: 'there is no such network', fix: '' } ] }
}, async ({ open }) => {
	const page = await open('overview');

	await page.click('[data-problem=network-missing] a');
	await page.waitForSelector('#problem-network-missing[open] p');
	await until(() => page.locator('#problem-network-missing').evaluate((node) => node.getBoundingClientRect().top >= 0 && node.getBoundingClientRect().bottom <= window.innerHeight), 'the explanation is in view');
	assert.equal(await page.locator('.millpond-problem[open]').count(), 1);
}));
