# shellcheck shell=bash
# The scenario flat-line for a MIPS router: the program from the package on a separate emulated machine (24KEc). Then
# the effect of a minute of flood and new flows on its memory.

# shellcheck source=tests/lab/scenarios/flat-line.sh
. "$LAB/scenarios/flat-line.sh"

allowance() { echo $((6 * (WINDOW + 60) + 240)); }

scenario() {
	local load try clock
	for load in busy idle; do
		for try in 1 2 3; do
			clock=$(machine_clock)
			flat_run gamma "$load"
			clock+=" $(machine_clock)"
			machine_stalled "$OUT/$SCENARIO/gamma-$load" || ! clock_is_accurate "$clock" > /dev/null || break
			[ "$try" = 3 ] || say "$load: a machine stalled during the window; measuring again"
		done
		check "$load: the router's clock is accurate within 1 %" clock_is_accurate "$clock"
	done
	churn
}

# clock_is_accurate 'THERE HERE THERE HERE': whether the uptimes there and here grew alike within 1 %. If not, all rates
# are wrong.
clock_is_accurate() {
	echo "$1" | awk '{ pace = ($3 - $1) / ($4 - $2); printf "%+.3f %%\n", 100 * (pace - 1); exit !(pace > 0.99 && pace < 1.01) }'
}

# Fills the queue once, so that all its memory is allocated. A minute of a device's flood and of new flows must then add
# no memory.
churn() {
	local dir=$OUT/$SCENARIO/churn before after flood
	mkdir -p "$dir"
	if ! daemons_start gamma; then
		fail "churn: both ends shape"
		daemons_stop "$dir" || true
		return
	fi
	at dev-xiaomi-cam "$WORLD" flood --target 192.0.2.7:9 --rate 100 --seconds $((WINDOW + 60)) &
	flood=$!
	await 50 "the queue to overflow" overflows || fail "churn: a flood fills the queue"
	before=$(memory router)
	say "churn: $WINDOW s of a flood and new flows"
	ask_until $((SECONDS + WINDOW))
	after=$(memory router)
	kill "$flood" 2> /dev/null || true
	wait "$flood" || true
	printf '{"before": {%s}, "after": {%s}}\n' "$before" "$after" > "$dir/memory.json"
	check "a minute of churn adds no memory" same_memory "$before" "$after"
	status_of router > "$dir/router.json"
	daemons_stop "$dir" || fail "churn: both ends stop on SIGTERM"
}

overflows() { status_of router | grep '"overflow":[1-9]' > /dev/null; }

# ask_until END: every device keeps sending DNS queries, each from a new port, so each is a new flow in the queue.
ask_until() {
	local device
	while [ "$SECONDS" -lt "$1" ]; do
		for device in $(device_names); do
			at "dev-$device" timeout 2 "$WORLD" ask --server 192.0.2.53 www.example.org > /dev/null 2>&1 &
		done
		sleep 0.5
	done
	sleep 2
}

# same_memory BEFORE AFTER: whether anonymous memory grew by at most four pages.
same_memory() {
	local before=${1##*: } after=${2##*: }
	echo "anonymous $before KiB before, $after after"
	[ "$after" -le $((before + 16)) ]
}
