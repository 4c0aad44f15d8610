// The page Settings: the comparison of levels, and a field for every option of the program.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { ENABLED, SETTINGS, apply, applyAll, program, root, tab, test, until, withRouter } from '../harness.mjs';

const SOURCES = join(root, '../src');
/* Options without a field of their own, and why. */
const WITHOUT_FIELD = {
	'main.allow': 'only endpoints have it', 'main.threads': 'only endpoints have it', 'main.exit': 'only endpoints have it',
	'main.role': 'the pages are for routers', 'tunnel.private_key': 'secret: pasted, or made on the router', 'tunnel.join_key': 'secret: pasted', 'tunnel.preshared_key': 'secret: pasted',
	'level.upload': 'set by "Use these rates"', 'level.download': 'set by "Use these rates"', 'level.cell': 'set by "Use these rates"',
	'device.address': 'known to the router', 'device.self': 'only in the package for Debian, which has no pages', 'device.policy': 'the column Choice',
	'network.name': 'known to the router', 'network.device': 'known to the router', 'network.policy': 'the column Choice', 'network.strict': 'the column Unknown devices'
};

/* The options of a router's settings, from the program's parser: 'main.level', ... */
function options() {
	const found = [];

	for (const name of readdirSync(join(SOURCES, 'config/parse')).filter((name) => name.endsWith('.rs'))) {
		const section = name === 'general.rs' ? 'main' : name.replace('.rs', '');

		for (const [ , prefix, list ] of readFileSync(join(SOURCES, 'config/parse', name), 'utf8').matchAll(/^const (?:(\w+)_)?OPTIONS: \[&str; \d+\] = \[([^\]]*)\]/gm)) {
			// Only endpoints have homes.
			if (section !== 'home')
				found.push(...[ ...list.matchAll(/"(\w+)"/g) ].map(([ , option ]) => `${prefix?.toLowerCase() ?? section}.${option}`));
		}
	}

	return found;
}

/* The codes of all problems. */
function codes() {
	return [ 'daemon/problem.rs', 'plan/preflight.rs' ].flatMap((name) => {
		const [ body ] = readFileSync(join(SOURCES, name), 'utf8').match(/fn name\(self\)[^]*?\n {4}\}\n/);

		return [ ...body.matchAll(/=> "([a-z-]+)"/g) ].map(([ , code ]) => code);
	});
}

test('every option of the program has a field, and every problem has an explanation', () => withRouter({ daemon: 'any', settings: `${SETTINGS}\nconfig schedule\n\toption start '23:00'\n\toption stop '06:00'\n\toption level 'saver'\n\nconfig wan 'wan'\n\toption network 'wwan'\n\toption level 'saver'\n\nconfig burst 'burst'\n\tlist device 'Front door camera'\n\toption upload '600'\n\toption download '200'\n` }, async ({ open }) => {
	const settings = await open('settings');
	const labels = await settings.locator('label[for]').evaluateAll((nodes) => nodes.map((node) => /millpond\.(\w+)\.(\w+)$/.exec(node.htmlFor)?.slice(1)).filter(Boolean));
	const devices = await open('devices');
	const fields = [
		...labels.map(([ section, option ]) => `${/^cfg/.test(section) ? 'schedule' : section}.${option}`),
		...(await devices.locator('details >> nth=0 >> [data-name]').evaluateAll((nodes) => nodes.map((node) => `device.${node.dataset.name}`)))
	];
	const known = options();

	assert.ok(known.length > 40, `${known}`);
	assert.deepEqual(known.filter((option) => !fields.includes(option) && !(option in WITHOUT_FIELD)), [], 'options without a field');
	assert.deepEqual(fields.filter((field) => !/\._/.test(field) && !known.includes(field)), [], 'fields without an option');
	assert.deepEqual(Object.keys(WITHOUT_FIELD).filter((option) => !known.includes(option) || fields.includes(option)), [], 'entries of WITHOUT_FIELD that are not needed');

	const help = await open('help');

	assert.deepEqual((await help.locator('[id^=problem-]').evaluateAll((nodes) => nodes.map((node) => node.id.slice(8)))).sort(), codes().sort());
}));

test('the program accepts the values of the advanced fields', () => withRouter({}, async ({ open, folder, file }) => {
	const page = await open('settings');
	const field = (name) => page.locator(`[data-name=${name}] :is(input:not([type=hidden]), textarea)`).first();

	await page.locator('[data-name=level] select').first().selectOption('custom');
	await tab(page, 'Advanced');
	await page.locator('[data-name=law] select').selectOption('normal');

	for (const [ name, value ] of [ [ 'spread', '18' ], [ 'train', '4' ], [ 'table', '4000' ], [ 'priority', '800' ], [ 'mark', '0x00020000' ], [ 'cell', '640' ], [ 'audit', '3' ] ])
		await field(name).fill(value);

	await tab(page, 'Advanced', 1);

	for (const [ name, value ] of [ [ 'listen_port', '4500' ], [ 'address6', 'fd00:77::2' ], [ 'backup', 'vpn.example.net:51820 ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=' ] ])
		await field(name).fill(value);

	await apply(page);
	await until(() => /address6/.test(file()), 'the settings are written');

	for (const line of [ 'option law \'normal\'', 'option spread \'18\'', 'option train \'4\'', 'option table \'4000\'', 'option priority \'800\'', 'option mark \'0x00020000\'', 'option cell \'640\'', 'option audit \'3\'', 'option listen_port \'4500\'', 'list backup \'vpn.example.net:51820 ISIj' ])
		assert.ok(file().includes(line), `${line}: ${file()}`);

	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);

	const again = await open('settings');

	await tab(again, 'Advanced');
	await again.locator('[data-name=mark] input').last().fill('0x3');
	await apply(again);
	await new Promise((done) => setTimeout(done, 500));
	assert.doesNotMatch(file(), /0x3/);
}));

test('the daemon applies a chosen level', () => withRouter({ daemon: 'real', settings: ENABLED }, async ({ open, router }) => {
	await router.service('start');
	assert.equal((await router.query('status')).upload_kbit, 80);

	const page = await open('settings');

	await page.locator('[data-name=level] select').selectOption('strict');
	await applyAll(page);
	await until(async () => (await router.query('status'))?.upload_kbit === 160, 'the daemon has the new rate');
}));

test('the page refuses an invalid server before it writes the settings', () => withRouter({ daemon: 'any' }, async ({ open, router }) => {
	const page = await open('settings');

	await page.locator('[data-name=endpoint] input').fill('no port');
	await apply(page);
	await new Promise((done) => setTimeout(done, 500));
	assert.doesNotMatch(JSON.stringify(await router.settings()), /no port/);
}));

test('each level is listed with its delays in this home, and fitted rates need a confirmation', () => withRouter({}, async ({ open, file, folder }) => {
	const page = await open('settings');
	const row = (level) => page.locator('[data-name=prices] tr', { hasText: level });

	assert.match(await row('Balanced').innerText(), /in force[^]*and a speaker[^]*80\skbit\/s up, 160 down[^]*200\sms on average, nearly always under 1.1\ss[^]*78\sGB a month/i);
	assert.match(await row('Saver').innerText(), /32\skbit\/s up, 32 down: 21\sGB a month, 7\s% of your allowance[^]*57\sGB a month less than now/);
	await page.click('[data-name=device-delays] summary');
	assert.match(await page.locator('[data-name=delays] tr', { hasText: 'plug' }).innerText(), /1.7\ss/);
	assert.match(await page.locator('[data-name=delays] tr', { hasText: 'camera' }).innerText(), /22.5\ss: too long/i);

	await page.click('[data-action=fit-saver]');
	await page.getByRole('button', { name: 'Cancel' }).click();
	await page.click('[data-action=fit-saver]');
	await page.click('[data-action=confirm-rates]');
	await until(async () => await page.locator('[data-name=level] select').first().inputValue().catch(() => '') === 'saver', 'the level is chosen');
	await apply(page);
	await until(() => /config level 'saver'\n\toption upload '32'\n\toption download '32'\n\toption cell '1280'/.test(file()), 'the rates are in the settings');
	assert.match(file(), /option level 'saver'/);
	await page.click('[data-action=usual-saver]');
	await page.waitForSelector('[data-action=usual-saver]', { state: 'detached' });
	await apply(page);
	await until(() => !/config level/.test(file()), 'the default rates are in force again');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);
}));
