// Runs the page tests in a browser. Arguments: paths of millpond, of millpond-world, of a folder for this run, of a
// folder for screenshots, and of the folder with playwright-core. LUCI_TEST, LUCI_URL and LUCI_RESOURCES: see
// tests/luci/run.
import { mkdirSync } from 'node:fs';

import { Skipped, browser, remote, finish, pictures, tests, wrongStyles } from './harness.mjs';
import './tests/overview.mjs';
import './tests/headline.mjs';
import './tests/away.mjs';
import './tests/devices.mjs';
import './tests/settings.mjs';
import './tests/tunnel.mjs';
import './tests/wireguard.mjs';
import './tests/answers.mjs';
import './tests/manners.mjs';
import './tests/collector.mjs';
import './tests/translations.mjs';

if (remote)
	await import('./tests/shaping.mjs');

const filter = process.env.LUCI_TEST ?? '';
const counts = { PASS: 0, FAIL: 0, SKIP: 0 };

function report(result, name, ...details) {
	counts[result]++;
	console.log([ `${result} ${name}`, ...details ].join('\n     '));
}

mkdirSync(pictures, { recursive: true });

// An interrupted run restores the settings of the router at LUCI_URL.
if (remote) {
	for (const signal of [ 'SIGINT', 'SIGTERM' ])
		process.once(signal, () => remote.restore().finally(() => process.exit(130)));
}

for (const [ name, run ] of tests.filter(([ name ]) => name.includes(filter))) {
	try {
		await run();

		const wrong = await wrongStyles();

		if (wrong.length)
			throw new Error(`styles that LuCI's themes lack: ${wrong.join(', ')}`);

		report('PASS', name);
	}
	catch (error) {
		if (error instanceof Skipped)
			report('SKIP', `${name}: ${error.message}`);
		else
			report('FAIL', name, ...String(error.stack).split('\n').slice(0, 12), ...await finish());
	}

	await finish();
}

await remote?.restore();
await browser.close();
console.log(`${counts.PASS} passed, ${counts.FAIL} failed, ${counts.SKIP} skipped`);
process.exit(counts.FAIL ? 1 : 0);
