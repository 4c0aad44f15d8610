// Recorded answers of a daemon that shapes, with the keys of the real ones. For screenshots, and for tests of states
// that a daemon cannot reach on every machine. extra: added to the status; methods: added methods; without: methods
// that this daemon lacks. A method { fails: STATUS } ends with that status of ubus.
export function answers({ extra = {}, methods = {}, without = [] } = {}) {
	const status = {
		interface: 1, version: '0.1.0', state: 'shaping', state_age_s: 86000, uptime_s: 86412.5, role: 'router', law: 'gamma',
		upload_kbit: 160, download_kbit: 320, cell: { wire_bytes: 508, inner_bytes: 448 },
		peers: [ { name: 'endpoint', address: '203.0.113.9:51820', state: 'shaping', cells_data: 41234, cells_cover: 3361230, delay_ms: { mean: 17.2, p50: 15, p99: 61, max: 410 } } ],
		problems: [], ...extra
	};

	const all = {
		status,
		devices: { cut: false, devices: [
			{ mac: '18:b4:30:26:34:40', random_mac: false, addresses: [ '192.168.1.20' ], hostname: 'camera', name: 'Front door camera', network: 'lan', interface: 'br-lan', policy: 'shape', chosen_by: 'device', last_seen_s: 4, upload_packets: 1, upload_bytes: 91234567, download_packets: 1, download_bytes: 2345678 },
			{ mac: '50:c7:bf:00:11:22', random_mac: false, addresses: [ '192.168.1.21', 'fd00::21' ], hostname: 'plug', network: 'lan', interface: 'br-lan', policy: 'direct', chosen_by: 'nothing', last_seen_s: 70 },
			{ mac: 'da:a1:19:01:02:03', random_mac: true, addresses: [ '192.168.1.22' ], hostname: 'phone', network: 'lan', interface: 'br-lan', policy: 'direct', chosen_by: 'nothing', last_seen_s: 4000 }
		] },
		history: ({ seconds }) => history(seconds),
		advise: advice(),
		audit: ({ packets = 2000 }) => {
			status.audit = { running: true };

			return { running: true, packets, expected_s: packets / 39.4 };
		},
		reload: {},
		...methods
	};

	for (const method of without)
		delete all[method];

	return all;
}

const KBIT = [ 16, 24, 40, 60, 80, 120, 160, 240, 320, 480, 640, 1000, 1500, 2000, 3000, 5000 ];
const gigabytes = (kbit) => kbit * 1000 / 8 * 86400 * 30 / 1e9;

/* Advice for a home that was measured for two days, with an allowance of 300 GB. */
export function advice() {
	const delay = (kbit, scale = 1) => ({ delay_mean_ms: 16000 / kbit * scale, delay_median_ms: 12000 / kbit * scale, delay_p99_ms: 90000 / kbit * scale, delay_max_ms: 300000 / kbit * scale });
	const atRates = (direction, scale) => Object.fromEntries([ 'mean', 'median', 'p99', 'max' ].map((statistic) => [
		`${direction}_${statistic}_ms`, KBIT.map((kbit) => Math.round(delay(kbit, scale)[`delay_${statistic}_ms`]))
	]));
	const device = (number, name, tolerance_ms, scale) => ({
		name, number, tolerance_ms, watched_only: number === 2, upload_packets: 81234, download_packets: 40321, ...atRates('upload', scale), ...atRates('download', scale / 2),
		saver_upload_kbit: 32, saver_download_kbit: 32, balanced_upload_kbit: 128, balanced_download_kbit: 192, strict_upload_kbit: 768, strict_download_kbit: 768
	});
	const level = (name, upload_kbit, download_kbit, in_force, more = {}) => {
		const month_gb = gigabytes(upload_kbit + download_kbit);

		return { level: name, in_force, upload_kbit, download_kbit, month_gb, cap_percent: month_gb / 3, month_price: Math.max(month_gb - 300, 0) * 2.5, ...delay(upload_kbit), guarantee: `the guarantee of ${name}`, ...more };
	};
	const advised = (upload, download) => ({
		advised_upload_kbit: upload, advised_download_kbit: download, advised_month_gb: gigabytes(upload + download), advised_cap_percent: gigabytes(upload + download) / 3, advised_month_price: 0,
		advised_cell_bytes: 1280, advised_saves_gb: gigabytes(240) - gigabytes(upload + download)
	});

	return {
		watched_s: 172800.5, packets: 243110, missed_packets: 0, confidence: 'fair', confidence_text: 'watched for 2 days', cap_gb: 300, price_per_gb: 2.5, month_days: 30,
		steps: KBIT.map((kbit) => ({ kbit, month_gb: gigabytes(kbit), cap_percent: gigabytes(kbit) / 3, upload: { ...delay(kbit), lost_percent: 0 }, download: { ...delay(kbit, 0.5), lost_percent: 0 } })),
		devices: [ device(1, 'Front door camera', 17600, 20), device(2, 'plug', 1700, 1) ],
		levels: [ level('saver', 30, 30, false, advised(32, 32)), level('balanced', 80, 160, true, advised(128, 192)), level('strict', 160, 320, false, advised(768, 768)), level('custom', 80, 160, false) ]
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

/* Added to a status: a smaller level because of `cap_day`, and the data of a billing period. */
export const USED = {
	level: 'saver', level_by: 'cap-day',
	data: { used_bytes: 42e9, forecast_bytes: 150e9, cap_period: 'month', since_unix: 1795000000, until_unix: 1797592000, cap_bytes: 300e9, share_percent: 14, forecast_percent: 50 }
};
