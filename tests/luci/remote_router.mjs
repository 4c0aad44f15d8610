// The router at LUCI_URL. The tests change it over /ubus, with the rights of the logged-in user, and restore its
// settings at the end. They never change its tunnel.
import assert from 'node:assert/strict';

import { parse } from './uci.mjs';

const NOBODY = '0'.repeat(32);
const INIT = '/etc/init.d/millpond';
/* Types of sections that the tests change. */
const CHANGED_TYPES = [ 'millpond', 'device', 'network', 'schedule', 'level' ];
const DAEMON_TIMEOUT_MS = 60_000;

export class RemoteRouter {
	/* Logs in. `request` is playwright's; its requests accept a router's self-signed certificate. `reader`: NAME:PASSWORD
	   of a user who may only read, if there is one. */
	static async at({ url, user, password, reader, request }) {
		const router = new RemoteRouter();

		Object.assign(router, { url: url.replace(/\/+$/, ''), users: { [user]: { password } }, user, http: await request.newContext({ ignoreHTTPSErrors: true }) });

		if (reader) {
			const [ name, ...words ] = reader.split(':');

			router.reader = name;
			router.users[name] = { password: words.join(':') };
		}

		router.session = await router.login(user);
		router.before = await router.settings();
		router.shaping = router.before.some(({ id, options }) => id === 'main' && options.enabled === '1') && await router.startsShaping();

		return router;
	}

	/* The id of a new session. */
	async login(user) {
		const [ status, answer ] = await this.send(NOBODY, 'session', 'login', { username: user, password: this.users[user].password, timeout: 3600 });

		assert.equal(status, 0, `${user} cannot log in at ${this.url}: is the password right?`);

		return answer.ubus_rpc_session;
	}

	/* [status, data] of a call. A JSON-RPC error, such as a missing object, is returned as a status too. */
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

	/* The daemon's answer, or null if it is not running. */
	async query(method, parameters = {}) {
		const [ status, data ] = await this.send(this.session, 'millpond', method, parameters);

		return status === 0 ? data ?? {} : null;
	}

	/* Whether the router shapes now or within DAEMON_TIMEOUT_MS. */
	async startsShaping() {
		for (const end = Date.now() + DAEMON_TIMEOUT_MS; Date.now() < end; await new Promise((done) => setTimeout(done, 500))) {
			if ((await this.query('status'))?.state === 'shaping')
				return true;
		}

		return false;
	}

	async runs() {
		return await this.query('status') !== null;
	}

	/* The sections of the settings in force, in order: { id, type, anonymous, options }. */
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

		if (action === 'stop')
			await this.staysStopped();
	}

	/* The reload that the last change of the settings has caused may still come, and starts a stopped service. */
	async staysStopped() {
		for (let quiet_s = 0; quiet_s < 5; quiet_s++) {
			await new Promise((done) => setTimeout(done, 1000));

			if (await this.runs()) {
				await this.call('file', 'exec', { command: INIT, params: [ 'stop' ] });
				quiet_s = -1;
			}
		}
	}

	/* Replaces the sections of CHANGED_TYPES by those of a UCI text, and waits until the daemon has followed. */
	async set(text) {
		this.changed = true;
		await this.replace(parse(text));
	}

	/* Restores the settings from before the tests. If the daemon ran then, it runs again. */
	async restore() {
		if (this.changed)
			await this.replace(this.before);

		this.changed = false;
	}

	async replace(wanted) {
		for (const { id } of (await this.settings()).filter(({ type, id }) => CHANGED_TYPES.includes(type) && id !== 'main'))
			await this.call('uci', 'delete', { config: 'millpond', section: id });

		const sections = wanted.filter(({ type }) => CHANGED_TYPES.includes(type));
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

	/* Waits until procd has started or ended the daemon. Helps with the init script, because a test may have stopped
	   the daemon. */
	async follow(enabled) {
		const end = Date.now() + DAEMON_TIMEOUT_MS;

		for (let round = 1; await this.runs() !== enabled; round++) {
			assert.ok(Date.now() < end, `the daemon at ${this.url} does not ${enabled ? 'start' : 'end'}`);

			if (round % 10 === 0)
				await this.service(enabled ? 'start' : 'reload');

			await new Promise((done) => setTimeout(done, 500));
		}
	}
}
