# shellcheck shell=bash
# WireGuard without keys keeps cells and sends them all at once later. The provider must see neither a burst nor a cell
# larger than promised: when the router starts before its endpoint, when the endpoint's name changes from an IPv4 to an
# IPv6 address and back, and after a cut of the line.

allowance() { echo 600; }

readonly ENDPOINT_NAME=endpoint.millpond.test ENDPOINT6=2001:db8:2::2
# Cells in 20 ms and one direction. The mean is less than two; a busy emulated machine delays up to ten and delivers them
# together. WireGuard would keep 128.
readonly MAX_CELLS=20

scenario() {
	settings endpoint gamma
	settings router gamma
	sed -i "s/option endpoint .*/option endpoint '$ENDPOINT_NAME:$TUNNEL_PORT'/" "$WORK/router.uci"
	# shellcheck disable=SC2153 # set by topology.sh
	resolve_to "$ENDPOINT"
	capture_start "$WORK/start.pcap"
	start_with_hosts router
	sleep 20
	daemon_start endpoint
	captured_until_shaping start "the router starts 20 s before its endpoint"
	line_cut 3
	line_cut 90
	switch_family ipv6 "$ENDPOINT6"
	check "cells go to the IPv6 address" uses "$ENDPOINT6"
	switch_family ipv4 "$ENDPOINT"
	check "cells go to the IPv4 address" uses "$ENDPOINT"
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
}

resolve_to() { printf '127.0.0.1 localhost\n%s %s\n' "$1" "$ENDPOINT_NAME" > "$WORK/hosts"; }

# start_with_hosts WHO: starts the daemon with names from WORK/hosts.
start_with_hosts() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	(exec unshare --mount --propagation private bash -c 'mount --bind "$0/hosts" /etc/hosts && exec "$@"' "$WORK" \
		ip netns exec "$1" "$MILLPOND" run --config "$WORK/$1.uci" --socket "$WORK/$1.sock" \
		--guard-file "$WORK/$1.guard.nft" --usage-file "$WORK/$1.usage") > "$WORK/$1.log" 2>&1 &
	# shellcheck disable=SC2034 # read by daemon.sh
	DAEMON[$1]=$!
}

uses() { at router wg show mpwg0 endpoints | grep -F "$1"; }

# captured_until_shaping NAME WHAT: ends the capture NAME when cells flow both ways, and judges it.
captured_until_shaping() {
	check "$2: both ends shape" await 90 "cells from the endpoint" shaping
	sleep 4
	capture_stop
	cp "$WORK/$1.pcap" "$OUT/$SCENARIO/"
	check "$2: no burst and nothing larger than promised" flat "$WORK/$1.pcap"
}

# line_cut SECONDS: the provider's line is cut for that time.
line_cut() {
	capture_start "$WORK/cut-$1.pcap"
	at isp tc qdisc replace dev server root netem loss 100%
	at endpoint tc qdisc replace dev uplink root netem loss 100%
	sleep "$1"
	at isp tc qdisc del dev server root
	at endpoint tc qdisc del dev uplink root
	sleep 1
	captured_until_shaping "cut-$1" "the line is cut for $1 s"
}

# switch_family NAME ADDRESS: the endpoint can only be reached at another address, to which its name now resolves.
switch_family() {
	resolve_to "$2"
	capture_start "$WORK/$1.pcap"
	at router nft -f - <<- END
		table inet lab
		delete table inet lab
		table inet lab {
			chain refused {
				type filter hook output priority 0
				meta nfproto != $1 udp dport $TUNNEL_PORT drop
			}
			chain refused_in {
				type filter hook input priority -300
				meta nfproto != $1 udp sport $TUNNEL_PORT drop
			}
		}
	END
	await 60 "the router to use $2" uses "$2" || true
	captured_until_shaping "$1" "the endpoint's name changes to $1"
	at router nft delete table inet lab
}

# flat FILE: whether the provider saw at most MAX_CELLS cells in 20 ms and one direction, and none above 512 bytes. The
# UDP payload of a cell is 480 bytes over IPv4 and 464 over IPv6; handshakes are far smaller.
flat() {
	tcpdump -n -q -tt -r "$1" "udp port $TUNNEL_PORT" 2> /dev/null | awk -v port=".$TUNNEL_PORT" -v limit="$MAX_CELLS" '
		{
			wire = $NF + ($2 == "IP6" ? 48 : 28)
			if (wire < 400) next
			if (wire > largest) largest = wire
			up = index($5, port ":") > 0
			count[up]++
			times[up, count[up]] = $1
			if (!first[up]) first[up] = 1
			while (times[up, first[up]] < $1 - 0.02) first[up]++
			cells = count[up] - first[up] + 1
			if (cells > most[up]) most[up] = cells
		}
		END {
			printf "at most %d cells up and %d down in 20 ms, %d and %d in all, the largest of %d bytes\n",
				most[1], most[0], count[1], count[0], largest
			exit !(count[1] > 20 && count[0] > 20 && most[1] <= limit && most[0] <= limit && largest <= 512)
		}'
}
