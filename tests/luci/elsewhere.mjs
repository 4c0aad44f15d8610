// The router at LUCI_URL, as a user of it could bring it into a state: over /ubus, with the user's own rights. What its settings were is put back
// in the end; its tunnel is left alone.
import assert from 'node:assert/strict';

import { parse } from './uci.mjs';

const NOBODY = '0'.repeat(32);
const INIT = '/etc/init.d/millpond';
/* Sections that the tests change. */
const OURS = [ 'millpond', 'device', 'network', 'schedule', 'level' ];
const START_MS = 60_000;

export class Elsewhere {
	/* Logs in; `request` is playwright's, whose requests take a router's own certificate. */
	static async at({ url, user, password, request }) {
		const made = new Elsewhere();

		Object.assign(made, { url: url.replace(/\/+$/, ''), users: { [user]: { password } }, user, http: await request.newContext({ ignoreHTTPSErrors: true }) });
		await made.login();
		made.before = await made.settings();
		made.shaping = made.before.some(({ id, options }) => id === 'main' && options.enabled === '1') && await made.comesToShape();

		return made;
	}

	async login() {
		const [ status, answer ] = await this.send(NOBODY, 'session', 'login', { username: this.user, password: this.users[this.user].password, timeout: 3600 });

		assert.equal(status, 0, `${this.user} cannot log in at ${this.url}: is LUCI_PASSWORD right?`);
		this.session = answer.ubus_rpc_session;
	}

	/* [status, data] of a call; a mistake of the protocol, such as an object that is not there, is a status too. */
	async send(session, object, method, parameters) {
		const response = await this.http.post(`${this.url}/ubus/`, {
			data: { jsonrpc: '2.0', id: 1, method: 'call', params: [ session, object, method, parameters ] }
		});
		const { result, error } = await response.json();

		return error ? [ error.code ] : result;
	}

	async call(object, method, parameters) {
		const [ status, data ] = await this.send(this.session, object, method, parameters);

		assert.equal(status, 0, `${object} ${method} at ${this.url} ended with ${status}`);

		return data;
	}

	/* An answer of the daemon's, or null where it does not run. */
	async query(method, parameters = {}) {
		const [ status, data ] = await this.send(this.session, 'millpond', method, parameters);

		return status === 0 ? data ?? {} : null;
	}

	/* Whether it shapes, or does so before long. */
	async comesToShape() {
		for (const end = Date.now() + START_MS; Date.now() < end; await new Promise((done) => setTimeout(done, 500))) {
			if ((await this.query('status'))?.state === 'shaping')
				return true;
		}

		return false;
	}

	async runs() {
		return await this.query('status') !== null;
	}

	/* The settings in force: { id, type, anonymous, options } in their order. */
	async settings() {
		const { values } = await this.call('uci', 'get', { config: 'millpond' });

		return Object.values(values).sort((a, b) => a['.index'] - b['.index']).map((section) => ({
			id: section['.name'], type: section['.type'], anonymous: section['.anonymous'],
			options: Object.fromEntries(Object.entries(section).filter(([ name ]) => !name.startsWith('.')))
		}));
	}

	async service(action) {
		const { code, stderr } = await this.call('file', 'exec', { command: INIT, params: [ action ] });

		assert.ok(!code, stderr);
	}

	/* Settings from a text of the tests, as far as they are ours, and waits until the daemon follows. */
	async set(text) {
		this.changed = true;
		await this.replace(parse(text));
	}

	/* The settings before the tests; a daemon that ran then runs. */
	async putBack() {
		if (this.changed)
			await this.replace(this.before);

		this.changed = false;
	}

	async replace(wanted) {
		for (const { id } of (await this.settings()).filter(({ type, id }) => OURS.includes(type) && id !== 'main'))
			await this.call('uci', 'delete', { config: 'millpond', section: id });

		const sections = wanted.filter(({ type }) => OURS.includes(type));
		const main = sections.find(({ id }) => id === 'main').options;
		const superfluous = Object.keys((await this.settings()).find(({ id }) => id === 'main').options).filter((option) => !(option in main));

		if (superfluous.length)
			await this.call('uci', 'delete', { config: 'millpond', section: 'main', options: superfluous });

		await this.call('uci', 'set', { config: 'millpond', section: 'main', values: main });

		for (const { id, type, anonymous, options } of sections.filter((section) => section.id !== 'main'))
			await this.call('uci', 'add', { config: 'millpond', type, ...(anonymous ? {} : { name: id }), values: options });

		await this.call('uci', 'apply', { rollback: false });
		await this.follow(main.enabled === '1');
	}

	/* procd reloads by and by. A daemon that a test has stopped is started again. */
	async follow(enabled) {
		const end = Date.now() + START_MS;

		for (let round = 1; await this.runs() !== enabled; round++) {
			assert.ok(Date.now() < end, `the daemon at ${this.url} does not ${enabled ? 'start' : 'end'}`);

			if (round % 10 === 0)
				await this.service(enabled ? 'start' : 'reload');

			await new Promise((done) => setTimeout(done, 500));
		}
	}
}
