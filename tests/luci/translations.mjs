// The translations of the LuCI pages, luci-app/po/LANGUAGE/millpond.po. As a command,
// node tests/luci/translations.mjs luci-app, it writes the template anew and brings the translations in line with it:
// texts that changed lose their translation, and the command lists them.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { template } from './template.mjs';

const NAME = 'millpond';
// As LuCI's build/i18n-scan.pl calls it.
const XGETTEXT = [ '--from-code=UTF-8', '--no-wrap', '--language=JavaScript', '--keyword=_:1', '--keyword=_:1,2c', '--keyword=N_:2,3', '--keyword=N_:2,3,4c', '-o', '-', '-' ];

export const templatePath = (root) => join(root, 'po/templates', `${NAME}.pot`);

export function languages(root) {
	return readdirSync(join(root, 'po')).filter((name) => existsSync(join(root, 'po', name, `${NAME}.po`))).sort();
}

export const read = (root, language) => parse(readFileSync(join(root, 'po', language, `${NAME}.po`), 'utf8'));

// { header, entries: { id, plural, places, texts } } of a template or a translation in the form that 'print' writes.
export function parse(text) {
	const blocks = text.split(/\n\n+/).filter((block) => block.trim());
	const value = (line) => JSON.parse(line.slice(line.indexOf('"')));

	return {
		header: blocks[0].split('\n').filter((line) => line.startsWith('"')).map(value).join(''),
		entries: blocks.slice(1).map((block) => {
			const lines = block.split('\n');
			const first = (prefix) => lines.filter((line) => line.startsWith(prefix)).map(value);

			return { id: first('msgid ')[0], plural: first('msgid_plural ')[0], places: lines.filter((line) => line.startsWith('#:')), texts: first('msgstr') };
		})
	};
}

// The translation of a template. 'known' are the entries of the previous translation.
export function print(entries, known, header) {
	const plurals = Number(header.match(/nplurals=(\d)/)[1]);
	const blocks = entries.map(({ id, plural, places }) => {
		const texts = known.find((entry) => entry.id === id && entry.plural === plural)?.texts ?? [];
		const forms = plural === undefined ? [ 'msgstr ' ] : Array.from({ length: plurals }, (_, form) => `msgstr[${form}] `);

		return [
			...places, `msgid ${JSON.stringify(id)}`, ...(plural === undefined ? [] : [ `msgid_plural ${JSON.stringify(plural)}` ]),
			...forms.map((form, at) => form + JSON.stringify(texts[at] ?? ''))
		].join('\n');
	});
	const lines = header.split(/(?<=\n)/).map((line) => JSON.stringify(line));

	return [ [ 'msgid ""', 'msgstr ""', ...lines ].join('\n'), ...blocks ].join('\n\n') + '\n';
}

// Texts that LuCI's scan of the pages finds, and its warnings.
export function scan(root) {
	const found = new Set();
	const warnings = [];
	const folder = join(root, 'htdocs');

	for (const name of readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.js'))) {
		const { stdout, stderr, error } = spawnSync('xgettext', XGETTEXT, { input: readFileSync(join(folder, name)), encoding: 'utf8' });

		if (error)
			throw error;

		warnings.push(...stderr.split('\n').filter(Boolean).map((line) => `${name}: ${line}`));

		for (const [ , id ] of stdout.matchAll(/^msgid (".+")$/gm))
			found.add(JSON.parse(id));
	}

	return { found, warnings };
}

// What must be the same in a translation as in its text: placeholders in their order, markup and the edges.
export function frame(text) {
	return {
		placeholders: text.match(/%(?:\.\d+)?[a-z%]/g) ?? [],
		markup: text.match(/<[^>]*>|&\w+;/g) ?? [],
		edges: [ text.match(/^\s*/)[0], text.match(/\s*$/)[0] ]
	};
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
	const root = process.argv[2];

	writeFileSync(templatePath(root), template(root));

	const { entries } = parse(template(root));

	for (const language of languages(root)) {
		const { header, entries: known } = read(root, language);
		const text = print(entries, known, header);

		writeFileSync(join(root, 'po', language, `${NAME}.po`), text);

		for (const entry of parse(text).entries.filter(({ texts }) => texts.includes('')))
			console.log(`${language}: not translated: ${entry.id}`);
	}
}
