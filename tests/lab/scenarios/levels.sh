# shellcheck shell=bash
# The privacy levels: advice from observed traffic, setting the advised level, a schedule that both directions follow,
# and the check of the wire with and without packets outside the tunnel.

allowance() { echo 240; }

readonly COUNT_SECONDS=6 PINGS=12

scenario() {
	local advice
	if ! daemons_start gamma; then
		fail "both ends shape"
		daemons_stop "$OUT/$SCENARIO" || true
		return
	fi
	cp "$WORK/router.uci" "$WORK/custom.uci"
	devices_ping
	advice=$(at router "$MILLPOND" advise --json --socket "$WORK/router.sock")
	check "advise counts the devices' packets in both directions" contains "$advice" \
		'"name":"xiaomi-cam"[^}]*"upload_packets":[1-9][0-9]*,.*"download_packets":[1-9]' '"confidence":"low"' '"missed_packets":0'
	check "advise gives the data of each rate" contains "$advice" '"kbit":60,"month_gb":19.440' '"kbit":320,"month_gb":103.680'
	advice=$(at router "$MILLPOND" advise --socket "$WORK/router.sock")
	check "advise prints rates and a level as text" contains "$advice" 'lowest rates that keep each device' \
		'saver +30/30 kbit/s.*; advised [0-9]+/[0-9]+ in cells of [0-9]+ bytes'
	set_advised_level
	check_wire
	follow_schedule
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
	check "the data usage is saved at the end" grep -E '^bytes [1-9][0-9]{5}' "$WORK/router.usage"
}

# Pings from three devices at the same time.
devices_ping() {
	local device pids=()
	for device in xiaomi-cam tplink-plug echo; do
		at "dev-$device" busybox ping -c "$PINGS" -s 900 192.0.2.7 > /dev/null 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}" || true
	sleep 2
}

set_advised_level() {
	check "advise --set writes a level with its advised rates" at router "$MILLPOND" advise --set strict --config "$WORK/router.uci" \
		--socket "$WORK/router.sock"
	check "the level does not change before a reload" status_has '"level":"custom","level_by":"settings"'
	reload
	check "the level changes with a reload" await 10 "level strict" status_has '"level":"strict"'
	check "the level has the rates of its section" in_force "$(configured_rates)"
	cp "$WORK/custom.uci" "$WORK/router.uci"
	reload
	await 10 "level custom" status_has '"level":"custom"'
}

# Prints the level's rates in the settings, in the format of the status.
configured_rates() {
	sed -n "/^config level/,\$s/.*option \(upload\|download\) '\([0-9]*\)'/\"\1_kbit\":\2.000/p" "$WORK/router.uci" | paste -sd,
}

# in_force RATES: whether the status has them.
in_force() {
	echo "$1"
	[ -n "$1" ] && status_of router | grep -F "$1" > /dev/null
}

check_wire() {
	check "the check of the wire passes at the router" at router "$MILLPOND" audit --packets 600 --socket "$WORK/router.sock"
	check "the check of the wire passes at the endpoint" at endpoint "$MILLPOND" audit --packets 600 --socket "$WORK/endpoint.sock"
	check "the status has the result" status_has '"audit":\{"running":false,.*"faults":\[\]'
	# Imitates a leak: packets with the camera's source address leave through the WAN.
	at router ip addr add 192.168.1.11/32 dev lo
	at router busybox ping -I 192.168.1.11 -c 20 203.0.113.1 > /dev/null 2>&1 &
	sleep 1
	check "the check finds packets outside the tunnel" finds_leak
	check "the status has the problem" status_has '"code":"audit","severity":"error"'
	wait $! || true
	at router ip addr del 192.168.1.11/32 dev lo
}

finds_leak() {
	local status=0 text
	text=$(at router "$MILLPOND" audit --packets 600 --socket "$WORK/router.sock" 2>&1) || status=$?
	echo "exit code $status: $text"
	[ "$status" -eq 1 ] && [[ $text == *"outside the tunnel"* ]]
}

# Sets the clock, so it runs only in a guest.
follow_schedule() {
	local start stop now
	if ! grep -q lab /proc/cmdline; then
		skip "the schedule" "it would set the clock of this machine"
		return
	fi
	start=$(date -d '+20 min' +%H:%M)
	stop=$(date -d '+80 min' +%H:%M)
	printf "\nconfig schedule\n\toption start '%s'\n\toption stop '%s'\n\toption level 'off'\n" "$start" "$stop" >> "$WORK/router.uci"
	reload
	rates_are "a schedule changes nothing before its start" 160 320
	now=$(date +%s)
	date -s "@$((now + 26 * 60))" > /dev/null
	check "level off starts on schedule" await 15 'the state "paused"' status_has '"state":"paused"'
	check "the status names the schedule" status_has '"level":"off","level_by":"schedule","promise":false'
	rates_are "both directions pause" 0 0
	check "devices still reach the Internet through the tunnel" at dev-xiaomi-cam busybox ping -c 2 192.0.2.7
	now=$(date +%s)
	date -s "@$((now + 60 * 60))" > /dev/null
	check "level off ends on schedule" await 30 'the state "shaping"' status_has '"state":"shaping"'
	rates_are "both directions resume" 160 320
}

reload() { at router "$MILLPOND" reload --socket "$WORK/router.sock" > /dev/null; }

status_has() { status_of router | grep -oE "$1"; }

# contains TEXT PATTERN...: whether the text matches every pattern.
contains() {
	local pattern
	for pattern in "${@:2}"; do
		if ! grep -qE "$pattern" <<< "$1"; then
			echo "$pattern is missing in ${1:0:3000}"
			return 1
		fi
	done
}

# rates_are NAME UP DOWN: checks the rates in the provider's capture, in kbit/s: within 13 % and 4 kbit/s.
rates_are() {
	local capture=$WORK/levels.pcap
	capture_start "$capture"
	sleep "$COUNT_SECONDS"
	capture_stop
	check "$1" rates_near "$capture" "$2" "$3"
}

# Divides by the duration of the capture, which is longer than planned on a busy machine. An empty capture has no
# duration, so the planned one counts at least.
rates_near() {
	tcpdump -tt -n -q -r "$1" "udp port $TUNNEL_PORT" 2> /dev/null | awk -v router="$ROUTER_WAN." -v up="$2" -v down="$3" \
		-v seconds="$COUNT_SECONDS" '
		NR == 1 { first = $1 }
		{
			last = $1
			if (index($3, router) == 1) sent += $NF + 28
			else received += $NF + 28
		}
		function near(is, wanted) { return is > 0.87 * wanted - 4 && is < 1.13 * wanted + 4 }
		END {
			if (last - first > seconds) seconds = last - first
			sent *= 8 / seconds / 1000
			received *= 8 / seconds / 1000
			printf "%.1f kbit/s up, %.1f down in %.2f s\n", sent, received, seconds
			exit !(near(sent, up) && near(received, down))
		}'
}
