# shellcheck shell=bash
# Parts that a router may lack: IPv6, a set clock, ubus. The log names each missing part in one line; the rest works.

# This scenario boots a kernel of its own.
kernel_options() { echo ipv6.disable=1; }

allowance() { echo 150; }

scenario() {
	local now since lines
	now=$(date +%s) since=$(uptime_ms)
	# As after a boot without a battery, half a minute ago.
	date -s @30 > /dev/null
	check "this kernel has no IPv6" test ! -e /proc/sys/net/ipv6
	settings router gamma
	check "the settings are good" at router "$MILLPOND" check --config "$WORK/router.uci"
	if ! daemons_start gamma; then
		fail "both ends shape"
		daemons_stop "$OUT/$SCENARIO" || true
		return
	fi
	pass "both ends shape"
	check "a device reaches the Internet" udp_echo dev-tplink-plug hello
	check "a device asks DNS" at dev-echo "$WORLD" ask --server 192.0.2.53 www.example.org
	check "the one problem is the clock's" await 5 "the problem" problems_are clock
	check "the log says so once" said 1 "the clock is not set: it says 1970"
	check "and once that there is no ubus" said 1 "no ubus here"
	date -s "@$((now + ($(uptime_ms) - since) / 1000))" > /dev/null
	check "with the clock set there is none" await 10 "no problem" problems_are ""
	check "and cells go on" await 30 'the state "shaping"' shaping
	lines=$(grep -cE '^(WARN|ERROR)' "$WORK/router.log")
	check "nothing else was worth a warning" [ "$lines" = 1 ]
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
	check "only the guard remains" nothing_remains
}

# problems_are "CODE...": those of the router's status.
problems_are() {
	local codes
	codes=$(status_of router | grep -o '"code":"[^"]*"' | cut -d '"' -f 4 | xargs)
	echo "$codes"
	[ "$codes" = "$1" ]
}

# said TIMES TEXT: in the router's log.
said() { [ "$(grep -cF "$2" "$WORK/router.log")" = "$1" ]; }

nothing_remains() {
	local left
	left=$(remains router)
	[ -z "$left" ] || { echo "$left" && false; }
}
