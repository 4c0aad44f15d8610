# shellcheck shell=bash
# Two homes at one endpoint. Each reaches the Internet only through cells, also over IPv6, and neither reaches the other
# or the endpoint's own services. A home whose settings are broken at the start stays confined.

allowance() { echo 300; }

readonly SECOND_HOME=100.64.2.2 SERVICE_PORT=8022

scenario() {
	second_home_up
	settings endpoint gamma
	settings router gamma
	two_homes
	at endpoint "$WORLD" bulk-server --port "$SERVICE_PORT" > "$WORK/service.log" 2>&1 &
	SERVICES+=($!)
	daemon_start endpoint
	daemon_start router
	daemon_start second
	if ! await 90 "both homes to shape" both_shape; then
		fail "both homes shape"
		print_daemon_logs
		clean_up
		return
	fi
	pass "both homes shape"
	ipv6_through_tunnel
	homes_are_isolated
	traffic_without_cells
	broken_at_start
	clean_up
}

# Adds a router without devices, on its own line.
second_home_up() {
	ip netns add second
	ip link add wan netns second type veth peer name second netns isp
	configure_ns second <<- END
		addr add $SECOND_HOME/24 dev wan
		link set wan up
		route add default via 100.64.2.1
	END
	ip -n isp -batch - <<- END
		addr add 100.64.2.1/24 dev second
		link set second up
	END
}

# Writes the settings of both homes; the endpoint offers IPv6 to both.
two_homes() {
	(umask 077 && wg genkey > "$WORK/second.key")
	wg pubkey < "$WORK/second.key" > "$WORK/second.pub"
	sed -i "s|option address '10.77.0.1/32'|&\n\toption address6 'fd77::1'|; s|option address '10.77.0.2'|&\n\toption address6 'fd77::2'|" \
		"$WORK/endpoint.uci"
	printf "\nconfig home\n\toption name 'oak street'\n\toption public_key '%s'\n\toption address '10.77.0.3'\n\toption max_download '4000'\n" \
		"$(cat "$WORK/second.pub")" >> "$WORK/endpoint.uci"
	sed "s|$(cat "$WORK/router.key")|$(cat "$WORK/second.key")|; s|10.77.0.2/32|10.77.0.3/32|" "$WORK/router.uci" > "$WORK/second.uci"
	sed -i "s|option address '10.77.0.2/32'|&\n\toption address6 'fd77::2'|" "$WORK/router.uci"
}

both_shape() { shaping && status_of second | grep -E '"state": *"shaping"' > /dev/null; }

# The endpoint translates a device's private IPv6 address, and the provider sees only cells.
ipv6_through_tunnel() {
	capture_start "$WORK/ipv6.pcap"
	check "a device's IPv6 goes through the tunnel" at dev-echo busybox ping -6 -c 5 -W 5 2001:db8:3::7
	capture_stop
	check "the provider sees only cells" only_cells "$WORK/ipv6.pcap"
	sed -i '/address6/d' "$WORK/router.uci"
	check "a reload disables IPv6 in the tunnel" reload_router
	check "IPv6 is then rejected at once with an ICMPv6 error" rejected6
}

# only_cells CAPTURE: whether it has cells, and none of the device's IPv6 packets.
only_cells() {
	local others cells
	others=$(tcpdump -n -r "$1" 'ip6 and host 2001:db8:3::7' 2> /dev/null | wc -l)
	cells=$(tcpdump -n -r "$1" "udp port $TUNNEL_PORT" 2> /dev/null | wc -l)
	echo "$cells cells, $others other packets"
	[ "$others" -eq 0 ] && [ "$cells" -gt 50 ]
}

reload_router() { at router "$MILLPOND" reload --socket "$WORK/router.sock"; }

# Whether a connection over IPv6 fails at once with an error from ICMPv6.
rejected6() {
	local output
	output=$(at dev-echo timeout 5 bash -c 'exec 3<> /dev/tcp/2001:db8:3::7/443' 2>&1) && return 1
	grep -m 1 -oiE '(no route|network is unreachable|permission denied).*' <<< "$output"
}

# Through cells, a home's devices reach neither the other home nor the endpoint.
homes_are_isolated() {
	check "a device reaches the Internet" can_ping dev-echo 192.0.2.7
	# The next two show that the targets of the checks after them are up.
	check "the provider can ping the other home's router" can_ping isp "$SECOND_HOME"
	check "the Internet can connect to the endpoint's service" can_connect internet "$ENDPOINT"
	check "a device cannot ping the other home" cannot_ping dev-echo 10.77.0.3
	check "a device cannot ping the endpoint inside the tunnel" cannot_ping dev-echo 10.77.0.1
	check "a device cannot connect to the service inside the tunnel" cannot_connect dev-echo 10.77.0.1
	check "a device cannot connect to the service at the public address" cannot_connect dev-echo "$ENDPOINT"
}

can_ping() { at "$1" busybox ping -c 3 -W 5 "$2"; }
cannot_ping() { ! at "$1" busybox ping -c 2 -W 2 "$2"; }
# can_connect PLACE ADDRESS: whether the service there accepts a connection from PLACE.
can_connect() { at "$1" timeout 5 bash -c "exec 3<> /dev/tcp/$2/$SERVICE_PORT"; }
cannot_connect() { ! can_connect "$@"; }

# The second home stops millpond and sends plain packets through WireGuard, for which it has a key.
traffic_without_cells() {
	kill "${DAEMON[second]}"
	await 10 "the second home's daemon to end" has_exited second || true
	wait "${DAEMON[second]}" || true
	# The home controls its router, so it can remove the guard there.
	at second nft flush ruleset
	ip -n second link add wg0 type wireguard
	at second wg set wg0 private-key "$WORK/second.key" peer "$(cat "$WORK/endpoint.pub")" \
		endpoint "$ENDPOINT:$TUNNEL_PORT" allowed-ips 0.0.0.0/0 persistent-keepalive 1
	ip -n second -batch - <<- END
		addr add 10.77.0.3/32 dev wg0
		link set wg0 up
		route add 10.77.0.0/24 dev wg0
		route add 192.0.2.7/32 dev wg0
	END
	check "a home without millpond can set up a tunnel" await 30 "a handshake" has_handshake
	check "without cells it cannot ping the other home" cannot_ping second 10.77.0.2
	check "without cells it cannot ping the endpoint" cannot_ping second 10.77.0.1
	check "without cells it cannot connect to the service" cannot_connect second 10.77.0.1
	check "without cells it cannot ping the Internet" cannot_ping second 192.0.2.7
	(exec ip netns exec endpoint tcpdump -i mpwg0 -n -U -Z root -w "$WORK/spoofed.pcap" 2> "$WORK/spoofed.log") &
	# shellcheck disable=SC2034 # read by record.sh
	CAPTURE=$!
	await 10 "tcpdump to listen" grep -q "listening on" "$WORK/spoofed.log"
	ip -n second addr add 10.77.0.2/32 dev wg0
	at second busybox ping -c 3 -W 1 -I 10.77.0.2 10.77.0.1 > /dev/null || true
	at second busybox ping -c 3 -W 1 -I 10.77.0.3 10.77.0.1 > /dev/null || true
	capture_stop
	check "packets with the other home's source address do not arrive" no_spoofed_packets
	ip -n second link del wg0
	check "the first home keeps shaping" shaping
}

has_handshake() { at second wg show wg0 latest-handshakes | grep -v '[[:space:]]0$' > /dev/null; }

no_spoofed_packets() {
	local own spoofed
	own=$(tcpdump -n -r "$WORK/spoofed.pcap" 'icmp and src 10.77.0.3' 2> /dev/null | wc -l)
	spoofed=$(tcpdump -n -r "$WORK/spoofed.pcap" 'icmp and src 10.77.0.2' 2> /dev/null | wc -l)
	echo "$spoofed spoofed packets, $own packets with its own address"
	[ "$spoofed" -eq 0 ] && [ "$own" -gt 0 ]
}

# Starts the daemon with broken settings that also have a new device: first with a loaded guard, then without one.
broken_at_start() {
	local expected
	expected=$({ confined_macs && echo 02:00:00:00:77:01; } | sort)
	stop_router
	sed -i "s/option upload .*/option upload 'fast'/; 0,/option policy .*/s//option policy 'shap'/" "$WORK/router.uci"
	printf "\nconfig device\n\toption mac '02:00:00:00:77:01'\n\toption policy 'block'\n" >> "$WORK/router.uci"
	daemon_start router
	check "a daemon with broken settings reports the problem" await 30 "the problem" has_settings_problem
	check "the guard confines the devices of before and the new one" confines "$expected"
	stop_router
	at router nft delete table inet millpond
	daemon_start router
	check "a daemon with broken settings and no guard reports the problem" await 30 "the problem" has_settings_problem
	check "the guard confines the devices in the readable part of the settings" confines "$expected"
	capture_start "$WORK/broken.pcap"
	udp_echo dev-xiaomi-cam held-back || true
	capture_stop
	check "no device traffic leaves" nothing_leaked
}

stop_router() {
	kill "${DAEMON[router]}"
	await 10 "the daemon to end" has_exited router || true
	wait "${DAEMON[router]}" || true
}

has_settings_problem() { status_of router | grep -o '"code":"settings"'; }

# Prints the MAC addresses that the loaded guard confines.
confined_macs() {
	local set
	for set in shape_mac block_mac; do
		at router nft list set inet millpond "$set" 2> /dev/null || true
	done | grep -oE '([0-9a-f]{2}:){5}[0-9a-f]{2}' | sort -u
}

# confines MACS: whether the guard confines at least these.
confines() {
	local missing
	missing=$(comm -23 <(echo "$1") <(confined_macs))
	echo "$(wc -l <<< "$1") devices"
	[ -z "$missing" ]
}

nothing_leaked() { [ "$(grep -ac held-back "$WORK/broken.pcap")" -eq 0 ]; }

# Stops all daemons and saves their logs. The router's daemon may have ended already.
clean_up() {
	local who
	for who in router second endpoint; do
		kill "${DAEMON[$who]}" 2> /dev/null || true
	done
	for who in router second endpoint; do
		wait "${DAEMON[$who]}" 2> /dev/null || true
		cp "$WORK/$who.log" "$OUT/$SCENARIO/"
	done
	ip netns del second
}
