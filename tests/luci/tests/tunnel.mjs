// Pasting the text from a server, and the tunnel's keys, which stay on the router.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { apply, paste, program, tab, test, until, withRouter } from '../harness.mjs';

const SECRET = execFileSync('wg', [ 'genkey' ], { encoding: 'utf8' }).trim();

test('a pasted configuration fills the form, and its secret key stays in a file', () => withRouter({ keys: true }, async ({ open, folder, file }) => {
	const page = await open('settings');

	await paste(page, 'hello');
	assert.match(await page.innerText('.modal [role=alert]'), /is not a WireGuard configuration/);
	await page.locator('.modal textarea').fill(`[Interface]\nPrivateKey = ${SECRET}\nAddress = 10.9.0.7/24\n[Peer]\nPublicKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\nEndpoint = vpn.example.net:4500\nAllowedIPs = 0.0.0.0/0\n`);
	await page.click('[data-action=read]');
	await page.waitForSelector('[data-action=take]');
	assert.match(await page.innerText('.modal'), /vpn\.example\.net:4500[^]*10\.9\.0\.7/, 'the dialogue shows the contents first');
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
		assert.ok(!received.includes(SECRET), 'the browser never gets the secret key');
}));

/* A join text for a home of that name, from `millpond endpoint add-home`. */
function joinText(folder, name, ...options) {
	const config = join(folder, 'endpoint.uci');
	const run = (...command) => execFileSync(program, [ 'endpoint', ...command, '--config', config ], { encoding: 'utf8', stdio: [ 'ignore', 'pipe', 'ignore' ] });

	if (!existsSync(config))
		run('init', '--host', 'vpn.example.org', '--anyway', '--no-start', '--keys', folder);

	return run('add-home', name, ...options, '--socket', join(folder, 'no.sock')).trim();
}

test('a join text fills the settings, its keys stay on the router, and a refusal names the reason', () => withRouter({ keys: true }, async ({ open, folder, file }) => {
	const page = await open('settings');
	const text = joinText(folder, 'maple street');

	await paste(page, text.slice(0, -20));
	assert.match(await page.innerText('.modal [role=alert]'), /incomplete/);

	// Mail programs wrap lines.
	await page.locator('.modal textarea').fill(`  ${text.replace(/(.{60})/g, '$1\n')}\n`);
	await page.click('[data-action=read]');
	await page.waitForSelector('[data-action=take]');
	assert.match(await page.innerText('.modal'), /maple street[^]*vpn\.example\.org:51820/);
	assert.ok(!existsSync(join(folder, 'keys')), 'no key is kept before the user confirms');
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.org:51820', 'the form is filled');
	assert.doesNotMatch(file(), /vpn\.example\.org/, 'nothing is applied yet');
	await apply(page);
	await until(() => /vpn\.example\.org/.test(file()), 'the settings are written');

	const [ , path ] = /option join_key '(.*)'/.exec(file());

	assert.equal(statSync(path).mode & 0o777, 0o600);
	assert.match(file(), /option enabled '0'/, 'millpond stays off');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);

	const again = await open('settings');

	await paste(again, text);
	assert.match(await again.innerText('.modal [role=alert]'), /has already used this join text/);

	const secret = readFileSync(path, 'utf8').trim();

	for (const { received } of [ page, again ])
		assert.ok(!received.includes(secret), 'the browser never gets the secret key');
}));

test('a join text for the router\'s own key', () => withRouter({ keys: true }, async ({ open, folder, file }) => {
	const before = await open('settings');
	const own = (await before.textContent('[data-name=public-key]')).trim();

	await paste(before, joinText(folder, 'remote', '--public-key', execFileSync('wg', [ 'pubkey' ], { input: SECRET, encoding: 'utf8' }).trim()));
	assert.match(await before.innerText('.modal [role=alert]'), /made for another router/);

	const page = await open('settings');

	await paste(page, joinText(folder, 'here', '--public-key', own));
	assert.match(await page.innerText('.modal'), /the pair that this router made/);
	await page.click('[data-action=take]');
	await until(async () => await page.locator('[data-name=endpoint] input').inputValue().catch(() => '') === 'vpn.example.org:51820', 'the form is filled');
	await apply(page);
	await until(() => /vpn\.example\.org/.test(file()), 'the settings are written');
	execFileSync(program, [ 'check', '--config', join(folder, 'config/millpond') ]);
}));

test('with a millpond that is too old for join texts, the dialogue says so', () => withRouter({ command: '/bin/false', keys: true }, async ({ open }) => {
	const page = await open('settings');

	await paste(page, 'millpond1-AAAA');
	assert.match(await page.innerText('.modal [role=alert]'), /too old/);
	await page.getByRole('button', { name: 'Cancel' }).click();
	assert.ok(!await page.locator('.modal [role=alert]').isVisible());
}));

test('the router makes a pair of keys', () => withRouter({ keys: true }, async ({ open, folder, file }) => {
	const page = await open('settings');

	await tab(page, 'Keys');
	await page.getByRole('button', { name: 'Make a new pair' }).click();
	await until(() => existsSync(join(folder, 'keys')) && readdirSync(join(folder, 'keys')).some((name) => name.endsWith('.private')), 'the key file exists');

	const [ name ] = readdirSync(join(folder, 'keys'));
	const secret = readFileSync(join(folder, 'keys', name), 'utf8').trim();

	await page.waitForSelector('text=/public key: /i');
	await apply(page);
	await until(() => file().includes(name), 'the settings name the key file');
	assert.ok(!page.received.includes(secret));
}));
