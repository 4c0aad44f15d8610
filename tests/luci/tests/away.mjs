// The pages while the daemon does not run, ends, or answers late; and turning it on and off from there.
import assert from 'node:assert/strict';

import { ENABLED, Skipped, remote, test, until, withRouter } from '../harness.mjs';

const shown = (page) => page.getAttribute('[data-state]', 'data-state').catch(() => null);

test('without the daemon the page shows the choices of the settings, and no host of the WAN', () => withRouter({
	daemon: 'real',
	settings: `${ENABLED}\nconfig device\n\toption name 'Plug'\n\toption mac '50:c7:bf:00:11:22'\n\toption policy 'block'\n\nconfig network\n\toption name 'cameras'\n\toption device 'eth0.3'\n`
}, async ({ open, router }) => {
	await router.service('stop');
	await until(async () => !await router.runs(), 'the daemon has ended');

	const page = await open('overview');
	const listed = (policy) => page.innerText(`[data-policy=${policy}]`);

	assert.equal(await page.getAttribute('[data-headline]', 'data-headline'), 'stopped');
	assert.match(await page.innerText('[data-name=by-settings]'), /guard holds/);
	assert.match(await listed('shape'), /Front door camera/);
	assert.match(await listed('block'), /Plug/);

	if (remote)
		return;

	assert.match(await listed('shape'), /Protected: 2\s[^]*doorbell/i, 'the doorbell is on a protected network');
	assert.match(await listed('direct'), /Left alone: 2\s+drawer, phone$/i);
	assert.doesNotMatch(await page.innerText('#view'), /02:00:00|gateway|router/);

	const devices = await open('devices');

	assert.doesNotMatch(await devices.innerText('#view'), /02:00:00|gateway|203\.0\.113/);
	assert.deepEqual(await devices.locator('[aria-label^="Choice for the network"]').evaluateAll((nodes) => nodes.map((node) => node.ariaLabel.replace(/.* /, ''))), [ 'cameras', 'iot', 'lan' ]);
	assert.deepEqual([ ...page.faults, ...devices.faults ], []);
}));

for (const startsAtBoot of [ true, false ]) {
	test(`after Stop, "Turn off" opens and "Turn on" shapes, ${startsAtBoot ? 'with' : 'without'} a start at boot`, () => withRouter({ daemon: 'real', settings: ENABLED }, async ({ open, router }) => {
		if (remote && !startsAtBoot)
			throw new Skipped('LuCI\'s user may not disable the start at boot');

		router.startsAtBoot = startsAtBoot;
		await router.service('start');
		await until(() => router.runs(), 'the daemon runs');

		const page = await open('overview');
		const { flushes } = router;

		await page.click('[data-action=stop]:enabled');
		await until(async () => await shown(page) === 'absent', 'stopped');
		// LuCI loads the page again after it has applied changes.
		await Promise.all([ page.waitForEvent('load'), page.click('[data-action=disable]:enabled') ]);
		await until(async () => await page.getAttribute('[data-headline]', 'data-headline').catch(() => null) === 'off', 'off');

		if (!remote)
			await until(() => router.flushes > flushes, 'the guard is removed');

		await page.click('[data-action=enable]:enabled');
		await until(() => router.runs(), 'the daemon runs again');
		await until(async () => ![ null, 'absent' ].includes(await shown(page)), 'the page shows it');
		assert.ok(remote || router.startsAtBoot);
	}));
}

test('while the daemon ends, the page never loses its state', () => withRouter({ daemon: 'real', settings: ENABLED }, async ({ open, router }) => {
	await router.service('start');
	await until(() => router.runs(), 'the daemon runs');

	const page = await open('overview');

	await page.evaluate(() => {
		window.headlines = [];
		new MutationObserver(() => window.headlines.push(document.querySelector('[data-headline]')?.dataset.headline)).observe(document.getElementById('view'), { childList: true, subtree: true });
	});
	await router.service('stop');
	await until(async () => await shown(page) === 'absent', 'the page says that it does not run');
	assert.ok(await page.locator('[data-action=start]:enabled').count(), 'Start is there');
	assert.ok(!(await page.evaluate(() => window.headlines)).includes('unknown'));
}));

test('a late answer does not replace a newer one', () => withRouter({}, async ({ open, router }) => {
	const page = await open('overview');
	let release = null;

	await page.route(/\/ubus\/\?millpond\.status/, async (route) => {
		const response = await route.fetch();

		if (!release)
			await new Promise((done) => { release = done; });

		await route.fulfill({ response }).catch(() => {});
	});
	await until(() => release, 'a poll waits for its answer');
	router.answers.status.state = 'degraded';
	await page.locator('[data-name=span]').selectOption('60');
	await until(async () => await shown(page) === 'degraded', 'the newer answer');

	const answered = page.waitForEvent('requestfinished', (request) => /millpond\.status/.test(request.url()));

	await page.evaluate(() => {
		window.states = [];
		new MutationObserver(() => window.states.push(document.querySelector('[data-state]')?.dataset.state)).observe(document.getElementById('view'), { childList: true, subtree: true });
	});
	release();
	await answered;
	await page.locator('[data-name=span]').selectOption('300');
	await until(() => page.evaluate(() => window.states.length > 0), 'the next answer');
	assert.deepEqual([ ...new Set(await page.evaluate(() => window.states)) ], [ 'degraded' ]);
}));
