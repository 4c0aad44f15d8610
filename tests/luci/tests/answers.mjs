// Answers of the daemon's: recorded ones are like the program's own, and what one of another age does not say is left out.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { USED, advice } from '../answers.mjs';
import { SETTINGS, program, test, until, world } from '../harness.mjs';

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
const SOMETIMES = /^(cap_|month_price|price_per_gb|forecast_price|delay_|advised_|saver_|balanced_|strict_)/;

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

test('recorded answers have the keys of the real program\'s, and advice without a tunnel says what it waits for', async () => {
	const settings = SETTINGS.replace('enabled \'0\'', 'enabled \'1\'\n\toption data_cap \'300\'');
	let own;

	await world({ daemon: 'real', links: true, settings }, async ({ open, router, folder }) => {
		for (const words of [ 'link add br-lan type veth peer name other', 'addr add 192.168.1.1/24 dev br-lan', 'link set br-lan up', 'link set other up' ])
			execFileSync('ip', [ '-n', router.netns, ...words.split(' ') ]);

		const watch = [ program, 'advise', '--watch', '2s', '--json', '--config', join(folder, 'config/millpond') ];

		own = JSON.parse(execFileSync('ip', [ 'netns', 'exec', router.netns, ...watch ], { encoding: 'utf8', stdio: [ 'ignore', 'pipe', 'ignore' ] }));
		assert.deepEqual(differences(advice(), own), []);

		await router.service('start');
		await until(() => router.runs(), 'the object is published');

		const { level, level_by, data } = await router.query('status');

		assert.deepEqual(differences({ level: USED.level, level_by: USED.level_by, data: USED.data }, { level, level_by, data }), []);
		assert.match(await (await open('settings')).innerText('[data-name=confidence]'), /once its tunnel has stood/);

		const overview = await open('overview');

		await overview.click('[data-action=audit]');
		await until(async () => /did not work/i.test(await overview.innerText('body')), 'a check without a tunnel is refused, and the page says so');
		await overview.waitForSelector('[data-action=audit]:enabled');
		assert.deepEqual(overview.faults, []);
	});
	await world({ settings, methods: { advise: own } }, async ({ open }) => {
		const page = await open('settings');

		assert.match(await page.innerText('[data-name=confidence]'), /Nothing has been watched/);
		assert.match(await page.locator('[data-name=prices] tr', { hasText: 'Balanced' }).innerText(), /in force[^]*about[^]*52\s% of your allowance/i);
	});
});
