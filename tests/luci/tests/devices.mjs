// The devices: one choice each, and what is advanced.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { Skipped, apply, program, test, until, world } from '../harness.mjs';

/* The first of the page's selections with a label that fits and that value. */
async function pick(page, label, value) {
	for (const select of await page.getByLabel(label).all()) {
		if (await select.inputValue() === value)
			return { select, name: (await select.getAttribute('aria-label')).replace(label, '') };
	}

	throw new Skipped('the router knows none that could be chosen');
}

test('a device that is chosen is in the settings, with its name, and the settings are right', () => world({ daemon: 'real' }, async ({ open, router, folder }) => {
	const page = await open('devices');
	const device = await pick(page, /^Choice for (?!the network )/, 'direct');
	const network = await pick(page, /^Choice for the network /, 'direct');

	await device.select.selectOption('shape');
	await network.select.selectOption('block');
	await apply(page);

	const section = async (type, name) => (await router.settings()).find((one) => one.type === type && one.options.name === name)?.options;

	await until(() => section('device', device.name), 'the settings have it');
	assert.equal((await section('device', device.name)).policy, 'shape');
	assert.match((await section('device', device.name)).mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
	assert.equal((await section('network', network.name)).policy, 'block');
	assert.ok(!await router.runs());

	if (folder)
		execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ], { stdio: [ 'ignore', 'ignore', 'ignore' ] });
}));

test('a device with a MAC of its own making is pointed out', () => world({}, async ({ open }) => {
	const page = await open('devices');

	assert.match(await page.locator('tr', { hasText: 'phone' }).innerText(), /changes its address/i);
	assert.equal(await page.locator('[data-name=random-mac]').count(), 1);
}));
