// millpond's status as metrics of a router, for OpenWrt's prometheus-node-exporter-ucode. It names no device and no
// destination. Names that endpoints also export have the same meaning here.
const x = ubus.call("millpond", "status");

if (!x)
	return false;

const states = [ "starting", "shaping", "paused", "degraded", "blocked" ];
const state = gauge("millpond_state", "1 for the state that the daemon is in.");

for (let i = 0; i < length(states); i++)
	state({ state: states[i] }, x.state == states[i] ? 1 : 0);

gauge("millpond_uptime_seconds", "Time since the daemon started.")(null, x.uptime_s);

let errors = 0, warnings = 0;

for (let i = 0; i < length(x.problems); i++) {
	if (x.problems[i].severity == "error")
		errors++;
	else if (x.problems[i].severity == "warning")
		warnings++;
}

const problems = gauge("millpond_problems", "Problems that 'millpond status' reports.");

problems({ severity: "error" }, errors);
problems({ severity: "warning" }, warnings);

const rate = gauge("millpond_rate_bits_per_second", "Rates of cells in force, all headers included.");

rate({ direction: "upload" }, x.upload_kbit * 1000);
rate({ direction: "download" }, x.download_kbit * 1000);

const wire = counter("millpond_wire_bytes_total", "Bytes of cells on the wire, all headers included.");

wire({ direction: "upload" }, x.wire_upload_bytes);
wire({ direction: "download" }, x.wire_download_bytes);

const home = counter("millpond_home_bytes_total", "Bytes of the devices' packets.");

home({ direction: "upload" }, x.home_upload_bytes);
home({ direction: "download" }, x.home_download_bytes);

if (x.data) {
	gauge("millpond_data_used_bytes", "Data used in the billing period.")(null, x.data.used_bytes);
	gauge("millpond_data_cap_bytes", "The data cap, main.data_cap.")(null, x.data.cap_bytes);
}

// A router has one peer, its endpoint, as soon as the tunnel is set up.
const peer = length(x.peers) ? x.peers[0] : null;

if (peer) {
	const sent = counter("millpond_cells_sent_total", "Cells sent, with and without packets inside.");

	sent({ kind: "data" }, peer.cells_data);
	sent({ kind: "cover" }, peer.cells_cover);

	counter("millpond_cells_received_total", "Cells received.")(null, peer.cells_received);
	counter("millpond_cells_lost_total", "Cells that did not arrive, by sequence number.")(null, peer.cells_lost);
	counter("millpond_slots_missed_total", "Scheduled departures that were missed.")(null, peer.missed_slots);

	const late = gauge("millpond_lateness_seconds", "Time from the scheduled to the actual departure of a cell.");

	late({ quantile: "0.5" }, peer.lateness_us.p50 / 1000000.0);
	late({ quantile: "0.99" }, peer.lateness_us.p99 / 1000000.0);

	const delay = gauge("millpond_delay_seconds", "Time from a packet's arrival to the departure of its last cell.");

	delay({ quantile: "0.5" }, peer.delay_ms.p50 / 1000.0);
	delay({ quantile: "0.99" }, peer.delay_ms.p99 / 1000.0);
}
