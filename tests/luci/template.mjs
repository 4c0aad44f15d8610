// Prints the template for translators, luci-app/po/templates/millpond.pot: every text in _() or N_() of the pages, then
// the titles of the menu and the ACL, in the order of the files. tests/luci/run compares the file with it.
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const CALL = /\b_\(\s*'((?:[^'\\]|\\.)*)'|\bN_\([^,]+,\s*'((?:[^'\\]|\\.)*)',\s*'((?:[^'\\]|\\.)*)'/g;

export function template(root) {
	const texts = new Map();
	const add = (text, plural, place) => {
		const entry = texts.get(text) ?? { plural, places: new Set() };

		entry.places.add(place);
		texts.set(text, entry);
	};

	for (const name of files(join(root, 'htdocs'))) {
		for (const [ , text, one, many ] of readFileSync(join(root, 'htdocs', name), 'utf8').matchAll(CALL))
			add(unescape(text ?? one), many && unescape(many), `htdocs/${name}`);
	}

	for (const folder of [ 'root/usr/share/luci/menu.d', 'root/usr/share/rpcd/acl.d' ]) {
		for (const name of files(join(root, folder))) {
			for (const [ , text ] of readFileSync(join(root, folder, name), 'utf8').matchAll(/"(?:title|description)": "([^"]*)"/g))
				add(text, null, `${folder}/${name}`);
		}
	}

	const entries = [ ...texts ].map(([ text, { plural, places } ]) => [
		...[ ...places ].map((place) => `#: ${place}`), `msgid ${JSON.stringify(text)}`,
		...(plural ? [ `msgid_plural ${JSON.stringify(plural)}`, 'msgstr[0] ""', 'msgstr[1] ""' ] : [ 'msgstr ""' ])
	].join('\n'));

	return [ 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"', ...entries ].join('\n\n') + '\n';
}

function files(folder) {
	return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(folder.length + 1)).sort();
}

function unescape(text) {
	return text.replace(/\\(.)/g, '$1');
}

if (resolve(process.argv[1]) === fileURLToPath(import.meta.url))
	process.stdout.write(template(process.argv[2]));
