# shellcheck shell=bash
# The line is as flat over OpenVPN, and over an interface that somebody else keeps: under the law gamma, a busy home and a
# silent one each. And what may happen to such tunnels: openvpn dies, compression is offered, the interface goes and comes.

allowance() { echo $((4 * 2 * (WINDOW + 60) + 600)); }

scenario() {
	over_openvpn
	over_interface
}

# flat KIND WIRE_BYTES: measures both loads into OUT/tunnels/KIND.
flat() {
	local devices load dir try
	sleep 2
	for load in busy idle; do
		devices=()
		[ "$load" = idle ] || mapfile -t devices < <(replayed_devices)
		dir=$OUT/$SCENARIO/$1/gamma-$load
		for try in 1 2 3; do
			measure "$dir" gamma "$load" "$2" "$WINDOW" with_daemon "${devices[@]}"
			stood_still "$dir" || break
			[ "$try" = 3 ] || say "$1 $load: the machine itself stood still for part of the window; once more"
		done
	done
}

over_openvpn() {
	# shellcheck disable=SC2034 # read by millpond's settings and by the record
	TUNNEL_KIND=openvpn TUNNEL_PROTOCOL=openvpn
	openvpn_files
	refused_profiles
	# Two key exchanges in an emulated machine take their time.
	if daemons_start gamma || await 90 "the router's state \"shaping\"" shaping; then
		pass "openvpn: both ends shape"
		flat openvpn 512
		openvpn_dies
		compression_is_pushed
	else
		fail "openvpn: both ends shape"
	fi
	stopped openvpn
	check "no openvpn is left" [ -z "$(openvpn_at router)$(openvpn_at endpoint)" ]
}

# Certificates and profiles, from the examples that millpond ships.
openvpn_files() {
	local who
	mkdir -p "$WORK/homes"
	for who in router endpoint; do
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes -days 30 -subj "/CN=$who" \
			-keyout "$WORK/$who.key.pem" -out "$WORK/$who.crt" 2> /dev/null
	done
	echo "ifconfig-push 10.77.0.2 255.255.255.0" > "$WORK/homes/router"
	profile client router endpoint > "$WORK/client.ovpn"
	profile server endpoint router > "$WORK/server.ovpn"
}

# profile KIND OWN PEER: the example, with this world's files, addresses and fingerprint.
profile() {
	local fingerprint
	fingerprint=$(openssl x509 -in "$WORK/$3.crt" -noout -fingerprint -sha256)
	sed "s|/etc/millpond/$2.crt|$WORK/$2.crt|; s|/etc/millpond/$2.key|$WORK/$2.key.pem|; s|/etc/millpond/homes|$WORK/homes|
		s|vpn.example.org 1194|$ENDPOINT $TUNNEL_PORT|; s|^port 1194|port $TUNNEL_PORT|
		s|00:01:02[0-9a-f:]*|${fingerprint#*=}|" "$LAB/../../files/etc/millpond/$1.ovpn.example"
}

openvpn_section() {
	if [ "$1" = router ]; then
		printf "\toption type 'openvpn'\n\toption profile '%s'\n" "$WORK/client.ovpn"
	else
		printf "\toption type 'openvpn'\n\toption profile '%s'\n" "$WORK/server.ovpn"
	fi
}

refused_profiles() {
	local line
	settings router gamma
	for line in "comp-lzo" "compress lz4" "allow-compression yes" "proto tcp" "cipher AES-256-CBC"; do
		echo "$line" >> "$WORK/client.ovpn"
		check "a profile with '$line' is refused with its line" refused_line "$(wc -l < "$WORK/client.ovpn")" "${line%% *}"
		sed -i '$d' "$WORK/client.ovpn"
	done
}

# refused_line NUMBER OPTION
refused_line() {
	local status=0 said
	said=$(at router "$MILLPOND" check --config "$WORK/router.uci" 2>&1) || status=$?
	grep "client.ovpn:$1: $2: " <<< "$said" && [ "$status" -eq 78 ]
}

# openvpn_at PLACE: its process.
openvpn_at() { ip netns pids "$1" | while read -r pid; do grep -qx openvpn "/proc/$pid/comm" && echo "$pid"; done; }

openvpn_dies() {
	local made who
	made=$(at router cat /sys/class/net/mpvpn0/ifindex)
	for who in router endpoint; do
		# shellcheck disable=SC2046 # numbers
		kill -KILL $(openvpn_at "$who")
		check "the $who's openvpn is started again" await 15 "another openvpn" running "$who"
		# A server that was killed has forgotten its clients; they notice after 20 s of silence.
		check "and the home shapes again" await 90 "cells from the endpoint" shaping_again
	done
	check "the interface stayed the same" [ "$made" = "$(at router cat /sys/class/net/mpvpn0/ifindex)" ]
}

running() { [ -n "$(openvpn_at "$1")" ]; }

# Cells of the last second, not of before.
shaping_again() { sleep 2 && shaping; }

compression_is_pushed() {
	echo 'push "comp-lzo yes"' >> "$WORK/homes/router"
	# shellcheck disable=SC2046 # numbers
	kill -KILL $(openvpn_at router)
	check "compression that the server pushes is refused, and named" await 40 "the problem" \
		status_says '"code":"openvpn-compression"[^}]*comp-lzo yes'
	check "no cell is carried meanwhile" not_shaping
	sed -i '$d' "$WORK/homes/router"
	check "and without it the home shapes again" await 60 "cells from the endpoint" shaping_again
}

status_says() { status_of router | grep -oE "$1"; }

not_shaping() { ! shaping; }

over_interface() {
	# shellcheck disable=SC2034 # read by millpond's settings and by the record
	TUNNEL_KIND=interface TUNNEL_PROTOCOL=wireguard
	keys
	interface_make endpoint
	settings endpoint gamma
	settings router gamma
	daemon_start endpoint
	daemon_start router
	check "without the interface the router waits" await 60 "state blocked" \
		status_says '"state":"blocked".*"code":"interface"'
	check "and tells what for" status_says 'waiting for wg0[^"]*'
	WITHIN_MS=$(mended_within_ms router)
	interface_make router
	check "it is attached to in time" attached
	if await 90 "the router's state \"shaping\"" shaping; then
		pass "interface: both ends shape"
		flat interface 508
		interface_goes
	else
		fail "interface: both ends shape"
		daemon_words
	fi
	foreign_queue
	stopped interface
	check "the interface is left as it was" as_it_was
	killed
	ip -n router link del wg0
	ip -n endpoint link del wg0
}

readonly FILTER=/proc/sys/net/ipv4/conf/wg0/rp_filter

interface_section() { printf "\toption type 'interface'\n\toption interface 'wg0'\n"; }

# interface_make PLACE [down]: as netifd would, keys and address included.
interface_make() {
	ip -n "$1" link add wg0 type wireguard
	at "$1" sh -c "echo 1 > $FILTER"
	if [ "$1" = router ]; then
		at router wg set wg0 private-key "$WORK/router.key" peer "$(cat "$WORK/endpoint.pub")" \
			endpoint "$ENDPOINT:$TUNNEL_PORT" allowed-ips 10.77.0.1/32
		ip -n router addr add 10.77.0.2/24 dev wg0
	else
		at endpoint wg set wg0 private-key "$WORK/endpoint.key" listen-port "$TUNNEL_PORT" \
			peer "$(cat "$WORK/router.pub")" allowed-ips 10.77.0.2/32
		ip -n endpoint addr add 10.77.0.1/24 dev wg0
	fi
	ip -n "$1" link set wg0 "${2-up}"
}

# attached: whether the queue stands on the interface as soon as the contract wants it. Called when that has just come up.
attached() {
	local begin took
	begin=$(now_ms)
	await 30 "the queue on wg0" tree_stands
	took=$(($(now_ms) - begin))
	echo "after $took ms, want at most $WITHIN_MS"
	[ "$took" -le "$WITHIN_MS" ]
}

tree_stands() { at router tc qdisc show dev wg0 | grep -q 'blackhole 13: parent 10:3'; }

interface_goes() {
	ip -n router link del wg0
	check "when the interface goes, the router waits" await 20 "state blocked" status_says '"state":"blocked"'
	capture_start "$WORK/held.pcap"
	udp_echo dev-echo held-back || true
	capture_stop
	check "and its devices are held back" held_back
	interface_make router
	check "when it is back, it is attached to in time" attached
	check "and the home shapes again" await 30 "cells from the endpoint" shaping_again
}

# Nothing of a device reaches the provider.
held_back() {
	[ "$(grep -ac held-back "$WORK/held.pcap")" -eq 0 ] && echo "$(captured "$WORK/held.pcap") packets, none of a device's"
}

# Another's queue is there before ours could be.
foreign_queue() {
	ip -n router link del wg0
	interface_make router down
	at router tc qdisc add dev wg0 root cake bandwidth 10mbit
	ip -n router link set wg0 up
	check "another's queue is named" await 20 "the problem" status_says '"code":"foreign-qdisc"'
	check "and left alone" queue_is_there
	at router tc qdisc del dev wg0 root
	check "and once it is gone, the home shapes again" await 40 "cells from the endpoint" shaping_again
}

queue_is_there() { at router tc qdisc show dev wg0 | grep '^qdisc cake'; }

# stopped KIND: both ends end, and leave nothing.
stopped() {
	local left
	mkdir -p "$OUT/$SCENARIO/$1"
	if daemons_stop "$OUT/$SCENARIO/$1"; then
		left=$(remains router && remains endpoint)
		if [ -z "$left" ]; then
			pass "$1: nothing remains after SIGTERM"
		else
			fail "$1: nothing remains after SIGTERM" "${left//$'\n'/; }"
		fi
	else
		fail "$1: both ends stop on SIGTERM"
	fi
}

# One that is killed can give nothing back, but "millpond flush" can.
killed() {
	daemon_start router
	check "attached again" await 60 "the queue on wg0" tree_stands
	# What it has lent stands in a file as soon as it has read back what it did.
	await 20 "what was before" [ -s "$WORK/router.before" ] || true
	kill -KILL "${DAEMON[router]}"
	wait "${DAEMON[router]}" 2> /dev/null || true
	at router "$MILLPOND" flush --socket "$WORK/router.sock" --guard-file "$WORK/router.guard.nft" > "$WORK/flush.log" 2>&1 ||
		fail "millpond flush after SIGKILL" "$(< "$WORK/flush.log")"
	check "killed and flushed, it is left so too" as_it_was
	check "and nothing is left to be given back" [ ! -e "$WORK/router.before" ]
}

# Without our queue and route, with its own address and filter.
as_it_was() {
	local found
	found=$(at router tc qdisc show dev wg0 && at router ip route show dev wg0 && at router ip -o -4 addr show dev wg0 &&
		at router sed 's/^/rp_filter /' "$FILTER")
	echo "${found//$'\n'/; }"
	! grep -qE 'htb|proto 109' <<< "$found" && grep -q 10.77.0.2/24 <<< "$found" && grep -q 'rp_filter 1' <<< "$found"
}
