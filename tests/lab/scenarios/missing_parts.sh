# shellcheck shell=bash
# Parts that a router may lack: IPv6, a set clock, ubus. The log names each missing part in one line; the rest works.

# Kernel options for this scenario.
kernel_options() { echo ipv6.disable=1; }

allowance() { echo 150; }

scenario() {
	local now since lines
	now=$(date +%s) since=$(uptime_ms)
	# The clock as after a boot without a battery. The kernel accepts no time earlier than its uptime.
	date -s "@$((since / 1000 + 10))" > /dev/null
	check "this kernel has no IPv6" test ! -e /proc/sys/net/ipv6
	settings router gamma
	check "the settings are valid" at router "$MILLPOND" check --config "$WORK/router.uci"
	if ! daemons_start gamma; then
		fail "both ends shape"
		daemons_stop "$OUT/$SCENARIO" || true
		return
	fi
	pass "both ends shape"
	check "a device reaches the Internet" udp_echo dev-tplink-plug hello
	check "a device resolves a name by DNS" at dev-echo "$WORLD" ask --server 192.0.2.53 www.example.org
	check "the only problem is the clock" await 5 "the problem" problems_are clock
	check "the log names the clock once" logged 1 "the clock is not set: it says 1970"
	check "the log names the missing ubus broker once" logged 1 "no ubus broker found"
	date -s "@$((now + ($(uptime_ms) - since) / 1000))" > /dev/null
	check "the problem ends when the clock is set" await 10 "no problem" problems_are ""
	check "the router shapes after the clock was set" await 30 'the state "shaping"' shaping
	lines=$(grep -cE '^(WARN|ERROR)' "$WORK/router.log")
	check "the log has no other warning" [ "$lines" = 1 ]
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
	check "only the guard remains" nothing_remains
}

# problems_are "CODE...": whether the router's status has exactly these problems.
problems_are() {
	local codes
	codes=$(status_of router | grep -o '"code":"[^"]*"' | cut -d '"' -f 4 | xargs)
	echo "$codes"
	[ "$codes" = "$1" ]
}

# logged TIMES TEXT: whether the router's log contains the text in that many lines.
logged() { [ "$(grep -cF "$2" "$WORK/router.log")" = "$1" ]; }

nothing_remains() {
	local left
	left=$(leftovers router)
	[ -z "$left" ] || { echo "$left" && false; }
}
