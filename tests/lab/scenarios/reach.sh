# shellcheck shell=bash
# A router finds a way to its endpoint: over IPv4 or IPv6, whichever works; over the line that a program such as mwan3
# has chosen; with cells that the line carries whole. What is in the way is named.

allowance() { echo 900; }

readonly ENDPOINT_NAME=endpoint.millpond.test ENDPOINT6=2001:db8:2::2 SECOND_WAN=203.0.113.3
# Seconds until cells come, at the start and after the way has died, and after a failover of mwan3's kind.
readonly MAX_REACH_S=10 MAX_FAILOVER_S=15

scenario() {
	settings endpoint gamma
	daemon_start endpoint
	await 20 "the endpoint's daemon" status_of endpoint
	first_cells
	ipv6_dies
	second_line
	failover "where no port is set"
	failover_with_port
	equal_defaults
	foreign_rule
	narrow_line
	bridge_as_wan
	private_address
	stop router
	stop endpoint
	router_log
}

# named SETTINGS: the settings with the endpoint's name.
named() { sed -i "s/option endpoint .*/option endpoint '$ENDPOINT_NAME:$TUNNEL_PORT'/" "$WORK/router.uci"; }

# resolve_to ADDRESS...: gives the endpoint's name these addresses.
resolve_to() {
	echo "127.0.0.1 localhost" > "$WORK/hosts"
	printf "%s $ENDPOINT_NAME\n" "$@" >> "$WORK/hosts"
}

# start: starts the router's daemon with names from WORK/hosts.
start() {
	[ ! -e "$WORK/router.log" ] || cat "$WORK/router.log" >> "$WORK/router.logs"
	# shellcheck disable=SC2016 # expanded by the inner shell
	(exec unshare --mount --propagation private bash -c 'mount --bind "$0/hosts" /etc/hosts
		[ ! -e "$0/resolv" ] || mount --bind "$0/resolv" /etc/resolv.conf
		exec "$@"' "$WORK" \
		ip netns exec router "$MILLPOND" run --config "$WORK/router.uci" --socket "$WORK/router.sock" \
		--guard-file "$WORK/router.guard.nft" --usage-file "$WORK/router.usage") > "$WORK/router.log" 2>&1 &
	# shellcheck disable=SC2034,SC2154 # read by daemon.sh; a word, no variable
	DAEMON[router]=$!
}

stop() {
	kill "${DAEMON[$1]}"
	check "the $1 stops" await 10 "the $1's daemon to end" has_exited "$1"
}

router_log() { cat "$WORK/router.logs" "$WORK/router.log" > "$OUT/$SCENARIO/router.log"; }

# within SECONDS SINCE_MS NAME COMMAND...: checks that the command succeeds within that time after SINCE_MS.
within() {
	local limit=$1 since=$2 name=$3 ms
	shift 3
	if ! await 90 "$name" "$@"; then
		fail "$name" "never"
		return
	fi
	ms=$(($(uptime_ms) - since))
	if [ "$ms" -le $((limit * 1000)) ]; then
		pass "$name" "after $((ms / 1000)).$((ms / 100 % 10)) s, limit $limit s"
	else
		fail "$name" "after $((ms / 1000)).$((ms / 100 % 10)) s, limit $limit s"
	fi
}

# uses ADDRESS: whether cells come from this address.
uses() { shaping && at router wg show mpwg0 endpoints | grep -F "$1" > /dev/null; }

# line_drops ip|ip6 ADDRESS: the provider drops packets from and to this address of the home.
line_drops() { provider_drops "$1 saddr $2 drop; $1 daddr $2"; }

# provider_drops NFT-MATCH: the provider drops these packets on their way; all others pass.
provider_drops() {
	at isp nft -f - <<- END
		add table inet lost
		delete table inet lost
		table inet lost { chain c { type filter hook forward priority filter; $1 drop; }; }
	END
}

provider_passes() { at isp nft delete table inet lost; }

first_cells() {
	local from
	settings router gamma
	named
	# shellcheck disable=SC2153 # set by topology.sh
	resolve_to "$ENDPOINT" "$ENDPOINT6"
	provider_drops "meta nfproto ipv4 udp dport $TUNNEL_PORT"
	from=$(uptime_ms)
	start
	within "$MAX_REACH_S" "$from" "IPv4 is black-holed: the first cells come over IPv6" uses "$ENDPOINT6"
	stop router
	ip -n router route del default via 203.0.113.1
	from=$(uptime_ms)
	start
	within 6 "$from" "the WAN has no IPv4 at all: the first cells come over IPv6" uses "$ENDPOINT6"
	provider_passes
	ip -n router route add default via 203.0.113.1
}

ipv6_dies() {
	local from
	capture_start "$WORK/dies.pcap"
	sleep 2
	line_drops ip6 2001:db8:1::2
	from=$(uptime_ms)
	within "$MAX_REACH_S" "$from" "IPv6 dies while shaping: cells come over IPv4" uses "$ENDPOINT"
	sleep 20
	check "the IP version that works is kept" uses "$ENDPOINT"
	capture_stop
	check "no cell is longer than promised, and none is a fragment" whole "$WORK/dies.pcap" 512
	provider_passes
}

# whole FILE BYTES: whether no packet of the capture is a fragment or longer than this.
whole() {
	tcpdump -n -v -r "$1" 2> /dev/null | awk -v limit="$2" '
		/ length [0-9]/ && / IP / { bytes = $0; sub(/.*\), length |.* length /, "", bytes); sub(/[^0-9].*/, "", bytes); sizes[bytes]++ }
		/ IP6 / { bytes = $0; sub(/.*payload length: /, "", bytes); sub(/[^0-9].*/, "", bytes); sizes[bytes + 40]++ }
		/flags \[\+\]|offset [1-9]|frag \(/ { fragments++ }
		{ packets++ }
		END {
			for (size in sizes) if (size + 0 > longest) longest = size + 0
			printf "%d packets, %d of them fragments, the longest of %d bytes\n", packets, fragments, longest
			exit !(packets > 50 && !fragments && longest <= limit)
		}'
}

# A second line: another interface on the same cable, so that the provider captures both.
second_line() {
	stop router
	ip -n router -batch - <<- END
		link add wan2 link wan type macvlan mode bridge
		addr add $SECOND_WAN/24 dev wan2
		link set wan2 up
		route add default via 203.0.113.1 dev wan table 1
		route add default via 203.0.113.1 dev wan2 table 2
		rule add fwmark 0x100/0x3f00 lookup 1 priority 2001
		rule add fwmark 0x200/0x3f00 lookup 2 priority 2002
	END
	FW4_WAN='"wan", "wan2"'
	fw4_load
	mwan_chooses 0x100
	settings router gamma
	resolve_to "$ENDPOINT"
	start
	check "the router shapes by the first line" await 20 "the state" shaping
}

# mwan_chooses MARK: new connections get this mark, and old ones keep theirs, as mwan3 does it.
mwan_chooses() {
	at router nft -f - <<- END
		add table inet mwan
		delete table inet mwan
		table inet mwan { chain output { type route hook output priority mangle;
			meta mark & 0x3f00 == 0 meta mark set ct mark & 0x3f00
			meta mark & 0x3f00 == 0 oifname { $FW4_WAN } meta mark set $1
			ct mark set meta mark & 0x3f00
		}; }
	END
}

# line_dies ADDRESS MARK: the line with this address dies, and mwan3 chooses the other one. The dead default route stays.
line_dies() {
	line_drops ip "$1"
	mwan_chooses "$2"
}

# failover WORDS: the first line dies.
failover() {
	local from
	from=$(uptime_ms)
	line_dies "$ROUTER_WAN" 0x200
	check "the tunnel dies with the first line" await 10 "silence" fails shaping
	within "$MAX_FAILOVER_S" "$from" "a failover in mwan3's manner $1" shaping
	check "by the second line" grep "$SECOND_WAN" <<< "$(at endpoint wg show mpwg0 endpoints)"
	provider_passes
}

failover_with_port() {
	local from
	stop router
	sed -i "/option endpoint /a\\	option listen_port '4500'" "$WORK/router.uci"
	at router conntrack -F > /dev/null 2>&1
	mwan_chooses 0x100
	start
	check "the router shapes by the first line from port 4500" await 20 "the state" shaping
	failover "where the port is 4500"
	check "the port stays" grep -q 4500 <<< "$(at router wg show mpwg0 listen-port)"
}

# Two default routes with the same metric, of which the kernel uses the first.
equal_defaults() {
	local from
	at router nft delete table inet mwan
	ip -n router -batch - <<- END
		rule del priority 2001
		rule del priority 2002
		route del default via 203.0.113.1 dev wan
		route append default via 203.0.113.1 dev wan2
		route append default via 203.0.113.1 dev wan
	END
	check "the router shapes with two defaults of equal metric" await 30 "the state" shaping
	sleep 3
	from=$(uptime_ms)
	ip -n router link set wan2 down
	line_drops ip "$SECOND_WAN"
	sleep 4
	within "$MAX_FAILOVER_S" "$from" "the first of two equal defaults goes" shaping
	provider_passes
	ip -n router link del wan2
	FW4_WAN='"wan"'
	fw4_load
	ip -n router route replace default via 203.0.113.1 dev wan
}

fails() { ! "$@" > /dev/null 2>&1; }

has_problem() { status_of router | grep -F "\"code\":\"$1\""; }
has_no_problem() { ! has_problem "$1" > /dev/null; }
says() { status_of router | grep -oF "$1"; }

# A rule such as that of tailscale with an exit node takes all packets, the tunnel's own among them.
foreign_rule() {
	check "the router shapes before another program's rule" await 30 "the state" shaping
	at router sh -c 'ip tuntap add tailscale0 mode tun && ip link set tailscale0 up &&
		ip route add default dev tailscale0 table 52 && ip rule add priority 5270 lookup 52'
	check "a rule that takes the tunnel's own packets is a problem" await 40 "the problem" has_problem in-other-tunnel
	check "the problem names the rule" says "priority 5270 lookup 52"
	at router ip rule del priority 5270
	at router ip link del tailscale0
	check "the problem goes with the rule" await 40 "no problem" has_no_problem in-other-tunnel
	check "and the router shapes" await 40 "the state" shaping
}

narrow_line() {
	stop router
	ip -n router link set wan mtu 1280
	ip -n isp link set home mtu 1280
	sed -i "s/option cell .*/option cell '1400'/" "$WORK/router.uci"
	capture_start "$WORK/narrow.pcap"
	start
	check "the router shapes by a line of 1280 bytes with cells of 1400" await 30 "the state" shaping
	sleep 10
	capture_stop
	cp "$WORK/narrow.pcap" "$OUT/$SCENARIO/"
	check "no packet of the narrow line is a fragment" whole "$WORK/narrow.pcap" 1280
	check "cells use the line's length" says '"wire_bytes":1276'
	check "the status names the length" has_problem cell-too-long
	# Ends with an error, because the laboratory's firewall is not fw4's.
	at router "$MILLPOND" check --config "$WORK/router.uci" > "$WORK/check.log" 2>&1 || true
	check "and so does check" grep "carries at most 1280" "$WORK/check.log"
	ip -n router link set wan mtu 1500
	ip -n isp link set home mtu 1500
	check "with a wider line the notice goes" await 40 "no problem" has_no_problem cell-too-long
	check "and cells get their length" await 10 "the length" says '"wire_bytes":1388'
	sed -i "s/option cell .*/option cell '512'/" "$WORK/router.uci"
}

audited() { at router "$MILLPOND" audit --packets 300 --socket "$WORK/router.sock" > "$WORK/audit.log" 2>&1; }

bridge_as_wan() {
	stop router
	ip -n router -batch - <<- END
		addr del $ROUTER_WAN/24 dev wan
		link add br-wan type bridge
		link set wan master br-wan
		link set br-wan up
		addr add $ROUTER_WAN/24 dev br-wan
		route add default via 203.0.113.1
	END
	FW4_WAN='"br-wan"'
	fw4_load
	start
	check "the router shapes by a WAN that is a bridge" await 30 "the state" shaping
	check "the bridge leads out" grep br-wan <<< "$(at router nft list set inet millpond outside)"
	sleep 5
	check "an audit finds the line flat" audited
	cat "$WORK/audit.log"
}

private_address() {
	stop router
	named
	resolve_to 192.168.77.9
	start
	check "a private address that does not answer is named" await 40 "the problem" says "got 192.168.77.9, a private address"
	resolve_to "$ENDPOINT"
	check "the right address is found" await 60 "the state" shaping
	check "and nothing is named" await 5 "no problem" has_no_problem name
	stop router
	# The router's own resolver, with the protection that OpenWrt switches on.
	at router dnsmasq --no-daemon --conf-file=/dev/null --port=5353 --no-resolv --no-hosts --pid-file= \
		--address="/$ENDPOINT_NAME/192.168.77.9" > "$WORK/upstream.log" 2>&1 &
	local upstream=$! resolver
	at router dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --stop-dns-rebind \
		--listen-address=127.0.0.1 --bind-interfaces --server=127.0.0.1#5353 > "$WORK/resolver.log" 2>&1 &
	resolver=$!
	echo "127.0.0.1 localhost" > "$WORK/hosts"
	echo "nameserver 127.0.0.1" > "$WORK/resolv"
	start
	check "an address that the resolver withholds is named" await 40 "the problem" says "rebind protection"
	rm "$WORK/resolv"
	kill "$upstream" "$resolver"
}
