'use strict';
'require baseclass';
'require rpc';

/* Stand-in for LuCI's access to the settings: loaded once, changed here, and sent to the session by save(). */

const call = (method, params) => rpc.declare({ object: 'uci', method, params, reject: true });
const callGet = call('get', [ 'config' ]);
const callAdd = call('add', [ 'config', 'type', 'name' ]);
const callSet = call('set', [ 'config', 'section', 'values' ]);
const callDelete = call('delete', [ 'config', 'section', 'options' ]);

return baseclass.extend({
	configs: {},
	changes: [],

	load(config) {
		return this.configs[config] ? Promise.resolve() : callGet(config).then(({ values }) => { this.configs[config] = values; });
	},

	sections(config, type) {
		return Object.values(this.configs[config] ?? {}).filter((section) => !type || section['.type'] === type).sort((a, b) => a['.index'] - b['.index']);
	},

	get(config, section, option) {
		const found = this.configs[config]?.[section];

		return option ? found?.[option] : found;
	},

	set(config, section, option, value) {
		const found = this.configs[config]?.[section];

		if (!found || JSON.stringify(found[option]) === JSON.stringify(value))
			return;

		found[option] = value;
		this.changes.push(() => callSet(config, found['.name'], { [option]: value }));
	},

	unset(config, section, option) {
		const found = this.configs[config]?.[section];

		if (found?.[option] === undefined)
			return;

		delete found[option];
		this.changes.push(() => callDelete(config, found['.name'], [ option ]));
	},

	add(config, type, name) {
		const id = name ?? `new${Math.random()}`;
		const section = { '.name': id, '.type': type, '.anonymous': !name, '.index': 1e6 + this.changes.length };

		this.configs[config][id] = section;
		this.changes.push(() => callAdd(config, type, name).then((answer) => { section['.name'] = answer.section; }));

		return id;
	},

	remove(config, id) {
		const section = this.configs[config]?.[id];

		delete this.configs[config][id];
		this.changes.push(() => callDelete(config, section['.name']));
	},

	/* Sends the changes in order, then reads everything again. */
	async save() {
		const configs = Object.keys(this.configs);

		for (const change of this.changes.splice(0))
			await change();

		this.configs = {};
		await Promise.all(configs.map((config) => this.load(config)));
	}
});
