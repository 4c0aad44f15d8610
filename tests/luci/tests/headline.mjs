// The headline of the page Overview: one test for each state of the table in headline.js.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { ENABLED, SETTINGS, remote, root, test, until, withRouter } from '../harness.mjs';

const audit = (faults) => ({ age_s: 60, running: false, packets: 2000, wire_bytes: 508, faults });
const problem = (code, severity = 'error') => ({ problems: [ { code, severity, text: 'a text', fix: 'a fix' } ] });
const fails = (code) => ({ methods: { status: { fails: code } } });
const NOTHING_CHOSEN = ENABLED.replace(/config device[^]*?(?=\nconfig|$)/g, '');

/* Of each state: the daemon's answers or the settings that lead to it, the style of the label, and words of the texts. */
const STATES = {
	'denied': [ fails(6), 'warning', /not allowed/ ],
	'stopping': [ fails(10), 'notice', /ending/ ],
	'incomplete': [ { without: [ 'status' ], settings: SETTINGS.replace(/config tunnel[^]*?(?=\nconfig|$)/, '') }, '', /not set up/ ],
	'off': [ { without: [ 'status' ], settings: SETTINGS }, '', /turned off: your devices work/ ],
	'stopped': [ { without: [ 'status' ] }, 'important', /guard holds: protected devices have no Internet/ ],
	'unknown': [ fails(9), 'warning', /cannot be read/ ],
	'starting': [ { extra: { state: 'starting' } }, 'notice', /have no Internet/ ],
	'blocked': [ { extra: { state: 'blocked' } }, 'important', /no tunnel/ ],
	'degraded': [ { extra: { state: 'degraded' } }, 'warning', /does not answer/ ],
	'paused': [ { extra: { state: 'paused' } }, 'notice', /nothing is hidden/ ],
	'open': [ { extra: problem('hardware-offload') }, 'important', /may send outside it/ ],
	'nothing-chosen': [ { settings: NOTHING_CHOSEN }, 'notice', /no device is protected/ ],
	'check-failed': [ { extra: { audit: audit([ '3 packets of 96 bytes' ]) } }, 'warning', /last check of the wire found something/ ],
	'limited': [ { extra: problem('network-missing') }, 'warning', /a problem limits/ ],
	'weak-law': [ { extra: { law: 'kernel' } }, 'warning', /law of the intervals does not hide/ ],
	'bounded': [ { extra: { promise: 'bounded', burst: { bursting: false, bursts_a_day: 260, decoys_a_day: 239, burst_percent: 7.71, event_percent: 16.2, event_s: 30, quiet_percent: 99.978 } } }, 'warning', /weaker promise than a flat line/ ],
	'protected': [ { extra: { audit: audit([]), ...problem('data-cap', 'warning') } }, 'success', /same flat line whatever your protected devices do/ ]
};

const WHOLE_WEEK = [ [ '00:00', '12:00' ], [ '12:00', '00:00' ] ].map(([ start, stop ]) => `\nconfig schedule\n\toption start '${start}'\n\toption stop '${stop}'\n\toption level 'off'\n`).join('');
/* How a real daemon gets into states: the settings, and whether the service is stopped then. The states that are missing
   need a broken tunnel, or last for an instant. */
const REAL = {
	'off': { settings: SETTINGS },
	'stopped': { settings: ENABLED, stop: true },
	'paused': { settings: ENABLED + WHOLE_WEEK, shapes: true },
	'nothing-chosen': { settings: NOTHING_CHOSEN, shapes: true },
	'limited': { settings: `${ENABLED}\nconfig network\n\toption name 'nowhere'\n`, shapes: true },
	'weak-law': { settings: ENABLED.replace('option level', 'option law \'kernel\'\n\toption level'), shapes: true },
	'protected': { settings: ENABLED, shapes: true }
};

test('every state of the headline has a test', () => {
	const source = readFileSync(join(root, 'htdocs/luci-static/resources/millpond/headline.js'), 'utf8');

	assert.deepEqual([ ...source.matchAll(/^\t\[ '([a-z-]+)', /gm) ].map(([ , name ]) => name), Object.keys(STATES));
});

for (const [ name, [ options, style, text ] ] of Object.entries(STATES)) {
	const real = remote && REAL[name];

	test(`the headline ${name}`, () => withRouter({ settings: ENABLED, ...(real ? { daemon: 'real', ...real } : options) }, async ({ open, router }) => {
		if (real?.stop)
			await router.service('stop');

		const page = await open('overview');
		const headline = page.locator('[data-headline]');

		if (real)
			await until(async () => await headline.getAttribute('data-headline').catch(() => null) === name, name);

		assert.equal(await headline.getAttribute('data-headline'), name);
		assert.match(await headline.innerText(), text);
		assert.equal(await headline.locator('.label').getAttribute('class'), `label millpond-badge ${style}`);
		// Only what is true in every respect is green.
		assert.equal(/^Protected$/i.test((await headline.locator('.label').innerText()).trim()), name === 'protected');
		assert.deepEqual(page.faults, []);

		const tile = await open('overview', { path: 'admin/status' });

		assert.match(await tile.textContent('[data-name=millpond-tile]'), text);
	}));
}

test('bursts are told in numbers that are not rounded in favour of millpond', () => withRouter({ settings: ENABLED, ...STATES.bounded[0] }, async ({ open }) => {
	const page = await open('overview');

	assert.match((await page.textContent('[data-name=bursts]')).replace(/\u00a0/g, ' '), /Of the 260 bursts .* 239 are decoys\. From a burst .* 8 % .* \(30 seconds\), not surer than 17 %\. .* 99\.978 %/);
}));
