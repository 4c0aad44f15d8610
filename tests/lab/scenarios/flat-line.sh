# shellcheck shell=bash
# The main scenario: a busy home and an idle home under each law. The host judges the provider's captures.

allowance() { echo $((8 * 2 * (WINDOW + 60))); }

scenario() {
	local law load try
	for law in gamma normal constant kernel; do
		for load in busy idle; do
			for try in 1 2 3; do
				flat_run "$law" "$load"
				machine_stalled "$OUT/$SCENARIO/$law-$load" || break
				[ "$try" = 3 ] || say "$law $load: the machine stalled during the window; measuring again"
			done
		done
	done
}

# flat_run LAW LOAD: starts both ends, measures one window, and stops them.
flat_run() {
	local law=$1 load=$2 dir=$OUT/$SCENARIO/$1-$2 devices=() left
	[ "$load" = idle ] || mapfile -t devices < <(replayed_devices)
	if [ "$load" = busy ] && [ ${#devices[@]} -lt 5 ]; then
		fail "$law busy: at least five devices have a trace" "${devices[*]}"
	fi
	say "$law $load: starting both ends"
	rm -rf "$dir"
	mkdir -p "$dir"
	if ! daemons_start "$law"; then
		fail "$law $load: both ends shape"
		daemons_stop "$dir" || true
		return
	fi
	# Until the packets of the start are over.
	sleep 2
	measure "$dir" "$law" "$load" 508 "$WINDOW" with_daemon "${devices[@]}"
	if daemons_stop "$dir"; then
		left=$(leftovers router && leftovers endpoint)
		if [ -z "$left" ]; then
			pass "$law $load: only the guard remains after SIGTERM"
		else
			fail "$law $load: only the guard remains after SIGTERM" "${left//$'\n'/; }"
		fi
	else
		fail "$law $load: both ends stop on SIGTERM"
	fi
}
