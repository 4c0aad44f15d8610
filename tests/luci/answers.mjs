// What a daemon that shapes answers: shapes and keys as the daemon's own, for pictures and for what cannot run on every machine.
export function answers({ extra = {} } = {}) {
	const status = {
		interface: 1, version: '0.1.0', state: 'shaping', state_age_s: 86000, uptime_s: 86412.5, role: 'router', law: 'gamma',
		upload_kbit: 160, download_kbit: 320, cell: { wire_bytes: 508, inner_bytes: 448 },
		peers: [ { name: 'endpoint', address: '203.0.113.9:51820', state: 'shaping', cells_data: 41234, cells_cover: 3361230, delay_ms: { mean: 17.2, p50: 15, p99: 61, max: 410 } } ],
		problems: [], ...extra
	};

	return {
		status,
		devices: { cut: false, devices: [
			{ mac: '18:b4:30:26:34:40', random_mac: false, addresses: [ '192.168.1.20' ], hostname: 'camera', name: 'Front door camera', network: 'lan', interface: 'br-lan', policy: 'shape', chosen_by: 'device', last_seen_s: 4, upload_packets: 1, upload_bytes: 91234567, download_packets: 1, download_bytes: 2345678 },
			{ mac: '50:c7:bf:00:11:22', random_mac: false, addresses: [ '192.168.1.21', 'fd00::21' ], hostname: 'plug', network: 'lan', interface: 'br-lan', policy: 'direct', chosen_by: 'nothing', last_seen_s: 70 },
			{ mac: 'da:a1:19:01:02:03', random_mac: true, addresses: [ '192.168.1.22' ], hostname: 'phone', network: 'lan', interface: 'br-lan', policy: 'direct', chosen_by: 'nothing', last_seen_s: 4000 }
		] },
		history: ({ seconds }) => history(seconds),
		reload: {}
	};
}

function history(seconds) {
	const resolution = seconds <= 300 ? 1 : (seconds <= 3600 ? 10 : 240);
	const slots = Math.floor(seconds / resolution);
	const series = (make) => Array.from({ length: slots }, (unused, at) => make(at));
	const spike = (at, every, height) => (at % every < 4 ? height * (1 + at % 3) : 120);

	return {
		seconds, resolution_s: resolution,
		home_upload_bytes_per_s: series((at) => spike(at, 47, 5200)),
		home_download_bytes_per_s: series((at) => spike(at + 9, 31, 9000)),
		wire_upload_bytes_per_s: series((at) => 20000 + at % 2 * 160),
		wire_download_bytes_per_s: series((at) => 40000 - at % 3 * 150)
	};
}
