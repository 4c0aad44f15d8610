// What a server gave, pasted; the tunnel's keys, which stay on the router.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { apply, paste, program, tab, test, until, world } from '../harness.mjs';

const SECRET = execFileSync('wg', [ 'genkey' ], { encoding: 'utf8' }).trim();

test('a pasted configuration fills the form, and its secret key stays in a file', () => world({ keys: true }, async ({ open, folder, file }) => {
	const page = await open('settings');

	await paste(page, 'hello');
	assert.match(await page.innerText('.modal [role=alert]'), /does not look like/);
	await page.locator('.modal textarea').fill(`[Interface]\nPrivateKey = ${SECRET}\nAddress = 10.9.0.7/24\n[Peer]\nPublicKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\nEndpoint = vpn.example.net:4500\nAllowedIPs = 0.0.0.0/0\n`);
	await page.click('[data-action=read]');
	await page.waitForSelector('[data-action=take]');
	assert.match(await page.innerText('.modal'), /vpn\.example\.net:4500[^]*10\.9\.0\.7/, 'what is in it is shown first');
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.net:4500', 'the form is filled');
	await apply(page);
	await until(() => /vpn.example.net/.test(file()), 'the settings are written');

	const [ , path ] = /option private_key '(.*)'/.exec(file());

	assert.equal(readFileSync(path, 'utf8').trim(), SECRET);
	assert.equal(statSync(path).mode & 0o777, 0o600);
	assert.match(file(), /option peer_address '10.9.0.1'/);
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);

	const again = await open('settings');
	const expected = execFileSync('wg', [ 'pubkey' ], { input: SECRET, encoding: 'utf8' }).trim();

	assert.equal((await again.textContent('[data-name=public-key]')).trim(), expected);

	for (const { received } of [ page, again ])
		assert.ok(!received.includes(SECRET), 'the secret key never comes to the browser');
}));

/* A text as an endpoint's operator gets it, for a home of that name. */
function joinText(folder, name, ...options) {
	const config = join(folder, 'endpoint.uci');
	const run = (...command) => execFileSync(program, [ 'endpoint', ...command, '--config', config ], { encoding: 'utf8', stdio: [ 'ignore', 'pipe', 'ignore' ] });

	if (!existsSync(config))
		run('init', '--host', 'vpn.example.org', '--anyway', '--no-start', '--keys', folder);

	return run('add-home', name, ...options, '--socket', join(folder, 'no.sock')).trim();
}

test('a join text fills the settings, keys stay on the router, and what is refused says why', () => world({ keys: true }, async ({ open, folder, file }) => {
	const page = await open('settings');
	const text = joinText(folder, 'maple street');

	await paste(page, text.slice(0, -20));
	assert.match(await page.innerText('.modal [role=alert]'), /not complete/);

	// As mail wraps it.
	await page.locator('.modal textarea').fill(`  ${text.replace(/(.{60})/g, '$1\n')}\n`);
	await page.click('[data-action=read]');
	await page.waitForSelector('[data-action=take]');
	assert.match(await page.innerText('.modal'), /maple street[^]*vpn\.example\.org:51820/);
	assert.ok(!existsSync(join(folder, 'keys')), 'nothing is kept before it is confirmed');
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.org:51820', 'the form is filled');
	assert.doesNotMatch(file(), /vpn\.example\.org/, 'nothing is applied yet');
	await apply(page);
	await until(() => /vpn\.example\.org/.test(file()), 'the settings are written');

	const [ , path ] = /option join_key '(.*)'/.exec(file());

	assert.equal(statSync(path).mode & 0o777, 0o600);
	assert.match(file(), /option enabled '0'/, 'turning on is left to the owner');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);

	const again = await open('settings');

	await paste(again, text);
	assert.match(await again.innerText('.modal [role=alert]'), /has used that join text already/);

	const secret = readFileSync(path, 'utf8').trim();

	for (const { received } of [ page, again ])
		assert.ok(!received.includes(secret), 'the secret key never comes to the browser');
}));

test('a join text for a key that is the router\'s own', () => world({ keys: true }, async ({ open, folder, file }) => {
	const before = await open('settings');
	const own = (await before.textContent('[data-name=public-key]')).trim();

	await paste(before, joinText(folder, 'elsewhere', '--public-key', execFileSync('wg', [ 'pubkey' ], { input: SECRET, encoding: 'utf8' }).trim()));
	assert.match(await before.innerText('.modal [role=alert]'), /made for another router/);

	const page = await open('settings');

	await paste(page, joinText(folder, 'here', '--public-key', own));
	assert.match(await page.innerText('.modal'), /the pair that this router has made/);
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.org:51820', 'the form is filled');
	await apply(page);
	await until(() => /vpn\.example\.org/.test(file()), 'the settings are written');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);
}));

test('an older millpond says that it is too old for a join text', () => world({ command: '/bin/false', keys: true }, async ({ open }) => {
	const page = await open('settings');

	await paste(page, 'millpond1-AAAA');
	assert.match(await page.innerText('.modal [role=alert]'), /too old/);
	await page.getByRole('button', { name: 'Cancel' }).click();
	assert.ok(!await page.locator('.modal [role=alert]').isVisible());
}));

test('a pair of keys is made on the router', () => world({ keys: true }, async ({ open, folder, file }) => {
	const page = await open('settings');

	await tab(page, 'Keys');
	await page.getByRole('button', { name: 'Make a new pair' }).click();
	await until(() => existsSync(join(folder, 'keys')) && readdirSync(join(folder, 'keys')).some((name) => name.endsWith('.private')), 'there is a file');

	const [ name ] = readdirSync(join(folder, 'keys'));
	const secret = readFileSync(join(folder, 'keys', name), 'utf8').trim();

	await page.waitForSelector('text=/public key: /i');
	await apply(page);
	await until(() => file().includes(name), 'the settings name it');
	assert.ok(!page.received.includes(secret));
}));
