# shellcheck shell=bash
# The object on ubus while cells go: answers, refusals, a flood of calls, a broker that is restarted.

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
	check "status" answer status '{"ubus_rpc_session": "0"}' '"state":"shaping"'
	check "devices: name, policy, addresses" answer devices '{}' '"name":"xiaomi-cam"' '"policy":"shape"' '"192.168.1.11"'
	check "devices: what the camera sent and got" answer devices '{}' '"upload_bytes":252' '"download_bytes":252'
	check "history" answer history '{"seconds": 60}' '"resolution_s":1' '"wire_upload_bytes_per_s":\[[0-9, ]*[1-9][0-9]{4}'
	check "a wrong argument is refused" refused history '{"seconds": "all"}' "status 2"
	check "a method that is not there is refused" refused bogus '{}' "status 3"
	check "the commands ask on ubus" at router "$MILLPOND" devices --ubus "$BROKER"
	quiet=$(lateness sleep "$FLOOD_SECONDS")
	flooded=$(lateness flood)
	check "a flood of calls makes no cell late" alike "$quiet" "$flooded"
	kill "$BROKER_PID"
	wait "$BROKER_PID" || true
	sleep 2
	check "without a broker the socket answers" lost
	broker_start
	check "a broker that is back has the object again" await 20 "the object" answer status '{}' '"state":"shaping"'
	check "and the status is clean" status_says '"problems":\[\]'
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

# answer METHOD ARGUMENTS PATTERN...: whether the answer has them all.
answer() {
	local text pattern
	text=$("$WORLD" call --socket "$BROKER" "$1" "$2" 2>&1) || return
	for pattern in "${@:3}"; do
		if ! grep -qE "$pattern" <<< "$text"; then
			echo "no $pattern in ${text:0:2000}"
			return 1
		fi
	done
}

# refused METHOD ARGUMENTS WHY
refused() {
	local text
	! text=$("$WORLD" call --socket "$BROKER" "$1" "$2" 2>&1) && echo "$text" && [[ $text == *"$3"* ]]
}

# Two callers at once: each waits for its answers.
flood() {
	local other
	"$WORLD" call-flood --socket "$BROKER" --seconds "$FLOOD_SECONDS" >&2 &
	other=$!
	"$WORLD" call-flood --socket "$BROKER" --seconds "$FLOOD_SECONDS" >&2
	wait "$other"
}

# lateness COMMAND...: mean lateness of departures meanwhile in µs, and how many were missed.
lateness() {
	local before
	before=$(counted)
	"$@"
	echo "$before $(counted)" | awk '{ printf "%.0f %d\n", ($6 * $5 - $3 * $2) / ($5 - $2), $4 - $1 }'
}

# Missed departures, departures, their mean lateness in µs.
counted() {
	status_of router | sed -E 's/.*"cells_data":([0-9]+),"cells_cover":([0-9]+).*"missed_slots":([0-9]+).*"lateness_us":\{"mean":([0-9.]+).*/\1 \2 \3 \4/' |
		awk '{ print $3, $1 + $2, $4 }'
}

# alike QUIET FLOODED: where a slow machine misses departures by itself, their number varies as chance has it.
alike() {
	echo "quiet: $1, flooded: $2 (mean lateness in µs, missed departures)"
	awk -v quiet="$1" -v flooded="$2" 'BEGIN {
		split(quiet, q, " ")
		split(flooded, f, " ")
		exit !(f[1] < 1.1 * q[1] + 1000 && f[2] <= q[2] + 1 + 3 * sqrt(q[2]))
	}'
}

lost() { status_says '"code":"ubus","severity":"info"'; }

status_says() {
	local text
	text=$(status_of router)
	grep -qE "$1" <<< "$text" || { echo "$text" && false; }
}
