// The page Devices: one choice for each device, and the options under More.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { SETTINGS, Skipped, apply, program, test, until, withRouter } from '../harness.mjs';

/* The first list of the page with that value and a label that matches. Returns the list and the rest of its label. */
async function pick(page, label, value) {
	for (const select of await page.getByLabel(label).all()) {
		if (await select.inputValue() === value)
			return { select, name: (await select.getAttribute('aria-label')).replace(label, '') };
	}

	throw new Skipped('the router knows no device or network without a choice');
}

test('choosing a device and a network writes valid settings', () => withRouter({ daemon: 'real' }, async ({ open, router, folder }) => {
	const page = await open('devices');
	const device = await pick(page, /^Choice for (?!the network )/, 'direct');
	const network = await pick(page, /^Choice for the network /, '');

	await device.select.selectOption('shape');
	await network.select.selectOption('block');
	await apply(page);

	const section = async (type, name) => (await router.settings()).find((one) => one.type === type && one.options.name === name)?.options;

	await until(() => section('device', device.name), 'the settings contain the device');
	assert.equal((await section('device', device.name)).policy, 'shape');
	assert.match((await section('device', device.name)).mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
	assert.equal((await section('network', network.name)).policy, 'block');

	const again = await open('devices');

	await again.getByLabel(`Choice for the network ${network.name}`).selectOption('');
	await apply(again);
	await until(async () => !await section('network', network.name), '"No choice" removes the network from the settings');
	assert.equal((await section('device', device.name)).policy, 'shape');
	assert.ok(!await router.runs());

	if (folder)
		execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ], { stdio: [ 'ignore', 'ignore', 'ignore' ] });
}));

test('shutting unknown devices out of a network that has no other choice', () => withRouter({ daemon: 'any' }, async ({ open, router }) => {
	const page = await open('devices');
	const { name } = await pick(page, /^Choice for the network /, '');
	const section = async () => (await router.settings()).find((one) => one.type === 'network' && one.options.name === name)?.options;

	await page.getByLabel(`Shut out unknown devices in the network ${name}`).check();
	await apply(page);
	await until(section, 'the settings contain the network');
	assert.deepEqual([ (await section()).policy, (await section()).strict ], [ 'direct', '1' ]);

	const again = await open('devices');

	assert.ok(await again.getByLabel(`Shut out unknown devices in the network ${name}`).isChecked());
	await again.getByLabel(`Shut out unknown devices in the network ${name}`).uncheck();
	await apply(again);
	await until(async () => !(await section()).strict, 'the settings no longer shut unknown devices out');
	assert.equal((await section()).policy, 'direct');
}));

test('the page marks a device with a random MAC address', () => withRouter({}, async ({ open }) => {
	const page = await open('devices');

	assert.match(await page.locator('tr', { hasText: 'phone' }).innerText(), /changes its address/i);
	assert.equal(await page.locator('[data-name=random-mac]').count(), 1);
}));

test('the options under More (name, kind, tolerated delay, measuring)', () => withRouter({}, async ({ open, folder, file }) => {
	const page = await open('devices');
	const row = page.locator('tr', { has: page.getByLabel('Choice for plug') });

	await row.getByText('More', { exact: true }).press('Enter');
	await row.getByLabel('Name').fill('Desk lamp');
	await row.getByLabel('Kind of device').selectOption('plug');
	assert.equal(await row.getByLabel('Tolerated delay').getAttribute('placeholder'), '1.7');
	await row.getByLabel('Tolerated delay').fill('700');
	await row.getByLabel('Measure it').check();
	await apply(page);
	await until(async () => /0.001 to 600/.test(await page.innerText('body')), 'the page refuses an invalid delay');
	assert.doesNotMatch(file(), /Desk lamp/);
	await row.getByLabel('Tolerated delay').fill('2.5');
	await apply(page);
	await until(() => /Desk lamp/.test(file()), 'the settings contain the device');
	assert.match(file(), /config device\n\toption name 'Desk lamp'\n\toption policy 'direct'\n\toption mac '50:c7:bf:00:11:22'\n\toption kind 'plug'\n\toption tolerance '2500'\n\toption watch '1'/);
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);

	const again = await open('devices');
	const lamp = again.locator('tr', { has: again.getByLabel('Choice for Desk lamp') });

	await lamp.getByText('More', { exact: true }).click();
	assert.equal(await lamp.getByLabel('Tolerated delay').inputValue(), '2.5');
	assert.ok(await lamp.getByLabel('Measure it').isChecked());
	await lamp.getByLabel('Tolerated delay').fill('');
	await lamp.getByLabel('Measure it').uncheck();
	await lamp.getByLabel('Choice for Desk lamp').selectOption('shape');
	await apply(again);
	await until(() => !/tolerance|watch/.test(file()), 'empty options are removed');
	assert.equal(file().match(/config device/g).length, 2);
}));

test('a device may have several MACs, and one that is none is refused', () => withRouter({}, async ({ open, folder, file }) => {
	const page = await open('devices');
	const row = page.locator('tr', { has: page.getByLabel('Choice for plug') });
	const macs = row.getByLabel('MAC addresses of plug');

	await row.getByText('More', { exact: true }).click();
	assert.equal(await macs.inputValue(), '50:c7:bf:00:11:22');
	await macs.fill('50:c7:bf:00:11:22\nnonsense');
	await apply(page);
	await until(async () => /MAC address such as/.test(await page.innerText('body')), 'the page refuses it');
	await macs.fill('50:c7:bf:00:11:22\nA0-92-08-7B-03-1C');
	await apply(page);
	await until(() => /list mac 'A0-92/.test(file()), 'the settings contain both');
	assert.match(file(), /config device\n\toption name 'plug'\n\toption policy 'direct'\n\tlist mac '50:c7:bf:00:11:22'\n\tlist mac 'A0-92-08-7B-03-1C'/);
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);
	assert.match(await (await open('devices')).locator('tr', { hasText: '192.168.1.21' }).innerText(), /50:c7:bf:00:11:22, a0:92:08:7b:03:1c/);
}));

test('a device with several MACs is one entry, and a name cannot reverse the page', () => {
	const settings = `${SETTINGS}\nconfig device\n\toption name 'Lap\u202etop'\n\tlist mac '50C7.BF00.1122'\n\tlist mac '0-1-2-3-4-5'\n\toption policy 'block'\n`;

	return withRouter({ daemon: 'any', settings }, async ({ open }) => {
		const page = await open('devices');
		const row = page.locator('tr', { hasText: 'Lap\\u{202e}top' });

		assert.equal(await row.count(), 1);
		assert.match(await row.innerText(), /50:c7:bf:00:11:22/);
		assert.equal(await row.getByRole('combobox').first().inputValue(), 'block');
		assert.equal(await page.locator('tr', { hasText: '50:c7:bf:00:11:22' }).count(), 1);
		assert.doesNotMatch(await page.innerText('body'), /\u202e/);
	});
});
