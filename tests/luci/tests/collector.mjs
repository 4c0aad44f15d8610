// The collector for OpenWrt's prometheus-node-exporter-ucode. It is written in what ucode and JavaScript have in common,
// so that Node can run it: with the exporter's functions, on recorded answers of the daemon.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { here, test } from '../harness.mjs';

const project = join(here, '../..');
const source = readFileSync(join(project, 'openwrt/prometheus-node-exporter-ucode-millpond/files/millpond.uc'), 'utf8');
const recorded = () => JSON.parse(readFileSync(join(project, 'tests/golden/answers/status.json'), 'utf8'));

/* What the collector exports of a status, as { name{labels}: value }, and what it returns. As in the exporter, a value
   that is missing makes no line. */
function collected(status) {
	const lines = {};
	const calls = [];
	const metric = (type) => (name, help) => (labels, value) => {
		assert.ok(help, `${name} has no help`);
		assert.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);

		const shown = Object.entries(labels ?? {}).map(([ label, text ]) => `${label}="${text}"`).join(',');

		if (value !== undefined && value !== null)
			lines[shown ? `${name}{${shown}}` : name] = value;
	};
	const ubus = { call: (...words) => (calls.push(words.join(' ')), status) };
	const run = new Function('ubus', 'gauge', 'counter', 'length', `'use strict';${source}`);
	const result = run(ubus, metric('gauge'), metric('counter'), (list) => list?.length ?? 0);

	assert.deepEqual(calls, [ 'millpond status' ]);
	return { lines, result };
}

test('the collector exports what the status says, and names nobody', () => {
	const { lines } = collected(recorded());

	assert.equal(lines['millpond_state{state="shaping"}'], 1);
	assert.equal(lines['millpond_state{state="blocked"}'], 0);
	assert.equal(lines['millpond_problems{severity="warning"}'], 1);
	assert.equal(lines['millpond_problems{severity="error"}'], 0);
	assert.equal(lines['millpond_rate_bits_per_second{direction="download"}'], 320500);
	assert.equal(lines['millpond_wire_bytes_total{direction="upload"}'], 3000000000);
	assert.equal(lines['millpond_cells_sent_total{kind="cover"}'], 753);
	assert.equal(lines['millpond_lateness_seconds{quantile="0.99"}'], 40.5e-6);
	assert.equal(lines['millpond_delay_seconds{quantile="0.5"}'], 0.007);
	assert.equal(lines.millpond_data_cap_bytes, 300000000000);
	assert.ok(Object.values(lines).every(Number.isFinite), JSON.stringify(lines));
	assert.doesNotMatch(JSON.stringify(lines), /maple|10\.77|camera/);
});

test('the collector fails without a daemon, and exports the rest without a tunnel', () => {
	assert.equal(collected(null).result, false);

	const { lines, result } = collected({ ...recorded(), state: 'blocked', peers: [], data: undefined });

	assert.notEqual(result, false);
	assert.equal(lines['millpond_state{state="blocked"}'], 1);
	assert.ok(!Object.keys(lines).some((name) => /cells|data_/.test(name)), JSON.stringify(lines));
});
