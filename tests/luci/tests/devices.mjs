// The page Devices: one choice for each device, and the options under More.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { SETTINGS, Skipped, apply, applyAll, program, test, until, withRouter } from '../harness.mjs';

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
	await applyAll(page);

	const section = async (type, name) => (await router.settings()).find((one) => one.type === type && one.options.name === name)?.options;

	await until(() => section('device', device.name), 'the settings contain the device');
	assert.equal((await section('device', device.name)).policy, 'shape');
	assert.match((await section('device', device.name)).mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
	assert.equal((await section('network', network.name)).policy, 'block');

	const again = await open('devices');

	await again.getByLabel(`Choice for the network ${network.name}`).selectOption('');
	await applyAll(again);
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

/* The row of a device without a section of its own, and its title. */
async function unchosen(page) {
	const { name } = await pick(page, /^Choice for (?!the network )/, 'direct');

	return { name, row: page.locator('tr', { has: page.getByLabel(`Choice for ${name}`, { exact: true }) }) };
}

/* The program accepts the settings of an emulated router. */
function accepts(folder) {
	if (folder)
		execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ], { stdio: [ 'ignore', 'ignore', 'ignore' ] });
}

test('the options under More (name, kind, tolerated delay, measuring)', () => withRouter({ daemon: 'any' }, async ({ open, folder, router }) => {
	const page = await open('devices');
	const { row } = await unchosen(page);
	const sections = async () => (await router.settings()).filter(({ type }) => type === 'device');
	const lamp = async () => (await sections()).find(({ options }) => options.name === 'Desk lamp')?.options;

	await row.getByText('More', { exact: true }).press('Enter');
	await row.getByLabel('Name').fill('Desk lamp');
	await row.getByLabel('Kind of device').selectOption('plug');
	assert.equal(await row.getByLabel('Tolerated delay').getAttribute('placeholder'), '1.7');
	await row.getByLabel('Tolerated delay').fill('700');
	await row.getByLabel('Measure it').check();
	await apply(page);
	await until(async () => /0.001 to 600/.test(await page.innerText('body')), 'the page refuses an invalid delay');
	assert.equal(await lamp(), undefined);
	await row.getByLabel('Tolerated delay').fill('2.5');
	await applyAll(page);

	const { mac, ...options } = await lamp();

	assert.match(mac, /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/);
	assert.deepEqual(options, { name: 'Desk lamp', policy: 'direct', kind: 'plug', tolerance: '2500', watch: '1' });
	accepts(folder);

	const again = await open('devices');
	const other = again.locator('tr', { has: again.getByLabel('Choice for Desk lamp') });

	await other.getByText('More', { exact: true }).click();
	assert.equal(await other.getByLabel('Tolerated delay').inputValue(), '2.5');
	assert.ok(await other.getByLabel('Measure it').isChecked());
	await other.getByLabel('Tolerated delay').fill('');
	await other.getByLabel('Measure it').uncheck();
	await other.getByLabel('Choice for Desk lamp').selectOption('shape');
	await applyAll(again);
	assert.deepEqual(await lamp(), { name: 'Desk lamp', policy: 'shape', mac, kind: 'plug' }, 'empty options are removed');
	assert.equal((await sections()).length, 2);
}));

test('a device may have several MACs, and one that is none is refused', () => withRouter({ daemon: 'any' }, async ({ open, folder, router }) => {
	const page = await open('devices');
	const { name, row } = await unchosen(page);
	const macs = row.getByLabel(`MAC addresses of ${name}`).last();
	const device = async () => (await router.settings()).find(({ type, options }) => type === 'device' && options.name === name)?.options;

	await row.getByText('More', { exact: true }).click();

	const own = await row.locator('[data-name=mac] :is(textarea, input[type=hidden])').first().inputValue();

	if (page.standIn) {
		await macs.fill(`${own}\nnonsense`);
		await apply(page);
		await until(async () => /MAC address such as/.test(await page.innerText('body')), 'the page refuses it');
		await macs.fill(`${own}\nA0:92:08:7B:03:1C`);
	}
	else {
		// LuCI's list takes one entry at a time.
		await macs.fill('A0:92:08:7B:03:1C');
		await macs.press('Enter');
	}

	await applyAll(page);
	assert.deepEqual(await device(), { name, policy: 'direct', mac: [ own, 'A0:92:08:7B:03:1C' ] });
	accepts(folder);
	assert.match(await (await open('devices')).locator('tr', { hasText: own }).innerText(), new RegExp(`${own}, a0:92:08:7b:03:1c`));
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
