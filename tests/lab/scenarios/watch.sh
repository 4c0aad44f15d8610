# shellcheck shell=bash
# Other programs delete millpond's kernel state, addresses change, names resolve to other addresses, the clock jumps.
# Each time the kernel state must be restored within 2 s, and cells must keep flowing. Times go to
# target/lab/watch.json.

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

	start_with_names router
	await 15 'the state "blocked"' state_is blocked || true
	check "an unknown endpoint name blocks the daemon but does not end it" problem_is name
	daemon_start endpoint
	echo "$ENDPOINT $ENDPOINT_NAME" >> "$WORK/hosts"
	recovers "the endpoint's name resolves" 35000 state_is shaping
	await 20 "cells at the endpoint" endpoint_shapes || true

	RECOVERY_LIMIT_MS=$(recovery_limit_ms router)
	say "the time limit for restoring the kernel state is $RECOVERY_LIMIT_MS ms"
	EXPECTED_STATE[router]=$(kernel_state router)
	EXPECTED_STATE[endpoint]=$(kernel_state endpoint)
	damage "the guard's table is deleted" router "nft delete table inet millpond" "nft list chain inet millpond guard"
	damage "all tables are flushed" router "nft flush ruleset" \
		"nft list chain inet millpond guard && nft list chain inet millpond_tunnel nat_out"
	firewall
	damage "the rule is deleted" router "ip rule del priority 910" "ip rule | grep ^910:"
	damage "the routing table is flushed" router "ip route flush table 28016" "ip route show table 28016 default | grep mp0"
	damage "the queueing tree is deleted" router "tc qdisc del dev mpwg0 root" "tc qdisc show dev mpwg0 | grep blackhole"
	damage "an address is deleted" router "ip addr flush dev mpwg0" "ip addr show dev mpwg0 | grep 10.77.0.2"
	damage "mpwg0 is set down" router "ip link set mpwg0 down" "ip link show dev mpwg0 up | grep mpwg0"
	damage "mpwg0 is deleted" router "ip link del mpwg0" "ip link show dev mpwg0 up && tc qdisc show dev mpwg0 | grep blackhole"
	damage "mp0 is deleted" router "ip link del mp0" "ip link show dev mp0 up && ip route show table 28016 default | grep mp0"
	damage "mpwg0 is deleted at the endpoint" endpoint "ip link del mpwg0" "ip link show dev mpwg0 up && tc qdisc show dev mpwg0 | grep blackhole"
	damage "mp0 is deleted at the endpoint" endpoint "ip link del mp0" "ip link show dev mp0 up && ip route | grep mp0"
	damage "all tables are flushed at the endpoint" endpoint "nft flush ruleset" "nft list tables | grep millpond_tunnel"
	check_restored router
	check_restored endpoint
	recovers "all of that is repaired" $((RECOVERY_LIMIT_MS + 8000)) cells_arrive 10
	at router wg set mpwg0 peer "$(cat "$WORK/endpoint.pub")" remove
	# The kernel sends no notification of this; the daemon notices that no cells arrive.
	recovers "the peer is removed from WireGuard" $((RECOVERY_LIMIT_MS + 4000)) peer_and_cells
	check "a hanging nft delays no cells" not_delayed

	at router ip addr del "$ROUTER_WAN/24" dev wan
	at router ip addr add "$MOVED_WAN/24" dev wan
	at router ip route replace default via 203.0.113.1
	recovers "the WAN gets another address" $((RECOVERY_LIMIT_MS + 8000)) cells_arrive 10
	at endpoint ip addr del "$ENDPOINT/24" dev uplink
	at endpoint ip addr add "$MOVED_ENDPOINT/24" dev uplink
	at endpoint ip route replace default via 198.51.100.1
	# A home's firewall rejects unsolicited packets, so an endpoint that moved is found by its name (tested below). Here
	# the firewall accepts the tunnel, so the endpoint can send first.
	at router nft insert rule inet fw4 input_wan udp sport "$TUNNEL_PORT" accept
	recovers "the endpoint gets another address and sends first" $((RECOVERY_LIMIT_MS + 12000)) cells_arrive 10

	kill -KILL "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" || true
	at endpoint ip link del mpwg0
	at endpoint ip addr del "$MOVED_ENDPOINT/24" dev uplink
	at endpoint ip addr add "$ENDPOINT/24" dev uplink
	at endpoint ip route replace default via 198.51.100.1
	daemon_start endpoint
	# The restarted endpoint cannot send first, because it does not know the home's address. The router's WireGuard still
	# has the endpoint's last address.
	await 5 'the state "degraded"' state_is degraded || true
	check "without cells from the endpoint the state is degraded" state_is degraded
	recovers "the endpoint's name resolves to another address" $((RECOVERY_LIMIT_MS + 43000)) state_is shaping

	if grep -q lab.main= /proc/cmdline; then
		date -s "+5 years" > /dev/null
		sleep 2
		check "cells arrive after the clock jumped years ahead" cells_arrive 20
		date -s "-10 years" > /dev/null
		sleep 2
		check "cells arrive after the clock jumped years back" cells_arrive 20
		date -s "+5 years" > /dev/null
	fi
	check "renew succeeds" at router "$MILLPOND" renew --socket "$WORK/router.sock"
	check "the status has no problem" await 10 "a status without problems" status_has_no_problem
	state=$(at router tc -s qdisc show dev wan | head -1)
	check "SQM on the WAN is unchanged" [ "$state" = "$(cat "$WORK/sqm")" ]
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

# start_with_names WHO: starts the daemon with names from WORK/hosts and WORK/resolv.conf, and with an nft that hangs
# while there is a file WORK/slow.
start_with_names() {
	mkdir -p "$WORK/bin"
	printf '#!/bin/sh\n[ ! -e "%s/slow" ] || sleep 6\nPATH=%s exec nft "$@"\n' "$WORK" "$PATH" > "$WORK/bin/nft"
	chmod 755 "$WORK/bin/nft"
	# shellcheck disable=SC2016 # expanded by the inner shell
	(PATH=$WORK/bin:$PATH exec unshare --mount --propagation private bash -c 'mount --bind "$0/hosts" /etc/hosts &&
		mount --bind "$0/resolv.conf" "$(realpath /etc/resolv.conf)" && exec "$@"' "$WORK" \
		ip netns exec "$1" "$MILLPOND" run --config "$WORK/$1.uci" --socket "$WORK/$1.sock" \
		--guard-file "$WORK/$1.guard.nft" --usage-file "$WORK/$1.usage") > "$WORK/$1.log" 2>&1 &
	DAEMON[$1]=$!
}

declare -A EXPECTED_STATE

# damage WHAT PLACE COMMAND TEST: runs the command there and measures the time until the test succeeds again. One shell
# there does both, because starting one for every test would take longer than the recovery.
damage() {
	local took
	# shellcheck disable=SC2016 # expanded by the inner shell
	took=$(at "$2" bash -c '
		now() { read -r up _ < /proc/uptime; up=${up/./}; echo $((10#$up * 10)); }
		eval "$1" > /dev/null
		begin=$(now)
		until eval "$2" > /dev/null 2>&1 || [ $(($(now) - begin)) -gt 60000 ]; do sleep 0.02; done
		echo $(($(now) - begin))' - "$3" "$4") || true
	report_recovery "$1" "${took:-60000}" "$RECOVERY_LIMIT_MS"
}

# check_restored PLACE: checks that its kernel state is as before all damage.
check_restored() {
	await 10 "the kernel state of the $1" is_restored "$1" ||
		diff <(echo "${EXPECTED_STATE[$1]}") <(kernel_state "$1") || true
	check "the kernel state of the $1 is completely restored" is_restored "$1"
}

is_restored() { [ "$(kernel_state "$1")" = "${EXPECTED_STATE[$1]}" ]; }

# kernel_state PLACE: prints millpond's links, addresses, rules, routes, queueing tree and tables.
kernel_state() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	at "$1" sh -c 'for dev in mp0 mpwg0; do ip -br addr show "$dev" 2> /dev/null; done
		ip rule; ip -6 rule; ip route show table 28016; ip -6 route show table 28016
		tc qdisc show dev mpwg0; tc class show dev mpwg0
		nft list tables' 2> /dev/null | grep -v fw4 | sed 's/ *$//; s/UNKNOWN/UP/' | sort
}

# recovers WHAT MAX_MS COMMAND...: measures the time until the command succeeds; fails if that takes longer than MAX_MS.
recovers() {
	local what=$1 max=$2 begin
	shift 2
	begin=$(now_ms)
	until "$@" > /dev/null 2>&1 || [ $(($(now_ms) - begin)) -gt $((max + 10000)) ]; do sleep 0.1; done
	report_recovery "$what" "$(($(now_ms) - begin))" "$max"
}

# report_recovery WHAT TOOK_MS MAX_MS: adds the time to the results, and fails if it exceeds MAX_MS.
report_recovery() {
	printf '\n  {"name": "%s", "mended_s": %d.%03d, "most_s": %d.%03d}' "$1" \
		$(($2 / 1000)) $(($2 % 1000)) $(($3 / 1000)) $(($3 % 1000)) | tail -n 1 >> "$EVENTS"
	echo >> "$EVENTS"
	if [ "$2" -le "$3" ]; then
		pass "$1: recovered in time" "$2 ms"
	else
		fail "$1: recovered in time" "$2 ms, limit $3 ms"
		print_daemon_logs
	fi
}

state_is() { status_of router | grep -o "\"version\":\"[^\"]*\",\"state\":\"$1\""; }

problem_is() { status_of router | grep -o "\"code\":\"$1\""; }

status_has_no_problem() { status_of router | grep -o '"problems":\[\]'; }

endpoint_shapes() { status_of endpoint | grep '"state":"shaping"' > /dev/null; }

cells_received() { status_of router | sed 's/.*"cells_received":\([0-9]*\).*/\1/'; }

# cells_arrive COUNT: whether at least COUNT cells arrive within two seconds.
cells_arrive() {
	local before
	before=$(cells_received)
	sleep 1.5
	[ "$(cells_received)" -ge "$((before + $1))" ] && echo "$(($(cells_received) - before)) cells"
}

peer_and_cells() { at router wg show mpwg0 peers | grep . > /dev/null && cells_arrive 10; }

# not_delayed: whether almost as many cells leave while the reconciler waits for nft as otherwise.
not_delayed() {
	local quiet busy
	quiet=$(cells_sent_in 4)
	touch "$WORK/slow"
	at router nft delete table inet millpond
	sleep 1
	busy=$(cells_sent_in 4)
	rm "$WORK/slow"
	echo "$quiet cells in 4 s normally, $busy in 4 s while nft hangs; since the start $(lateness)"
	[ "$((busy * 4))" -ge "$((quiet * 3))" ]
}

# cells_sent_in SECONDS: prints how many cells leave in that time.
cells_sent_in() {
	local before
	before=$(cells_sent)
	sleep "$1"
	echo "$(($(cells_sent) - before))"
}

cells_sent() { status_of router | sed 's/.*"cells_data":\([0-9]*\),"cells_cover":\([0-9]*\).*/\1 + \2/' | xargs expr; }

lateness() { status_of router | grep -o '"lateness_us":{[^}]*}'; }
