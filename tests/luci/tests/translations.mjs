// The template for translators as LuCI's own tools see it, and the translations.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { root, test } from '../harness.mjs';
import { frame, languages, parse, print, read, scan, templatePath } from '../translations.mjs';

const SHIPPED = [ 'de', 'es', 'fr', 'pt_BR', 'zh_Hans' ];
const template = () => parse(readFileSync(templatePath(root), 'utf8')).entries;

test('LuCI\'s scan of the pages finds every text of the template', () => {
	const { found, warnings } = scan(root);
	const ofPages = template().filter(({ places }) => places.some((place) => place.includes('htdocs/'))).map(({ id }) => id);

	assert.deepEqual(warnings, []);
	assert.deepEqual(ofPages.filter((id) => !found.has(id)), [], 'texts that xgettext does not find');
	assert.deepEqual([ ...found ].filter((id) => !ofPages.includes(id)), [], 'texts that the template lacks');
	// The scan would change such a text, and the page would then not find its translation.
	assert.deepEqual(ofPages.filter((id) => id !== id.trim() || /\s{2}|[\n\t]/.test(id)), []);
});

test('the translations are complete, with the placeholders and markup of the texts', () => {
	assert.deepEqual(languages(root), SHIPPED);

	for (const language of SHIPPED) {
		const text = readFileSync(join(root, 'po', language, 'millpond.po'), 'utf8');
		const { header, entries } = read(root, language);

		assert.match(header, new RegExp(`^Language: ${language}$`, 'm'), language);
		assert.equal(text, print(template(), entries, header), `${language}: run "make translations"`);

		for (const { id, plural, texts } of entries) {
			for (const [ form, translation ] of texts.entries()) {
				const about = `${language}: ${id}: ${translation}`;

				assert.notEqual(translation, '', `${about}is not translated`);
				// A language may leave out the number 1, but no other.
				const source = plural !== undefined && form > 0 ? plural : id;
				assert.deepEqual(frame(translation), frame(source), about);
			}
		}
	}
});
