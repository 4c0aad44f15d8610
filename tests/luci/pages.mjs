// The pages in a browser: what is clicked reaches the daemon. Arguments: the program, the laboratory's, a folder for this run, a folder for
// pictures, and playwright-core's folder. LUCI_URL and LUCI_RESOURCES: see tests/luci/run.
import { mkdirSync } from 'node:fs';

import { Skipped, browser, elsewhere, finish, pictures, tests } from './harness.mjs';
import './tests/overview.mjs';
import './tests/devices.mjs';
import './tests/settings.mjs';
import './tests/tunnel.mjs';
import './tests/answers.mjs';
import './tests/manners.mjs';

if (elsewhere)
	await import('./tests/shaping.mjs');

const words = process.env.LUCI_TEST ?? '';
const counts = { PASS: 0, FAIL: 0, SKIP: 0 };

function verdict(word, name, ...more) {
	counts[word]++;
	console.log([ `${word} ${name}`, ...more ].join('\n     '));
}

mkdirSync(pictures, { recursive: true });

// Somebody's router is not left with our settings.
if (elsewhere) {
	for (const signal of [ 'SIGINT', 'SIGTERM' ])
		process.once(signal, () => elsewhere.putBack().finally(() => process.exit(130)));
}

for (const [ name, run ] of tests.filter(([ name ]) => name.includes(words))) {
	try {
		await run();
		verdict('PASS', name);
	}
	catch (error) {
		if (error instanceof Skipped)
			verdict('SKIP', `${name}: ${error.message}`);
		else
			verdict('FAIL', name, ...String(error.stack).split('\n').slice(0, 12), ...await finish());
	}

	await finish();
}

await elsewhere?.putBack();
await browser.close();
console.log(`${counts.PASS} passed, ${counts.FAIL} failed, ${counts.SKIP} skipped`);
process.exit(counts.FAIL ? 1 : 0);
