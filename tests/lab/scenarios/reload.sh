# shellcheck shell=bash
# Settings change while both ends run. The line follows the settings without a restart, and broken settings change
# nothing.

allowance() { echo 240; }

readonly COUNT_SECONDS=8

scenario() {
	local interfaces_before
	if ! daemons_start gamma; then
		fail "both ends shape"
		daemons_stop "$OUT/$SCENARIO" || true
		return
	fi
	sleep 2
	interfaces_before=$(interfaces)
	check_line "the line has the rates in the settings" 160 320
	sed -i "s/option upload .*/option upload '320'/; s/option download .*/option download '640'/" "$WORK/router.uci"
	kill -HUP "${DAEMON[router]}"
	sleep 4
	check_line "after SIGHUP both directions have the new rates" 320 640
	sed -i "s/option law .*/option law 'kernel'/; s/option download .*/option download '320'/" "$WORK/router.uci"
	check "reload succeeds" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	sleep 4
	check_line "law and HTB rate change too" 320 320
	check "WireGuard's encryption workers get real-time priority" await 20 "real-time workers" crypto_workers_are_realtime
	check "no interface was recreated" [ "$interfaces_before" = "$(interfaces)" ]
	sed -i "s/option upload .*/option upload 'fast'/" "$WORK/router.uci"
	check "broken settings are refused" refused 78
	check "the status has the problem" status_has '"code":"settings"'
	check_line "broken settings do not change the line" 320 320
	sed -i "s/option upload .*/option upload '160'/; s/option law .*/option law 'gamma'/" "$WORK/router.uci"
	check "corrected settings are accepted" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	sleep 4
	check_line "the line follows the corrected settings" 160 320
	check "the status has no problem" status_has '"problems":\[\]'
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
		check "no worker keeps real-time priority" no_realtime_worker
	else
		fail "both ends stop on SIGTERM"
	fi
}

# Prints the kernel's worker threads with real-time priority.
realtime_workers() { ps -eo cls,comm | awk '$1 == "FF" && $2 ~ /^kworker\//'; }

crypto_workers_are_realtime() { realtime_workers | grep wg-crypt-mpwg0; }

no_realtime_worker() { [ -z "$(realtime_workers)" ]; }

interfaces() { at router ip -o link show type wireguard && at router ip -o link show mp0 | cut -d: -f1; }

# refused CODE: whether a reload ends with that exit code.
refused() {
	local status=0
	at router "$MILLPOND" reload --socket "$WORK/router.sock" || status=$?
	[ "$status" -eq "$1" ]
}

status_has() { status_of router | grep -oE "$1"; }

# check_line NAME UP DOWN: passes if the provider sees one packet size and these rates in kbit/s, within 10 %.
check_line() {
	local capture=$WORK/reload.pcap
	capture_start "$capture"
	sleep "$COUNT_SECONDS"
	capture_stop
	check "$1" rates "$capture" "$2" "$3"
}

rates() {
	tcpdump -n -q -r "$1" "udp port $TUNNEL_PORT" 2> /dev/null | awk -v router="$ROUTER_WAN." -v up="$2" -v down="$3" '
		{
			bytes = $NF + 28
			size[bytes]++
			if (index($3, router) == 1) sent += bytes
			else received += bytes
			split($1, t, ":")
			now = t[1] * 3600 + t[2] * 60 + t[3]
			if (!first) first = now
		}
		END {
			sent *= 8 / (now - first) / 1000
			received *= 8 / (now - first) / 1000
			for (s in size) sizes = sizes " " s
			printf "%.1f kbit/s up, %.1f down, sizes%s\n", sent, received, sizes
			exit !(sizes == " 508" && sent > 0.9 * up && sent < 1.1 * up && received > 0.9 * down && received < 1.1 * down)
		}'
}
