# shellcheck shell=bash
# The line must be as flat over OpenVPN, and over an interface of another program: law gamma, a busy and an idle home.
# Then the failures of such tunnels: openvpn is killed, compression is offered, the interface disappears and returns.

allowance() { echo $((4 * 2 * (WINDOW + 60) + 600)); }

scenario() {
	over_openvpn
	over_interface
}

# measure_loads KIND WIRE_BYTES: measures both loads into OUT/tunnels/KIND.
measure_loads() {
	local devices load dir try
	sleep 2
	for load in busy idle; do
		devices=()
		[ "$load" = idle ] || mapfile -t devices < <(replayed_devices)
		dir=$OUT/$SCENARIO/$1/gamma-$load
		for try in 1 2 3; do
			measure "$dir" gamma "$load" "$2" "$WINDOW" with_daemon "${devices[@]}"
			machine_stalled "$dir" || break
			[ "$try" = 3 ] || say "$1 $load: the machine stalled during the window; measuring again"
		done
	done
}

over_openvpn() {
	# shellcheck disable=SC2034 # read by daemon.sh and record.sh
	TUNNEL_KIND=openvpn TUNNEL_PROTOCOL=openvpn
	openvpn_files
	refused_profiles
	# The key exchanges of both ends take long in an emulator.
	if daemons_start gamma || await 90 "the router's state \"shaping\"" shaping; then
		pass "openvpn: both ends shape"
		measure_loads openvpn 512
		kill_openvpn
		push_compression
	else
		fail "openvpn: both ends shape"
	fi
	stop_and_check openvpn
	check "no openvpn process is left" [ -z "$(openvpn_at router)$(openvpn_at endpoint)" ]
}

# Makes certificates, and profiles from the examples that millpond ships.
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

# profile KIND OWN PEER: prints the example with this world's files, addresses and fingerprint.
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
		check "a profile with '$line' is refused with the line number" refused_line "$(wc -l < "$WORK/client.ovpn")" "${line%% *}"
		sed -i '$d' "$WORK/client.ovpn"
	done
}

# refused_line NUMBER OPTION: whether "millpond check" names that line and option, and exits with status 78.
refused_line() {
	local status=0 output
	output=$(at router "$MILLPOND" check --config "$WORK/router.uci" 2>&1) || status=$?
	grep "client.ovpn:$1: $2: " <<< "$output" && [ "$status" -eq 78 ]
}

# openvpn_at PLACE: prints the process number of openvpn there.
openvpn_at() { ip netns pids "$1" | while read -r pid; do grep -qx openvpn "/proc/$pid/comm" && echo "$pid"; done; }

kill_openvpn() {
	local ifindex who
	ifindex=$(at router cat /sys/class/net/mpvpn0/ifindex)
	for who in router endpoint; do
		# shellcheck disable=SC2046 # numbers
		kill -KILL $(openvpn_at "$who")
		check "millpond restarts the $who's openvpn" await 15 "another openvpn" openvpn_runs "$who"
		# A restarted server does not know its clients; they notice that after 20 s of silence.
		check "the home shapes again after the $who's openvpn was killed" await 90 "cells from the endpoint" shaping_again
	done
	check "the interface was not recreated" [ "$ifindex" = "$(at router cat /sys/class/net/mpvpn0/ifindex)" ]
}

openvpn_runs() { [ -n "$(openvpn_at "$1")" ]; }

# Waits first, because the status counts a recent cell from before the event too.
shaping_again() { sleep 2 && shaping; }

push_compression() {
	echo 'push "comp-lzo yes"' >> "$WORK/homes/router"
	# shellcheck disable=SC2046 # numbers
	kill -KILL $(openvpn_at router)
	check "pushed compression is refused and reported" await 40 "the problem" \
		status_has '"code":"openvpn-compression"[^}]*comp-lzo yes'
	check "the home does not shape with pushed compression" not_shaping
	sed -i '$d' "$WORK/homes/router"
	check "the home shapes again without pushed compression" await 60 "cells from the endpoint" shaping_again
}

status_has() { status_of router | grep -oE "$1"; }

not_shaping() { ! shaping; }

over_interface() {
	# shellcheck disable=SC2034 # read by daemon.sh and record.sh
	TUNNEL_KIND=interface TUNNEL_PROTOCOL=wireguard
	make_keys
	interface_make endpoint
	settings endpoint gamma
	settings router gamma
	daemon_start endpoint
	daemon_start router
	check "the router is blocked without the interface" await 60 'the state "blocked"' \
		status_has '"state":"blocked".*"code":"interface"'
	check "the status names the missing interface" status_has 'waiting for wg0[^"]*'
	RECOVERY_LIMIT_MS=$(recovery_limit_ms router)
	interface_make router
	check "millpond attaches to the interface in time" attached_in_time
	if await 90 "the router's state \"shaping\"" shaping; then
		pass "interface: both ends shape"
		measure_loads interface 508
		remove_interface
	else
		fail "interface: both ends shape"
		print_daemon_logs
	fi
	foreign_queue
	stop_and_check interface
	check "the interface is as before" interface_restored
	flush_after_sigkill
	ip -n router link del wg0
	ip -n endpoint link del wg0
}

readonly FILTER=/proc/sys/net/ipv4/conf/wg0/rp_filter

interface_section() { printf "\toption type 'interface'\n\toption interface 'wg0'\n"; }

# interface_make PLACE [down]: creates the interface with keys and address, as netifd does.
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

# attached_in_time: whether millpond installs its queue on an interface that has just come up within RECOVERY_LIMIT_MS.
attached_in_time() {
	local begin took
	begin=$(now_ms)
	await 30 "the queue on wg0" queue_is_installed
	took=$(($(now_ms) - begin))
	echo "after $took ms, limit $RECOVERY_LIMIT_MS"
	[ "$took" -le "$RECOVERY_LIMIT_MS" ]
}

queue_is_installed() { at router tc qdisc show dev wg0 | grep 'blackhole 13: parent 10:3' > /dev/null; }

remove_interface() {
	ip -n router link del wg0
	check "the router is blocked after the interface was removed" await 20 'the state "blocked"' \
		status_has '"state":"blocked"'
	capture_start "$WORK/held.pcap"
	udp_echo dev-echo held-back || true
	capture_stop
	check "no device traffic leaves without the interface" nothing_leaked
	interface_make router
	check "millpond attaches to the new interface in time" attached_in_time
	check "the home shapes again on the new interface" await 30 "cells from the endpoint" shaping_again
}

nothing_leaked() {
	[ "$(grep -ac held-back "$WORK/held.pcap")" -eq 0 ] && echo "$(captured "$WORK/held.pcap") packets, none of a device's"
}

# The interface already has another program's queue when it comes up.
foreign_queue() {
	ip -n router link del wg0
	interface_make router down
	at router tc qdisc add dev wg0 root cake bandwidth 10mbit
	ip -n router link set wg0 up
	check "a foreign queue is reported" await 20 "the problem" status_has '"code":"foreign-qdisc"'
	check "a foreign queue is not changed" foreign_queue_exists
	at router tc qdisc del dev wg0 root
	check "the home shapes again after the foreign queue was deleted" await 40 "cells from the endpoint" shaping_again
}

foreign_queue_exists() { at router tc qdisc show dev wg0 | grep '^qdisc cake'; }

# stop_and_check KIND: stops both ends and checks that only the guard remains.
stop_and_check() {
	local left
	mkdir -p "$OUT/$SCENARIO/$1"
	if daemons_stop "$OUT/$SCENARIO/$1"; then
		left=$(leftovers router && leftovers endpoint)
		if [ -z "$left" ]; then
			pass "$1: only the guard remains after SIGTERM"
		else
			fail "$1: only the guard remains after SIGTERM" "${left//$'\n'/; }"
		fi
	else
		fail "$1: both ends stop on SIGTERM"
	fi
}

# A killed daemon cannot restore the original sysctls; "millpond flush" does.
flush_after_sigkill() {
	daemon_start router
	check "millpond attaches to the interface again" await 60 "the queue on wg0" queue_is_installed
	# The overridden sysctl is in a file as soon as the daemon has verified its changes.
	await 20 "the file of saved sysctls" [ -s "$WORK/router.before" ] || true
	kill -KILL "${DAEMON[router]}"
	wait "${DAEMON[router]}" 2> /dev/null || true
	at router "$MILLPOND" flush --socket "$WORK/router.sock" --guard-file "$WORK/router.guard.nft" > "$WORK/flush.log" 2>&1 ||
		fail "millpond flush after SIGKILL" "$(< "$WORK/flush.log")"
	check "the interface is as before after SIGKILL and flush" interface_restored
	check "no saved sysctls are left" [ ! -e "$WORK/router.before" ]
}

# Whether millpond's queue and route are gone, and the interface has its own address and rp_filter.
interface_restored() {
	local found
	found=$(at router tc qdisc show dev wg0 && at router ip route show dev wg0 && at router ip -o -4 addr show dev wg0 &&
		at router sed 's/^/rp_filter /' "$FILTER")
	echo "${found//$'\n'/; }"
	! grep -qE 'htb|proto 109' <<< "$found" && grep -q 10.77.0.2/24 <<< "$found" && grep -q 'rp_filter 1' <<< "$found"
}
