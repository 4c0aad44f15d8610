// UCI files as rpcd serves them: the committed text, and the uncommitted changes of one session.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export class Uci {
	constructor(folder) {
		this.folder = folder;
		this.staged = new Map();
	}

	get({ config, section, option }) {
		const sections = this.sections(config);

		if (!section)
			return { values: values(sections) };

		const found = sections.find((one) => one.id === section);

		if (option)
			return { value: found?.options[option] };

		return { values: found && values([ found ])[found.id] };
	}

	add({ config, type, name, values: options = {} }) {
		const id = name ?? `cfg${String(this.next = (this.next ?? 0) + 1).padStart(2, '0')}new`;

		this.change(config, [ 'add', id, type ], (sections) => sections.push({ id, type, anonymous: !name, options: { ...options } }));

		return { section: id };
	}

	set({ config, section, values: options }) {
		for (const [ option, value ] of Object.entries(options)) {
			this.change(config, [ 'set', section, option, value ], (sections) => {
				sections.find((one) => one.id === section).options[option] = value;
			});
		}
	}

	delete({ config, section, option, options }) {
		for (const name of option ? [ option ] : options ?? [ null ]) {
			this.change(config, [ 'remove', section, ...(name ? [ name ] : []) ], (sections) => {
				const at = sections.findIndex((one) => one.id === section);

				if (name)
					delete sections[at].options[name];
				else
					sections.splice(at, 1);
			});
		}
	}

	changes({ config } = {}) {
		const changes = Object.fromEntries([ ...this.staged ].map(([ name, { log } ]) => [ name, log ]));

		return { changes: config ? changes[config] ?? [] : changes };
	}

	/* Writes the staged changes, and returns the names of the changed files. */
	commit() {
		const names = [ ...this.staged.keys() ];

		for (const [ name, { sections } ] of this.staged)
			writeFileSync(join(this.folder, name), text(sections));

		this.staged.clear();

		return names;
	}

	/* The committed sections. */
	committed(config) {
		return parse(readFileSync(join(this.folder, config), 'utf8'));
	}

	revert() {
		this.staged.clear();
	}

	sections(config) {
		const path = join(this.folder, config);

		return this.staged.get(config)?.sections ?? (existsSync(path) ? parse(readFileSync(path, 'utf8')) : []);
	}

	change(config, entry, work) {
		const staged = this.staged.get(config) ?? { sections: structuredClone(this.sections(config)), log: [] };

		work(staged.sections);
		staged.log.push(entry);
		this.staged.set(config, staged);
	}
}

function values(sections) {
	return Object.fromEntries(sections.map((one, at) => [ one.id, {
		'.anonymous': one.anonymous, '.type': one.type, '.name': one.id, '.index': at, ...one.options
	} ]));
}

/* The sections of a UCI text: { id, type, anonymous, options }. */
export function parse(source) {
	const sections = [];

	for (const line of source.split('\n')) {
		const words = [ ...line.matchAll(/'([^']*)'|"([^"]*)"|(#.*)|([^\s'"#]+)/g) ].filter((m) => m[3] == null).map((m) => m[1] ?? m[2] ?? m[4]);
		const options = sections.at(-1)?.options;

		if (words[0] === 'config')
			sections.push({ type: words[1], id: words[2] ?? `cfg${sections.length}`, anonymous: words[2] == null, options: {} });
		else if (words[0] === 'option' && options)
			options[words[1]] = words[2];
		else if (words[0] === 'list' && options)
			(options[words[1]] ??= []).push(words[2]);
	}

	return sections;
}

/* A UCI text of sections. */
export function text(sections) {
	return sections.map((one) => [
		`config ${one.type}${one.anonymous ? '' : ` '${one.id}'`}`,
		...Object.entries(one.options).flatMap(([ name, value ]) => Array.isArray(value)
			? value.map((item) => `\tlist ${name} '${item}'`) : [ `\toption ${name} '${value}'` ])
	].join('\n') + '\n').join('\n');
}
