# shellcheck shell=bash
# The ubus object of a shaping router: answers, refused calls, a flood of calls, a restart of the broker.

allowance() { echo 200; }

readonly FLOOD_SECONDS=10

scenario() {
	local quiet flooded
	BROKER=$WORK/ubus.sock
	broker_start
	if ! daemons_start gamma; then
		fail "both ends shape"
		daemons_stop "$OUT/$SCENARIO" || true
		return
	fi
	at dev-xiaomi-cam busybox ping -c 3 192.0.2.7 > /dev/null || true
	sleep 3
	check "status is answered" answer status '{"ubus_rpc_session": "0"}' '"state":"shaping"'
	check "devices has name, policy and addresses" answer devices '{}' '"name":"xiaomi-cam"' '"policy":"shape"' '"192.168.1.11"'
	check "devices has the camera's bytes in both directions" answer devices '{}' '"upload_bytes":252' '"download_bytes":252'
	check "history has rates" answer history '{"seconds": 60}' '"resolution_s":1' '"wire_upload_bytes_per_s":\[[0-9, ]*[1-9][0-9]{4}'
	check "a wrong argument is refused" refused history '{"seconds": "all"}' "status 2"
	check "an unknown method is refused" refused bogus '{}' "status 3"
	check "the commands use ubus" at router "$MILLPOND" devices --ubus "$BROKER"
	quiet=$(lateness sleep "$FLOOD_SECONDS")
	flooded=$(lateness flood)
	check "a flood of calls delays no cell" similar "$quiet" "$flooded"
	kill "$BROKER_PID"
	wait "$BROKER_PID" || true
	sleep 2
	check "without a broker the socket still answers and reports the problem" has_ubus_problem
	broker_start
	check "a restarted broker gets the object again" await 20 "the object" answer status '{}' '"state":"shaping"'
	check "the status has no problem" status_has '"problems":\[\]'
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
	kill "$BROKER_PID"
	BROKER=
}

broker_start() {
	"$WORLD" broker --socket "$BROKER" > "$WORK/broker.log" 2>&1 &
	BROKER_PID=$!
	await 10 "the broker" test -S "$BROKER"
}

# answer METHOD ARGUMENTS PATTERN...: whether the answer matches every pattern.
answer() {
	local text pattern
	text=$("$WORLD" call --socket "$BROKER" "$1" "$2" 2>&1) || return
	for pattern in "${@:3}"; do
		if ! grep -qE "$pattern" <<< "$text"; then
			echo "$pattern is missing in ${text:0:2000}"
			return 1
		fi
	done
}

# refused METHOD ARGUMENTS REASON: whether the call fails with that reason.
refused() {
	local text
	! text=$("$WORLD" call --socket "$BROKER" "$1" "$2" 2>&1) && echo "$text" && [[ $text == *"$3"* ]]
}

# Floods with two callers at once; each waits for its answers.
flood() {
	local other
	"$WORLD" call-flood --socket "$BROKER" --seconds "$FLOOD_SECONDS" >&2 &
	other=$!
	"$WORLD" call-flood --socket "$BROKER" --seconds "$FLOOD_SECONDS" >&2
	wait "$other"
}

# lateness COMMAND...: prints the mean lateness of departures during the command in µs, and the number of missed ones.
lateness() {
	local before
	before=$(departures)
	"$@"
	echo "$before $(departures)" | awk '{ printf "%.0f %d\n", ($6 * $5 - $3 * $2) / ($5 - $2), $4 - $1 }'
}

# Prints the missed departures, the departures, and their mean lateness in µs.
departures() {
	status_of router | sed -E 's/.*"cells_data":([0-9]+),"cells_cover":([0-9]+).*"missed_slots":([0-9]+).*"lateness_us":\{"mean":([0-9.]+).*/\1 \2 \3 \4/' |
		awk '{ print $3, $1 + $2, $4 }'
}

# similar QUIET FLOODED: whether the flood changed little. A slow machine misses some departures without a flood too;
# their number varies randomly, which the limit allows for.
similar() {
	echo "quiet: $1, flooded: $2 (mean lateness in µs, missed departures)"
	awk -v quiet="$1" -v flooded="$2" 'BEGIN {
		split(quiet, q, " ")
		split(flooded, f, " ")
		exit !(f[1] < 1.1 * q[1] + 1000 && f[2] <= q[2] + 1 + 3 * sqrt(q[2]))
	}'
}

has_ubus_problem() { status_has '"code":"ubus","severity":"info"'; }

status_has() {
	local text
	text=$(status_of router)
	grep -qE "$1" <<< "$text" || { echo "$text" && false; }
}
