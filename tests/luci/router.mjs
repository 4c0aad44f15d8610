// A router as LuCI sees it over /ubus: sessions with rights from the ACL files, the settings, the service, and the daemon.
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Uci } from './uci.mjs';

const STATUS = { denied: 6, notFound: 4, failed: 9 };
/* Rights that LuCI's own packages give to every session. */
const BASE = {
	read: { ubus: { luci: [ '*' ], 'luci-rpc': [ '*' ], uci: [ 'get', 'changes', 'state' ], file: [ 'list', 'stat' ], session: [ 'access' ], system: [ 'board' ] }, uci: [ 'luci', 'system' ] },
	write: { ubus: { uci: [ 'add', 'set', 'delete', 'rename', 'order', 'revert', 'apply' ] } }
};
const NOBODY = '0'.repeat(32);

export class Router {
	/* root: luci-app; work: a folder for this run; program: millpond; world: the laboratory's program, for the broker; answers: instead of a daemon, { method: answer }; command: what answers to the name of millpond; password: root's. */
	constructor({ root, work, program, world, answers, netns, command = program, password = 'root' }) {
		Object.assign(this, { root, work, program, world, answers, netns });
		this.config = join(work, 'config');
		this.socket = join(work, 'millpond.sock');
		this.bus = join(work, 'ubus.sock');
		this.logFile = join(work, 'log');
		mkdirSync(this.config, { recursive: true });
		writeFileSync(this.logFile, '');
		mkdirSync(join(work, 'bin'));
		symlinkSync(command, join(work, 'bin/millpond'));
		this.acl = JSON.parse(readFileSync(join(root, 'root/usr/share/rpcd/acl.d/luci-app-millpond.json')))['luci-app-millpond'];
		this.calls = [];
		/* Who may log in: with the right to change, and to read alone. */
		this.users = { root: { password, mode: 'write' }, guest: { password: 'guest', mode: 'read' } };
		this.sessions = new Map();
	}

	/* A new session's number, or undefined where name or password is wrong. */
	login(name, password) {
		const user = this.users[name];

		if (!user || user.password !== password)
			return undefined;

		const session = randomBytes(16).toString('hex');

		this.sessions.set(session, { mode: user.mode, uci: new Uci(this.config) });

		return session;
	}

	/* One call in a session, as uhttpd takes it. */
	async callIn(session, object, method, parameters) {
		if (session === NOBODY && object === 'session' && method === 'login') {
			const made = this.login(parameters.username, parameters.password);

			return made ? [ 0, { ubus_rpc_session: made } ] : [ STATUS.denied ];
		}

		const { mode, uci } = this.sessions.get(session) ?? {};

		return mode ? this.call(mode, object, method, parameters, uci) : [ STATUS.denied ];
	}

	/* Whether a session with that mode ('read', 'write') may: scope 'ubus', 'file' or 'uci'. */
	may(mode, scope, object, right) {
		return [ this.acl, BASE ].some((acl) => [ 'read', 'write' ].some((kind) => {
			if (kind === 'write' && mode !== 'write')
				return false;

			const rights = acl[kind]?.[scope];

			if (scope === 'uci')
				return (kind === 'write' || right === 'read') && (rights ?? []).includes(object);

			return [ '*', right ].some((name) => (rights?.[object] ?? []).includes(name));
		}));
	}

	/* One call as rpcd and the broker answer it: [status, data]. Each session has changes of its own. */
	async call(mode, object, method, parameters, uci = new Uci(this.config)) {
		this.calls.push([ mode, object, method ]);

		if (!this.may(mode, 'ubus', object, method))
			return [ STATUS.denied ];

		if (object === 'uci')
			return this.callUci(uci, mode, method, parameters);

		if (object === 'file' && method === 'exec')
			return this.exec(mode, parameters);

		if (object === 'millpond')
			return this.daemon(method, parameters);

		if (object === 'luci.millpond')
			return [ 0, await this.plugin(method, parameters) ];

		return OTHERS[`${object}.${method}`] ? [ 0, OTHERS[`${object}.${method}`](parameters) ] : [ STATUS.notFound ];
	}

	callUci(uci, mode, method, parameters) {
		const right = [ 'get', 'changes', 'state' ].includes(method) ? 'read' : 'write';

		if (parameters.config && !this.may(mode, 'uci', parameters.config, right))
			return [ STATUS.denied ];

		if (method === 'apply')
			return this.apply(uci).then(() => [ 0 ]);

		const answer = uci[method]?.(parameters);

		return answer === undefined ? [ 0 ] : [ 0, answer ];
	}

	async exec(mode, { command, params = [] }) {
		const line = [ command, ...params ].join(' ');

		if (!this.may(mode, 'file', line, 'exec'))
			return [ STATUS.denied ];

		if (command === '/sbin/logread')
			return [ 0, { code: 0, stdout: readFileSync(this.logFile, 'utf8').split('\n').slice(-200).join('\n') } ];

		return [ 0, await this.service(params[0]) ];
	}

	/* What the init script does. */
	async service(action) {
		if (action === 'support')
			return { code: 0, stdout: 'millpond support\nprivate_key <masked>\n' };

		if (action === 'stop' || action === 'restart')
			await this.stop();

		if (action !== 'stop')
			return this.start();

		return { code: 0 };
	}

	async start() {
		if (this.process)
			return { code: 0 };

		await this.startBroker();

		const run = [ this.program, 'run', '--config', join(this.config, 'millpond'), '--socket', this.socket, '--ubus', this.bus, '--guard-file', join(this.work, 'guard.nft'), '--usage-file', join(this.work, 'usage') ];
		const started = spawn('ip', [ 'netns', 'exec', this.netns, ...run ], { stdio: [ 'ignore', 'pipe', 'pipe' ] });
		const log = createWriteStream(this.logFile, { flags: 'a' });

		started.stdout.pipe(log, { end: false });
		started.stderr.pipe(log, { end: false });
		this.process = started;
		this.ended = new Promise((resolve) => started.once('exit', resolve)).then(() => {
			if (this.process === started)
				this.process = null;
		});

		for (let tries = 0; tries < 100 && this.process; tries++) {
			if ((await this.ask('status json')) !== null)
				break;

			await new Promise((resolve) => setTimeout(resolve, 50));
		}

		return { code: 0 };
	}

	/* The broker outlives the daemon, as ubusd does. */
	async startBroker() {
		if (this.broker)
			return;

		this.broker = spawn(this.world, [ 'broker', '--socket', this.bus ], { stdio: 'ignore' });

		for (let tries = 0; tries < 100 && !existsSync(this.bus); tries++)
			await new Promise((resolve) => setTimeout(resolve, 50));
	}

	async close() {
		await this.stop();
		this.broker?.kill('SIGTERM');
	}

	async stop() {
		if (!this.process)
			return;

		this.process.kill('SIGTERM');
		await this.ended;
	}

	/* As procd's trigger does: the service follows the settings. */
	async apply(uci) {
		const names = uci.commit();
		const on = uci.get({ config: 'millpond', section: 'main', option: 'enabled' }).value === '1';

		if (this.answers || !names.includes('millpond'))
			return;

		if (on && this.process)
			await this.ask('reload');
		else if (on)
			await this.start();
		else
			await this.stop();
	}

	async daemon(method, parameters) {
		if (this.answers) {
			const answer = this.answers[method];

			return answer === undefined ? [ STATUS.notFound ] : [ 0, typeof answer === 'function' ? answer(parameters) : answer ];
		}

		return this.overBus(method, parameters);
	}

	/* A call by way of the broker, with the argument that uhttpd adds to every one. */
	overBus(method, parameters) {
		const call = [ 'call', '--socket', this.bus, method, JSON.stringify({ ...parameters, ubus_rpc_session: '0'.repeat(32) }) ];

		return new Promise((resolve) => {
			execFile(this.world, call, (error, stdout) => {
				if (!error)
					resolve([ 0, stdout.trim() ? JSON.parse(stdout) : undefined ]);
				else
					resolve([ this.process ? STATUS.failed : STATUS.notFound ]);
			});
		});
	}

	/* An answer of the daemon's, or null where there is none. */
	async query(method, parameters = {}) {
		const [ status, data ] = await this.overBus(method, parameters);

		return status === 0 ? data ?? {} : null;
	}

	async runs() {
		return await this.query('status') !== null;
	}

	/* The settings in force. */
	async settings() {
		return new Uci(this.config).committed('millpond');
	}

	/* A request over the daemon's own socket, or null where nobody listens. */
	ask(request) {
		return new Promise((resolve) => {
			const socket = connect(this.socket);
			let text = '';

			socket.on('connect', () => socket.write(`${request}\n`));
			socket.on('data', (data) => { text += data; });
			socket.on('error', () => resolve(null));
			socket.on('close', () => resolve(text || null));
		});
	}

	/* The application's own object: its script, run as rpcd runs it. */
	plugin(method, parameters) {
		return new Promise((resolve) => {
			const environment = { ...process.env, PATH: `${join(this.work, 'bin')}:${fileURLToPath(new URL('bin', import.meta.url))}:${process.env.PATH}`, MILLPOND_KEYS: join(this.work, 'keys'), UCI_CONFIG_DIR: this.config };
			const child = execFile(join(this.root, 'root/usr/libexec/rpcd/luci.millpond'), [ 'call', method ], { env: environment }, (error, stdout) => {
				resolve(error ? { error: String(error) } : JSON.parse(stdout));
			});

			// Json-c, which rpcd uses, escapes slashes.
			child.stdin.end(JSON.stringify(parameters).replaceAll('/', '\\/'));
		});
	}
}

const HINTS = {
	'18:B4:30:26:34:40': { name: 'camera', ipaddrs: [ '192.168.1.20' ], ip6addrs: [] },
	'50:C7:BF:00:11:22': { name: 'plug', ipaddrs: [ '192.168.1.21' ], ip6addrs: [ 'fd00::21' ] },
	'DA:A1:19:01:02:03': { name: 'phone', ipaddrs: [ '192.168.1.22' ], ip6addrs: [] }
};

const OTHERS = {
	'luci-rpc.getHostHints': () => HINTS,
	'network.interface.dump': () => ({ interface: [
		{ interface: 'lan', l3_device: 'br-lan', device: 'br-lan' },
		{ interface: 'iot', l3_device: 'br-iot', device: 'br-iot' },
		{ interface: 'wan', l3_device: 'eth1', device: 'eth1' }
	] }),
	'luci.getFeatures': () => ({}),
	'session.access': () => ({ access: true }),
	'system.board': () => ({ hostname: 'router' }),
	'file.list': ({ path }) => ({ entries: path.endsWith('view/status/include') ? [ { name: '65_millpond.js', type: 'file' } ] : [] })
};
