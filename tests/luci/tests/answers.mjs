// The daemon's answers: the recorded ones have the keys of the real ones, and pages cope with an older daemon.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { USED, advice } from '../answers.mjs';
import { SETTINGS, program, test, until, withRouter } from '../harness.mjs';

test('with a daemon that has neither audit nor advise, the pages say that it is too old', () => withRouter({ without: [ 'advise', 'audit' ] }, async ({ open }) => {
	const overview = await open('overview');

	assert.match(await overview.innerText('[data-name=no-audit]'), /too old/);
	assert.equal(await overview.locator('[data-action=audit]').count(), 0);

	const settings = await open('settings');

	assert.match(await settings.innerText('[data-name=confidence]'), /estimates/);
	assert.equal(await settings.locator('[data-name=device-delays]').count(), 0);
	assert.deepEqual([ ...overview.faults, ...settings.faults ], []);
}));

/* Keys that an answer may lack. */
const OPTIONAL = /^(cap_|month_price|price_per_gb|forecast_price|delay_|advised_|saver_|balanced_|strict_)/;

/* Differences in keys or types between a recorded and a real answer. Of arrays, compares the first elements. */
function differences(recorded, real, path = '') {
	if (Array.isArray(recorded) && Array.isArray(real))
		return recorded.length && real.length ? differences(recorded[0], real[0], `${path}[]`) : [];

	if (typeof recorded !== typeof real)
		return [ `${path}: recorded ${typeof recorded}, real ${typeof real}` ];

	if (typeof real !== 'object' || real === null)
		return [];

	return [ ...new Set([ ...Object.keys(recorded), ...Object.keys(real) ]) ].filter((key) => key in real || !OPTIONAL.test(key))
		.flatMap((key) => differences(recorded[key], real[key], `${path}.${key}`));
}

test('recorded answers have the keys of real ones, and without a tunnel the settings say that no delays were measured', async () => {
	const settings = SETTINGS.replace('enabled \'0\'', 'enabled \'1\'\n\toption data_cap \'300\'');
	let real;

	await withRouter({ daemon: 'real', links: true, settings }, async ({ open, router, folder }) => {
		for (const command of [ 'link add br-lan type veth peer name other', 'addr add 192.168.1.1/24 dev br-lan', 'link set br-lan up', 'link set other up' ])
			execFileSync('ip', [ '-n', router.netns, ...command.split(' ') ]);

		const advise = [ program, 'advise', '--watch', '2s', '--json', '--config', join(folder, 'config/millpond') ];

		real = JSON.parse(execFileSync('ip', [ 'netns', 'exec', router.netns, ...advise ], { encoding: 'utf8', stdio: [ 'ignore', 'pipe', 'ignore' ] }));
		assert.deepEqual(differences(advice(), real), []);

		await router.service('start');
		await until(() => router.runs(), 'the daemon publishes its ubus object');

		const { level, level_by, data } = await router.query('status');

		assert.deepEqual(differences({ level: USED.level, level_by: USED.level_by, data: USED.data }, { level, level_by, data }), []);
		assert.match(await (await open('settings')).innerText('[data-name=confidence]'), /when its tunnel is up/);

		const overview = await open('overview');

		await overview.click('[data-action=audit]');
		await until(async () => /did not work/i.test(await overview.innerText('body')), 'the page reports that a check needs a tunnel');
		await overview.waitForSelector('[data-action=audit]:enabled');
		assert.deepEqual(overview.faults, []);
	});
	await withRouter({ settings, methods: { advise: real } }, async ({ open }) => {
		const page = await open('settings');

		assert.match(await page.innerText('[data-name=confidence]'), /Nothing has been measured/);
		assert.match(await page.locator('[data-name=prices] tr', { hasText: 'Balanced' }).innerText(), /in force[^]*about[^]*26\s% of your allowance/i);
	});
});
