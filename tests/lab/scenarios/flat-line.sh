# shellcheck shell=bash
# The main one: a busy home and a silent one under each law. What the provider saw is judged on the host.

allowance() { echo $((8 * (WINDOW + 60))); }

scenario() {
	local law
	for law in gamma normal constant kernel; do
		flat_run "$law" busy
		flat_run "$law" idle
	done
}

# flat_run LAW LOAD
flat_run() {
	local law=$1 load=$2 dir=$OUT/$SCENARIO/$1-$2 devices=() left
	[ "$load" = idle ] || mapfile -t devices < <(replayed_devices)
	say "$law $load: starting both ends"
	rm -rf "$dir"
	mkdir -p "$dir"
	if ! daemons_start "$law"; then
		fail "$law $load: both ends shape"
		daemons_stop "$dir" || true
		return
	fi
	# Past the start's own packets, into the steady state.
	sleep 2
	measure "$dir" "$law" "$load" 508 "$WINDOW" with_daemon "${devices[@]}"
	if daemons_stop "$dir"; then
		left=$(remains router && remains endpoint)
		if [ -z "$left" ]; then
			pass "$law $load: nothing remains after SIGTERM"
		else
			fail "$law $load: nothing remains after SIGTERM" "${left//$'\n'/; }"
		fi
	else
		fail "$law $load: both ends stop on SIGTERM"
	fi
}
