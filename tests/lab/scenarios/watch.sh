# shellcheck shell=bash
# Others delete what is millpond's, addresses change, names come to mean something else, the clock jumps: each time the
# kernel is as it should be again within 2 s, and the line goes on. Times go to target/lab/watch.json.

allowance() { echo 420; }

readonly ENDPOINT_NAME=endpoint.millpond.test MOVED_ENDPOINT=198.51.100.17 MOVED_WAN=203.0.113.77

scenario() {
	local state
	EVENTS=$WORK/events
	at router tc qdisc add dev wan root handle 8001: cake bandwidth 50mbit
	at router tc -s qdisc show dev wan | head -1 > "$WORK/sqm"
	settings endpoint gamma
	settings router gamma
	sed -i "s/option endpoint .*/option endpoint '$ENDPOINT_NAME:$TUNNEL_PORT'/" "$WORK/router.uci"
	echo "nameserver 192.0.2.53" > "$WORK/resolv.conf"
	echo "127.0.0.1 localhost" > "$WORK/hosts"

	named_start router
	await 15 'the state "blocked"' state_is blocked || true
	check "a name that nobody knows blocks, and does not end, the daemon" problem_is name
	daemon_start endpoint
	echo "$ENDPOINT $ENDPOINT_NAME" >> "$WORK/hosts"
	timed "the name is known" 35000 state_is shaping
	await 20 "cells at the endpoint" endpoint_shapes || true

	MENDED_WITHIN_MS=$(mended_within_ms router)
	say "changes are to be mended within $MENDED_WITHIN_MS ms"
	HELD[router]=$(held router)
	HELD[endpoint]=$(held endpoint)
	event "somebody deletes the guard's table" router "nft delete table inet millpond" "nft list chain inet millpond guard"
	event "flushes all tables" router "nft flush ruleset" \
		"nft list chain inet millpond guard && nft list chain inet millpond_tunnel nat_out"
	firewall
	event "deletes the rule" router "ip rule del priority 910" "ip rule | grep ^910:"
	event "flushes the routing table" router "ip route flush table 28016" "ip route show table 28016 default | grep mp0"
	event "deletes the queueing tree" router "tc qdisc del dev mpwg0 root" "tc qdisc show dev mpwg0 | grep blackhole"
	event "takes an address" router "ip addr flush dev mpwg0" "ip addr show dev mpwg0 | grep 10.77.0.2"
	event "takes mpwg0 down" router "ip link set mpwg0 down" "ip link show dev mpwg0 up | grep mpwg0"
	event "deletes mpwg0" router "ip link del mpwg0" "ip link show dev mpwg0 up && tc qdisc show dev mpwg0 | grep blackhole"
	event "deletes mp0" router "ip link del mp0" "ip link show dev mp0 up && ip route show table 28016 default | grep mp0"
	event "deletes mpwg0 at the endpoint" endpoint "ip link del mpwg0" "ip link show dev mpwg0 up && tc qdisc show dev mpwg0 | grep blackhole"
	event "deletes mp0 at the endpoint" endpoint "ip link del mp0" "ip link show dev mp0 up && ip route | grep mp0"
	event "flushes all tables at the endpoint" endpoint "nft flush ruleset" "nft list tables | grep millpond_tunnel"
	whole router
	whole endpoint
	timed "cells come again" $((MENDED_WITHIN_MS + 8000)) cells_come 10
	at router wg set mpwg0 peer "$(cat "$WORK/endpoint.pub")" remove
	# Of this the kernel does not tell: it shows in the silence.
	timed "takes the peer out of WireGuard" $((MENDED_WITHIN_MS + 4000)) peer_and_cells
	check "while nft hangs, as many cells leave as otherwise" not_delayed

	at router ip addr del "$ROUTER_WAN/24" dev wan
	at router ip addr add "$MOVED_WAN/24" dev wan
	at router ip route replace default via 203.0.113.1
	timed "the WAN has another address" $((MENDED_WITHIN_MS + 8000)) cells_come 10
	at endpoint ip addr del "$ENDPOINT/24" dev uplink
	at endpoint ip addr add "$MOVED_ENDPOINT/24" dev uplink
	at endpoint ip route replace default via 198.51.100.1
	# The home's firewall turns away what it has not asked for: there, an endpoint that moved is found by its name, below. This
	# one lets the tunnel in.
	at router nft insert rule inet fw4 input_wan udp sport "$TUNNEL_PORT" accept
	timed "the endpoint has another address, and calls from it" $((MENDED_WITHIN_MS + 12000)) cells_come 10

	kill -KILL "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" || true
	at endpoint ip link del mpwg0
	at endpoint ip addr del "$MOVED_ENDPOINT/24" dev uplink
	at endpoint ip addr add "$ENDPOINT/24" dev uplink
	at endpoint ip route replace default via 198.51.100.1
	daemon_start endpoint
	# It cannot call: it does not know the home yet. WireGuard still knows its last address.
	await 5 'the state "degraded"' state_is degraded || true
	check "without cells from the endpoint the state is degraded" state_is degraded
	timed "the endpoint's name leads to another address" $((MENDED_WITHIN_MS + 43000)) state_is shaping

	if grep -q lab.main= /proc/cmdline; then
		date -s "+5 years" > /dev/null
		sleep 2
		check "the clock jumps ahead by years and cells go on" cells_come 20
		date -s "-10 years" > /dev/null
		sleep 2
		check "and back and cells go on" cells_come 20
		date -s "+5 years" > /dev/null
	fi
	check "renew is answered" at router "$MILLPOND" renew --socket "$WORK/router.sock"
	check "the status is clean" await 10 "a clean status" status_is_clean
	state=$(at router tc -s qdisc show dev wan | head -1)
	check "SQM on the WAN is as it was" [ "$state" = "$(cat "$WORK/sqm")" ]
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
	{
		printf '{"events": ['
		paste -sd, "$EVENTS"
		printf ']}\n'
	} > "$OUT/$SCENARIO/results.json"
}

# named_start WHO: the daemon, with names from WORK/hosts and WORK/resolv.conf.
named_start() {
	mkdir -p "$WORK/bin"
	printf '#!/bin/sh\n[ ! -e "%s/slow" ] || sleep 6\nPATH=%s exec nft "$@"\n' "$WORK" "$PATH" > "$WORK/bin/nft"
	chmod 755 "$WORK/bin/nft"
	# shellcheck disable=SC2016 # for the inner shell
	(PATH=$WORK/bin:$PATH exec unshare --mount --propagation private bash -c 'mount --bind "$0/hosts" /etc/hosts &&
		mount --bind "$0/resolv.conf" "$(realpath /etc/resolv.conf)" && exec "$@"' "$WORK" \
		ip netns exec "$1" "$MILLPOND" run --config "$WORK/$1.uci" --socket "$WORK/$1.sock" \
		--guard-file "$WORK/$1.guard.nft" --usage-file "$WORK/$1.usage") > "$WORK/$1.log" 2>&1 &
	DAEMON[$1]=$!
}

declare -A HELD

# event WHAT WHERE COMMAND TEST: runs the command there, and waits until the test succeeds again. One shell there does both:
# to go there anew for every look would take longer than what is measured.
event() {
	local took
	# shellcheck disable=SC2016 # for the inner shell
	took=$(at "$2" bash -c '
		now() { read -r up _ < /proc/uptime; up=${up/./}; echo $((10#$up * 10)); }
		eval "$1" > /dev/null
		begin=$(now)
		until eval "$2" > /dev/null 2>&1 || [ $(($(now) - begin)) -gt 60000 ]; do sleep 0.02; done
		echo $(($(now) - begin))' - "$3" "$4") || true
	mended "$1" "${took:-60000}" "$MENDED_WITHIN_MS"
}

# whole WHERE: that in the end all is as it was.
whole() {
	await 10 "all of the $1's to be as before" restored "$1" || diff <(echo "${HELD[$1]}") <(held "$1") || true
	check "all of the $1's is as it was" restored "$1"
}

restored() { [ "$(held "$1")" = "${HELD[$1]}" ]; }

# What of millpond's a place holds: links, addresses, rules, routes, queueing tree, tables.
held() {
	# shellcheck disable=SC2016 # for the inner shell
	at "$1" sh -c 'for dev in mp0 mpwg0; do ip -br addr show "$dev" 2> /dev/null; done
		ip rule; ip -6 rule; ip route show table 28016; ip -6 route show table 28016
		tc qdisc show dev mpwg0; tc class show dev mpwg0
		nft list tables' 2> /dev/null | grep -v fw4 | sed 's/ *$//; s/UNKNOWN/UP/' | sort
}

# timed WHAT MOST_MS COMMAND...: until the command succeeds; fails if that takes longer.
timed() {
	local what=$1 most=$2 begin
	shift 2
	begin=$(now_ms)
	until "$@" > /dev/null 2>&1 || [ $(($(now_ms) - begin)) -gt $((most + 10000)) ]; do sleep 0.1; done
	mended "$what" "$(($(now_ms) - begin))" "$most"
}

# mended WHAT TOOK_MS MOST_MS: notes it, and fails if it took longer.
mended() {
	printf '\n  {"name": "%s", "mended_s": %d.%03d, "most_s": %d.%03d}' "$1" \
		$(($2 / 1000)) $(($2 % 1000)) $(($3 / 1000)) $(($3 % 1000)) | tail -n 1 >> "$EVENTS"
	echo >> "$EVENTS"
	if [ "$2" -le "$3" ]; then
		pass "$1: mended" "$2 ms"
	else
		fail "$1: mended" "$2 ms, want at most $3"
		daemon_words
	fi
}

state_is() { status_of router | grep -o "\"version\":\"[^\"]*\",\"state\":\"$1\""; }

problem_is() { status_of router | grep -o "\"code\":\"$1\""; }

status_is_clean() { status_of router | grep -o '"problems":\[\]'; }

endpoint_shapes() { status_of endpoint | grep -q '"state":"shaping"'; }

received() { status_of router | sed 's/.*"cells_received":\([0-9]*\).*/\1/'; }

# cells_come COUNT: whether so many more come within two seconds.
cells_come() {
	local before
	before=$(received)
	sleep 1.5
	[ "$(received)" -ge "$((before + $1))" ] && echo "$(($(received) - before)) cells"
}

peer_and_cells() { at router wg show mpwg0 peers | grep -q . && cells_come 10; }

# not_delayed: counts departures while all is quiet, and while the process that mends waits for nft.
not_delayed() {
	local quiet busy
	quiet=$(sent_in 4)
	touch "$WORK/slow"
	at router nft delete table inet millpond
	sleep 1
	busy=$(sent_in 4)
	rm "$WORK/slow"
	echo "$quiet cells in 4 quiet seconds, $busy in 4 of waiting; since the start $(lateness)"
	[ "$((busy * 4))" -ge "$((quiet * 3))" ]
}

sent_in() {
	local before
	before=$(sent)
	sleep "$1"
	echo "$(($(sent) - before))"
}

sent() { status_of router | sed 's/.*"cells_data":\([0-9]*\),"cells_cover":\([0-9]*\).*/\1 + \2/' | xargs expr; }

lateness() { status_of router | grep -o '"lateness_us":{[^}]*}'; }
