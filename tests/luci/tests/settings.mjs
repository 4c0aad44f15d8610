// The settings: levels and what they cost, and every option that the program knows.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { ENABLED, apply, program, test, until, world } from '../harness.mjs';

test('a level that is chosen is in force in the daemon', () => world({ daemon: 'real', settings: ENABLED }, async ({ open, router }) => {
	await router.service('start');
	assert.equal((await router.query('status')).upload_kbit, 160);

	const page = await open('settings');

	await page.locator('[data-name=level] select').selectOption('strict');
	await apply(page);
	await until(async () => (await router.query('status'))?.upload_kbit === 320, 'the daemon has the new rate');
}));

test('nonsense is refused before it is written', () => world({ daemon: 'any' }, async ({ open, router }) => {
	const page = await open('settings');

	await page.locator('[data-name=endpoint] input').fill('no port');
	await apply(page);
	await new Promise((done) => setTimeout(done, 500));
	assert.doesNotMatch(JSON.stringify(await router.settings()), /no port/);
}));

test('what each level does to this home stands beside it, and fitted rates are set only when confirmed', () => world({}, async ({ open, file, folder }) => {
	const page = await open('settings');
	const row = (level) => page.locator('[data-name=prices] tr', { hasText: level });

	assert.match(await row('Balanced').innerText(), /in force[^]*160 kbit\/s up, 320 down[^]*100 ms on average, nearly always under 563 ms[^]*156 GB a month/i);
	assert.match(await row('Saver').innerText(), /32 kbit\/s up, 32 down: 21 GB a month, 7 % of your allowance/);
	await page.click('[data-name=device-delays] summary');
	assert.match(await page.locator('[data-name=delays] tr', { hasText: 'plug' }).innerText(), /1.7 s/);
	assert.match(await page.locator('[data-name=delays] tr', { hasText: 'camera' }).innerText(), /22.5 s: too long/i);

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
