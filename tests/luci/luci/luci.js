'use strict';

/* Stand-in for LuCI's modules, elements, views and polling, as far as the application uses them. Written from LuCI's
 * documentation. */

String.prototype.format = function(...args) {
	let at = 0;

	return this.replace(/%(%|(\d*)(?:\.(\d+))?([dsfmth])([A-Z])?)/g, (match, directive, base, places, kind, unit) => {
		if (directive === '%')
			return '%';

		const value = args[at++];

		switch (kind) {
		case 'd': return String(Math.trunc(Number(value) || 0));
		case 'f': return Number(value).toFixed(places ?? 6);
		case 't': {
			const [ days, hours, minutes, seconds ] = [ 86400, 3600, 60, 1 ].map((size, index, all) => Math.floor(Number(value) % (all[index - 1] ?? Infinity) / size));

			return (days ? `${days}d ` : '') + `${hours}h ${minutes}m ${seconds}s`;
		}
		case 'm': {
			const units = [ ' ', ' K', ' M', ' G', ' T' ];
			let [ left, step ] = [ Number(value) || 0, 0 ];

			for (; left >= Number(base) && step < 4; step++)
				left /= Number(base);

			return left.toFixed(places ?? 2) + units[step] + (unit ?? '');
		}
		default: return String(value);
		}
	});
};

window._ = (text) => text;
window.N_ = (count, one, many) => count === 1 ? one : many;

const dom = {
	/* Appends nodes and texts of an array. As in LuCI, a text outside an array is HTML. */
	append(node, children) {
		if (children instanceof Node) {
			node.appendChild(children);
		}
		else if (Array.isArray(children)) {
			for (const child of children) {
				if (child instanceof Node)
					node.appendChild(child);
				else if (child !== null && child !== undefined)
					node.appendChild(document.createTextNode(String(child)));
			}
		}
		else if (children !== null && children !== undefined) {
			node.innerHTML = String(children);
		}
	},

	content(node, children) {
		node.replaceChildren();
		dom.append(node, children);
	}
};

/* As LuCI's. A second argument that is a node, LuCI takes for attributes and drops: here it is an error. */
window.E = function(name, ...rest) {
	if (rest[0] instanceof Node)
		throw new TypeError('E() takes a node in an array or as the third argument');

	const node = Array.isArray(name) ? document.createDocumentFragment() : document.createElement(name);
	const attributes = rest.length && rest[0] instanceof Object && !Array.isArray(rest[0]) ? rest.shift() : {};

	if (Array.isArray(name))
		dom.append(node, name);

	for (const [ key, value ] of Object.entries(attributes)) {
		if (typeof value === 'function')
			node.addEventListener(key, value);
		else if (value !== null && value !== undefined)
			node.setAttribute(key, value);
	}

	dom.append(node, rest[0] ?? []);

	return node;
};

/* Classes like LuCI's: extend({ ... }) returns a subclass. A module is the only instance of its class. */
class Base {
	static extend(members) {
		const subclass = class extends this {};

		for (const [ key, value ] of Object.entries(members))
			Object.defineProperty(subclass.prototype, key, { value, writable: true, configurable: true });

		return subclass;
	}
}

class View extends Base {
	constructor() {
		super();

		const target = document.getElementById('view');

		Promise.resolve().then(() => this.load()).then((data) => this.render(data)).then((node) => {
			dom.content(target, node);
			dom.append(target, this.footer());
		}).catch((error) => {
			dom.content(target, E('p', { 'class': 'alert-message danger', 'data-name': 'crash' }, String(error.stack)));
			throw error;
		});
	}

	load() {}

	maps(method) {
		return Promise.all([ ...document.querySelectorAll('.cbi-map') ].map((node) => node.owner[method]()));
	}

	handleSave() {
		return this.maps('save');
	}

	handleSaveApply() {
		return Promise.resolve(this.handleSave()).then(() => L.ui.changes.apply(true));
	}

	handleReset() {
		return this.maps('reset');
	}

	footer() {
		const buttons = [ [ 'handleSaveApply', _('Save & Apply'), 'apply' ], [ 'handleSave', _('Save'), 'save' ], [ 'handleReset', _('Reset'), 'reset' ] ]
			.filter(([ handler ]) => this[handler])
			.map(([ handler, text, style ]) => E('button', {
				'class': `btn cbi-button cbi-button-${style}`, 'disabled': L.hasViewPermission() ? null : '', 'click': L.ui.createHandlerFn(this, handler)
			}, text));

		return buttons.length ? E('div', { 'class': 'cbi-page-actions' }, buttons) : [];
	}
}

const poll = {
	add(work) {
		const round = () => Promise.resolve().then(work).catch(() => {}).then(() => setTimeout(round, L.env.pollinterval * 1000));

		setTimeout(round, L.env.pollinterval * 1000);
	}
};

window.LuCI = class {
	constructor(env) {
		this.env = env;
		this.modules = { dom: Promise.resolve(dom), poll: Promise.resolve(poll), baseclass: Promise.resolve(Base), view: Promise.resolve(View) };
	}

	url(...parts) {
		return [ this.env.scriptname, ...parts ].join('/');
	}

	resource(path) {
		return `${this.env.resource}/${path}`;
	}

	hasViewPermission() {
		return !this.env.nodespec.readonly;
	}

	isObject(value) {
		return value !== null && typeof value === 'object';
	}

	/* Splits a text into its words. */
	toArray(value) {
		if (typeof value === 'string')
			return value.split(/\s+/).filter(Boolean);

		return Array.isArray(value) ? value : (value === null || value === undefined ? [] : [ value ]);
	}

	naturalCompare(a, b) {
		return String(a).localeCompare(String(b), undefined, { numeric: true });
	}

	resolveDefault(value, other) {
		return Promise.resolve(value).catch(() => other);
	}

	/* The only instance of a module. */
	require(name) {
		return this.modules[name] ??= this.compile(name).then((Module) => {
			const instance = new Module();

			if (name === 'ui')
				this.ui = instance;

			return instance;
		});
	}

	/* The class that a module's file returns. The modules that its pragmas name are passed to it as parameters. */
	async compile(name) {
		const path = this.resource(`${name.replaceAll('.', '/')}.js`);
		const answer = await fetch(path);

		if (!answer.ok)
			throw new Error(`no module ${name}`);

		const source = await answer.text();
		const needed = [ ...source.matchAll(/^'require ([\w.]+)(?: as (\w+))?';$/gm) ].map((found) => [ found[1], found[2] ?? found[1] ]);
		const modules = await Promise.all(needed.map(([ module ]) => this.require(module)));

		return new Function(...needed.map(([ , as ]) => as), `${source}\n//# sourceURL=${path}`)(...modules);
	}
};
