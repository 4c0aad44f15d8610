# shellcheck shell=bash
# Trains of eight cells in WireGuard: a busy home and an idle one under the law gamma. The host judges the provider's
# captures: sizes, whole trains, the intervals between trains, busy against idle.

# shellcheck source=tests/lab/scenarios/flat-line.sh
. "$LAB/scenarios/flat-line.sh"

allowance() { echo $((2 * 2 * (WINDOW + 60))); }

scenario() {
	local load
	# shellcheck disable=SC2034 # read by settings
	TRAIN=8 UPLOAD_KBIT=1280 DOWNLOAD_KBIT=1280
	for load in busy idle; do
		flat_run gamma "$load"
	done
}
