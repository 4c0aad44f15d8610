# shellcheck shell=bash
# The privacy levels: advice after traffic, a level chosen by it, a week plan that both directions follow, and the check
# of the wire, clean and with a stray.

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
	check "advise has seen the devices, both ways" has "$advice" \
		'"name":"xiaomi-cam"[^}]*"upload_packets":[1-9][0-9]*,.*"download_packets":[1-9]' '"confidence":"low"' '"missed_packets":0'
	check "and names what each rate costs" has "$advice" '"kbit":60,"month_gb":19.440' '"kbit":320,"month_gb":103.680'
	advice=$(at router "$MILLPOND" advise --socket "$WORK/router.sock")
	check "in words too" has "$advice" 'lowest rates that keep each device' 'saver +80/160 kbit/s.*advised'
	advised_level
	wire_audit
	week_plan
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
	check "the data is counted beyond the end" grep -E '^bytes [1-9][0-9]{5}' "$WORK/router.usage"
}

# Pings from three devices at once.
devices_ping() {
	local device pids=()
	for device in xiaomi-cam tplink-plug echo; do
		at "dev-$device" busybox ping -c "$PINGS" -s 900 192.0.2.7 > /dev/null 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}" || true
	sleep 2
}

advised_level() {
	check "a level is chosen with its advised rates" at router "$MILLPOND" advise --set strict --config "$WORK/router.uci" \
		--socket "$WORK/router.sock"
	check "nothing changes by itself" status_has '"level":"custom","level_by":"settings"'
	reload
	check "the level is in force when the owner says so" await 10 "level strict" status_has '"level":"strict"'
	check "with the rates of its section" in_force "$(confirmed)"
	cp "$WORK/custom.uci" "$WORK/router.uci"
	reload
	await 10 "level custom" status_has '"level":"custom"'
}

# The rates that the file has for a level, as the status has them.
confirmed() {
	sed -n "/^config level/,\$s/.*option \(upload\|download\) '\([0-9]*\)'/\"\1_kbit\":\2.000/p" "$WORK/router.uci" | paste -sd,
}

in_force() {
	echo "$1"
	[ -n "$1" ] && status_of router | grep -qF "$1"
}

wire_audit() {
	check "the check of the wire is clean at the router" at router "$MILLPOND" audit --packets 600 --socket "$WORK/router.sock"
	check "and at the endpoint" at endpoint "$MILLPOND" audit --packets 600 --socket "$WORK/endpoint.sock"
	check "and stands in the status" status_has '"audit":\{"running":false,.*"faults":\[\]'
	# As if the camera's packets had found a way: its address leaves by the WAN.
	at router ip addr add 192.168.1.11/32 dev lo
	at router busybox ping -I 192.168.1.11 -c 20 203.0.113.1 > /dev/null 2>&1 &
	sleep 1
	check "a stray is found" finds_stray
	check "and stands among the problems" status_has '"code":"audit","severity":"error"'
	wait $! || true
	at router ip addr del 192.168.1.11/32 dev lo
}

finds_stray() {
	local status=0 text
	text=$(at router "$MILLPOND" audit --packets 600 --socket "$WORK/router.sock" 2>&1) || status=$?
	echo "exit code $status: $text"
	[ "$status" -eq 1 ] && [[ $text == *"beside the tunnel"* ]]
}

# The machine's clock is moved, so only where that is nobody else's.
week_plan() {
	local start stop now
	if ! grep -q lab /proc/cmdline; then
		skip "a week plan: this machine's clock is not ours to move"
		return
	fi
	start=$(date -d '+20 min' +%H:%M)
	stop=$(date -d '+80 min' +%H:%M)
	printf "\nconfig schedule\n\toption start '%s'\n\toption stop '%s'\n\toption level 'off'\n" "$start" "$stop" >> "$WORK/router.uci"
	reload
	rates_are "before its time the plan changes nothing" 160 320
	now=$(date +%s)
	date -s "@$((now + 26 * 60))" > /dev/null
	check "level off comes by the clock" await 15 "paused" status_has '"state":"paused"'
	check "and the status says so" status_has '"level":"off","level_by":"schedule","promise":false'
	rates_are "both directions rest together" 0 0
	check "what the devices send still goes through the tunnel" at dev-xiaomi-cam busybox ping -c 2 192.0.2.7
	now=$(date +%s)
	date -s "@$((now + 60 * 60))" > /dev/null
	check "and ends by the clock" await 30 "shaping" status_has '"state":"shaping"'
	rates_are "both directions are back together" 160 320
}

reload() { at router "$MILLPOND" reload --socket "$WORK/router.sock" > /dev/null; }

status_has() { status_of router | grep -oE "$1"; }

# has TEXT PATTERN...: whether it has them all.
has() {
	local pattern
	for pattern in "${@:2}"; do
		if ! grep -qE "$pattern" <<< "$1"; then
			echo "no $pattern in ${1:0:3000}"
			return 1
		fi
	done
}

# rates_are NAME UP DOWN: what the provider sees in kbit/s, to within a tenth and two.
rates_are() {
	local capture=$WORK/levels.pcap
	capture_start "$capture"
	sleep "$COUNT_SECONDS"
	capture_stop
	check "$1" rates_near "$capture" "$2" "$3"
}

# Seconds are those of the capture, which a busy machine ends late; silence has none of its own.
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
