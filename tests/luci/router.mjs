// Emulates a router as LuCI sees it over /ubus: sessions with the rights of the ACL file, the settings, the service,
// and the daemon.
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';

import { Uci } from './uci.mjs';

const STATUS = { denied: 6, notFound: 4, failed: 9 };
/* Rights that LuCI's own packages grant. */
const BASE = {
	read: { ubus: { luci: [ '*' ], 'luci-rpc': [ '*' ], uci: [ 'get', 'changes', 'state' ], file: [ 'list', 'stat' ], session: [ 'access' ], system: [ 'board' ] }, uci: [ 'luci', 'system' ] },
	write: { ubus: { uci: [ 'add', 'set', 'delete', 'rename', 'order', 'revert', 'apply' ] } }
};
const NOBODY = '0'.repeat(32);

export class Router {
	/* root: luci-app. work: a folder for this run. program: path of millpond. worldProgram: path of millpond-world,
	   which provides the broker. answers: { method: answer } in place of a daemon. command: the program that `millpond`
	   on PATH names. password: root's password. */
	constructor({ root, work, program, worldProgram, answers, netns, command = program, password = 'root' }) {
		Object.assign(this, { root, work, program, worldProgram, answers, netns });
		this.config = join(work, 'config');
		this.socket = join(work, 'millpond.sock');
		this.bus = join(work, 'ubus.sock');
		this.logFile = join(work, 'log');
		mkdirSync(this.config, { recursive: true });
		writeFileSync(join(this.config, 'firewall'), FIREWALL);
		writeFileSync(this.logFile, '');
		mkdirSync(join(work, 'bin'));
		symlinkSync(command, join(work, 'bin/millpond'));
		this.acl = JSON.parse(readFileSync(join(root, 'root/usr/share/rpcd/acl.d/luci-app-millpond.json')))['luci-app-millpond'];
		this.calls = [];
		/* As procd and rc.common know the service: at boot, and with a trigger for its settings. */
		this.startsAtBoot = true;
		this.isRegistered = true;
		/* How often the service has removed the guard of a disabled millpond. */
		this.flushes = 0;
		/* The users: one may change everything, one may only read. */
		this.users = { root: { password, mode: 'write' }, guest: { password: 'guest', mode: 'read' } };
		this.reader = 'guest';
		this.sessions = new Map();
	}

	/* The id of a new session, or undefined if the name or password is wrong. */
	login(name, password = this.users[name]?.password) {
		const user = this.users[name];

		if (!user || user.password !== password)
			return undefined;

		const session = randomBytes(16).toString('hex');

		this.sessions.set(session, { mode: user.mode, uci: new Uci(this.config) });

		return session;
	}

	/* Handles a call in a session, as uhttpd does. */
	async send(session, object, method, parameters) {
		if (session === NOBODY && object === 'session' && method === 'login') {
			const id = this.login(parameters.username, parameters.password);

			return id ? [ 0, { ubus_rpc_session: id } ] : [ STATUS.denied ];
		}

		const { mode, uci } = this.sessions.get(session) ?? {};

		return mode ? this.call(mode, object, method, parameters, uci) : [ STATUS.denied ];
	}

	/* Whether a session with a mode ('read', 'write') has a right on an object. `scope` is 'ubus', 'file' or 'uci'. */
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

	/* [status, data] of a call, as rpcd and the broker answer it. Each session has its own uncommitted changes. */
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

	/* Emulates the init script. */
	async service(action) {
		if (action === 'support')
			return { code: 0, stdout: 'millpond support\nprivate_key <masked>\n' };

		if (this.answers)
			return { code: 0 };

		if (action === 'enable') {
			this.startsAtBoot = true;

			return { code: 0 };
		}

		if (action === 'stop' || action === 'restart')
			await this.stop();

		this.isRegistered = action !== 'stop' || this.startsAtBoot;

		return action === 'stop' ? { code: 0 } : this.follow();
	}

	/* Starts or ends the daemon as the settings say, as the init script does. */
	async follow() {
		if (new Uci(this.config).get({ config: 'millpond', section: 'main', option: 'enabled' }).value === '1') {
			if (!this.process)
				return this.start();

			await this.ask('reload');
		}
		else {
			await this.stop();
			this.flushes++;
		}

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

	/* Starts the broker, which keeps running when the daemon ends, as ubusd does. */
	async startBroker() {
		if (this.broker)
			return;

		this.broker = spawn(this.worldProgram, [ 'broker', '--socket', this.bus ], { stdio: 'ignore' });

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

	/* Commits the changes. The service then follows the settings, as procd's trigger makes it do. */
	async apply(uci) {
		const names = uci.commit();

		if (!this.answers && names.includes('millpond') && this.isRegistered)
			await this.follow();
	}

	async daemon(method, parameters) {
		if (this.answers) {
			const answer = this.answers[method];

			if (answer?.fails)
				return [ answer.fails ];

			return answer === undefined ? [ STATUS.notFound ] : [ 0, typeof answer === 'function' ? answer(parameters) : answer ];
		}

		return this.overBus(method, parameters);
	}

	/* Calls the daemon through the broker, with the argument that uhttpd adds to every call. */
	overBus(method, parameters) {
		const call = [ 'call', '--socket', this.bus, method, JSON.stringify({ ...parameters, ubus_rpc_session: '0'.repeat(32) }) ];

		return new Promise((resolve) => {
			execFile(this.worldProgram, call, (error, stdout, stderr) => {
				if (!error)
					resolve([ 0, stdout.trim() ? JSON.parse(stdout) : undefined ]);
				else
					resolve([ Number(/ubus status (\d+)/.exec(stderr)?.[1] ?? (this.process ? STATUS.failed : STATUS.notFound)) ]);
			});
		});
	}

	/* The daemon's answer, or null if there is none. */
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

	/* The answer to a request on the daemon's control socket, or null if nothing listens there. */
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

	/* Runs the application's rpcd script as rpcd does. */
	plugin(method, parameters) {
		return new Promise((resolve) => {
			const environment = { ...process.env, PATH: `${join(this.work, 'bin')}:${process.env.PATH}`, MILLPOND_KEYS: join(this.work, 'keys'), UCI_CONFIG_DIR: this.config };
			const child = execFile(join(this.root, 'root/usr/libexec/rpcd/luci.millpond'), [ 'call', method ], { env: environment }, (error, stdout) => {
				resolve(error ? { error: String(error) } : JSON.parse(stdout));
			});

			// The JSON library of rpcd, json-c, escapes slashes.
			child.stdin.end(JSON.stringify(parameters).replaceAll('/', '\\/'));
		});
	}
}

const HINTS = {
	'18:B4:30:26:34:40': { name: 'camera', ipaddrs: [ '192.168.1.20' ], ip6addrs: [] },
	'50:C7:BF:00:11:22': { name: 'plug', ipaddrs: [ '192.168.1.21' ], ip6addrs: [ 'fd00::21' ] },
	'DA:A1:19:01:02:03': { name: 'phone', ipaddrs: [ '192.168.1.22' ], ip6addrs: [] },
	// On a network without a bridge, and known by its IPv6 address only.
	'00:16:6C:AB:6B:88': { name: 'doorbell', ipaddrs: [], ip6addrs: [ 'fd00:0:0:3::88' ] },
	// Static in the settings of DHCP.
	'00:16:6C:00:00:01': { name: 'drawer', ipaddrs: [], ip6addrs: [] },
	// The router's own, the provider's gateway, and its router with an IPv6 address only.
	'02:00:00:00:00:01': { name: 'router', ipaddrs: [ '192.168.1.1' ], ip6addrs: [ 'fd00::1' ] },
	'02:00:00:00:00:02': { ipaddrs: [], ip6addrs: [] },
	'02:00:00:00:00:FE': { name: 'gateway', ipaddrs: [ '203.0.113.1' ], ip6addrs: [] },
	'02:00:00:00:00:FD': { ipaddrs: [], ip6addrs: [ 'fe80::1' ] }
};

const FIREWALL = `
config zone
	option name 'lan'
	list network 'lan'
	list network 'iot'

config zone
	option name 'wan'
	option masq '1'
	list network 'wan'
	list network 'wan6'

config zone
	option name 'others'
	option masq '1'
	option network 'modem vpn'
`;

const OTHERS = {
	'luci-rpc.getHostHints': () => HINTS,
	'network.interface.dump': () => ({ interface: [
		{ interface: 'cameras', l3_device: 'eth0.3', device: 'eth0.3', 'ipv4-address': [ { address: '192.168.3.1', mask: 24 } ], 'ipv6-prefix-assignment': [ { address: 'fd00:0:0:3::', mask: 64, 'local-address': { address: 'fd00:0:0:3::1', mask: 64 } } ] },
		{ interface: 'iot', l3_device: 'br-iot', device: 'br-iot', 'ipv4-address': [ { address: '192.168.2.1', mask: 24 } ] },
		{ interface: 'lan', l3_device: 'br-lan', device: 'br-lan', 'ipv4-address': [ { address: '192.168.1.1', mask: 24 } ], 'ipv6-address': [ { address: 'fd00::1', mask: 64 } ] },
		{ interface: 'lan6', l3_device: 'br-lan', device: '@lan' },
		{ interface: 'loopback', l3_device: 'lo', device: 'lo', 'ipv4-address': [ { address: '127.0.0.1', mask: 8 } ] },
		{ interface: 'modem', l3_device: 'br-modem', device: 'br-modem', 'ipv4-address': [ { address: '192.168.100.2', mask: 24 } ] },
		{ interface: 'vpn', l3_device: 'wg9', device: 'wg9', 'ipv4-address': [ { address: '10.9.0.2', mask: 24 } ] },
		{ interface: 'wan', l3_device: 'eth1', device: 'eth1', 'ipv4-address': [ { address: '203.0.113.7', mask: 24 } ], route: [ { target: '0.0.0.0', mask: 0 } ] },
		{ interface: 'wan6', l3_device: 'eth1', device: '@wan' }
	] }),
	'luci-rpc.getNetworkDevices': () => ({
		'br-lan': { mac: '02:00:00:00:00:01' }, eth0: { mac: '02:00:00:00:00:02' }, eth1: { mac: '02:00:00:00:00:03' }
	}),
	'luci.getFeatures': () => ({}),
	'session.access': () => ({ access: true }),
	'system.board': () => ({ hostname: 'router' }),
	'file.list': ({ path }) => ({ entries: path.endsWith('view/status/include') ? [ { name: '65_millpond.js', type: 'file' } ] : [] })
};
