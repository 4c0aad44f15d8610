# shellcheck shell=bash
# Settings change while both ends run: the line follows the file in place, and a broken file changes nothing.

allowance() { echo 240; }

readonly COUNT_SECONDS=8

scenario() {
	local made
	if ! daemons_start gamma; then
		fail "both ends shape"
		daemons_stop "$OUT/$SCENARIO" || true
		return
	fi
	sleep 2
	made=$(interfaces)
	line "the line is as set" 160 320
	sed -i "s/option upload .*/option upload '320'/; s/option download .*/option download '640'/" "$WORK/router.uci"
	kill -HUP "${DAEMON[router]}"
	sleep 4
	line "SIGHUP: both directions follow the router's file" 320 640
	sed -i "s/option law .*/option law 'kernel'/; s/option download .*/option download '320'/" "$WORK/router.uci"
	check "reload says that the settings are in force" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	sleep 4
	line "the law and HTB's rate follow too" 320 320
	check "what encrypts the cells goes before programs" await 20 "real-time workers" encrypts_first
	check "no interface was made anew" [ "$made" = "$(interfaces)" ]
	sed -i "s/option upload .*/option upload 'fast'/" "$WORK/router.uci"
	check "a broken file is refused" refused 78
	check "and the status says so" status_has '"code":"settings"'
	line "and the line stays" 320 320
	sed -i "s/option upload .*/option upload '160'/; s/option law .*/option law 'gamma'/" "$WORK/router.uci"
	check "a mended file is taken" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	sleep 4
	line "and the line follows" 160 320
	check "and the status is clean" status_has '"problems":\[\]'
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
		check "and leave no worker in front" none_first
	else
		fail "both ends stop on SIGTERM"
	fi
}

# Threads of the kernel's workers that have a real-time priority, by name.
first_workers() { ps -eo cls,comm | awk '$1 == "FF" && $2 ~ /^kworker\//'; }

encrypts_first() { first_workers | grep wg-crypt-mpwg0; }

none_first() { [ -z "$(first_workers)" ]; }

interfaces() { at router ip -o link show type wireguard && at router ip -o link show mp0 | cut -d: -f1; }

# refused CODE: whether a reload ends with that exit code.
refused() {
	local status=0
	at router "$MILLPOND" reload --socket "$WORK/router.sock" || status=$?
	[ "$status" -eq "$1" ]
}

status_has() { status_of router | grep -oE "$1"; }

# line NAME UP DOWN: passes if the provider sees these rates in kbit/s, within a tenth, and one size.
line() {
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
