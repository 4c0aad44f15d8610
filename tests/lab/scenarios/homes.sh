# shellcheck shell=bash
# Two homes at one endpoint: each gets through to the Internet by cells alone, over IPv6 too, and neither to the other nor
# to what the endpoint keeps for itself. And a home whose settings break before the start stays confined.

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
		daemon_words
		ended
		return
	fi
	pass "both homes shape"
	over_ipv6
	apart
	beside_cells
	broken_at_start
	ended
}

# A router without devices, on a line of its own.
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

# The endpoint knows both, and offers both IPv6.
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

both_shape() { shaping && status_of second | grep -Eq '"state": *"shaping"'; }

# A private address of the device's becomes the endpoint's, and the provider reads nothing of it.
over_ipv6() {
	capture_start "$WORK/ipv6.pcap"
	check "a device's IPv6 goes through the tunnel" at dev-echo busybox ping -6 -c 5 -W 5 2001:db8:3::7
	capture_stop
	check "and the provider sees cells alone" cells_alone "$WORK/ipv6.pcap"
	sed -i '/address6/d' "$WORK/router.uci"
	check "the router gives IPv6 up" reload_router
	check "then it is refused at once, with an ICMPv6 error" refused6
}

# cells_alone CAPTURE: no IPv6 but what neighbours say to each other.
cells_alone() {
	local beside cells
	beside=$(tcpdump -n -r "$1" 'ip6 and host 2001:db8:3::7' 2> /dev/null | wc -l)
	cells=$(tcpdump -n -r "$1" "udp port $TUNNEL_PORT" 2> /dev/null | wc -l)
	echo "$cells cells, $beside packets beside them"
	[ "$beside" -eq 0 ] && [ "$cells" -gt 50 ]
}

reload_router() { at router "$MILLPOND" reload --socket "$WORK/router.sock"; }

# A connection that such an error meets ends there and then.
refused6() {
	local said
	said=$(at dev-echo timeout 5 bash -c 'exec 3<> /dev/tcp/2001:db8:3::7/443' 2>&1) && return 1
	grep -m 1 -oiE '(no route|network is unreachable|permission denied).*' <<< "$said"
}

# What one home's devices, by cells, reach of the other and of the endpoint.
apart() {
	check "a device reaches the Internet" answers dev-echo 192.0.2.7
	# Otherwise silence would prove nothing.
	check "the other home's router answers whom it should" answers isp "$SECOND_HOME"
	check "the endpoint's service is there" opens internet "$ENDPOINT"
	check "a device does not reach the other home" silent dev-echo 10.77.0.3
	check "nor the endpoint inside the tunnel" silent dev-echo 10.77.0.1
	check "nor its service, inside" shut dev-echo 10.77.0.1
	check "nor outside" shut dev-echo "$ENDPOINT"
}

answers() { at "$1" busybox ping -c 3 -W 5 "$2"; }
silent() { ! at "$1" busybox ping -c 2 -W 2 "$2"; }
# opens PLACE ADDRESS: whether it lets us in.
opens() { at "$1" timeout 5 bash -c "exec 3<> /dev/tcp/$2/$SERVICE_PORT"; }
shut() { ! opens "$@"; }

# The second home leaves millpond out and speaks plainly into its tunnel, for which it has a key.
beside_cells() {
	kill "${DAEMON[second]}"
	await 10 "the second home's daemon to end" gone second || true
	wait "${DAEMON[second]}" || true
	# It is its own router, and does what it likes.
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
	check "a home that leaves millpond out has a tunnel" await 30 "a handshake" shakes_hands
	check "by which it does not reach the other home" silent second 10.77.0.2
	check "nor the endpoint" silent second 10.77.0.1
	check "nor its service" shut second 10.77.0.1
	check "nor the Internet" silent second 192.0.2.7
	(exec ip netns exec endpoint tcpdump -i mpwg0 -n -U -Z root -w "$WORK/spoofed.pcap" 2> "$WORK/spoofed.log") &
	# shellcheck disable=SC2034 # read by the record
	CAPTURE=$!
	await 10 "tcpdump to listen" grep -q "listening on" "$WORK/spoofed.log"
	ip -n second addr add 10.77.0.2/32 dev wg0
	at second busybox ping -c 3 -W 1 -I 10.77.0.2 10.77.0.1 > /dev/null || true
	at second busybox ping -c 3 -W 1 -I 10.77.0.3 10.77.0.1 > /dev/null || true
	capture_stop
	check "what it sends in the other's name does not arrive" not_in_its_name
	ip -n second link del wg0
	check "and the first home shapes on" shaping
}

shakes_hands() { at second wg show wg0 latest-handshakes | grep -qv '[[:space:]]0$'; }

not_in_its_name() {
	local own others
	own=$(tcpdump -n -r "$WORK/spoofed.pcap" 'icmp and src 10.77.0.3' 2> /dev/null | wc -l)
	others=$(tcpdump -n -r "$WORK/spoofed.pcap" 'icmp and src 10.77.0.2' 2> /dev/null | wc -l)
	echo "$others packets, and $own in its own name"
	[ "$others" -eq 0 ] && [ "$own" -gt 0 ]
}

# First where a guard stands, then where none does. Besides what is broken there is a device that is new.
broken_at_start() {
	local all
	all=$({ confined && echo 02:00:00:00:77:01; } | sort)
	router_ends
	sed -i "s/option upload .*/option upload 'fast'/; 0,/option policy .*/s//option policy 'shap'/" "$WORK/router.uci"
	printf "\nconfig device\n\toption mac '02:00:00:00:77:01'\n\toption policy 'block'\n" >> "$WORK/router.uci"
	daemon_start router
	check "a daemon that starts with broken settings says so" await 30 "the problem" names_settings
	check "and confines no fewer than before, and the new one" confines "$all"
	router_ends
	at router nft delete table inet millpond
	daemon_start router
	check "the same where no guard stands" await 30 "the problem" names_settings
	check "by what can be understood" confines "$all"
	capture_start "$WORK/broken.pcap"
	udp_echo dev-xiaomi-cam held-back || true
	capture_stop
	check "and nothing of a device gets out" held_back
}

router_ends() {
	kill "${DAEMON[router]}"
	await 10 "the daemon to end" gone router || true
	wait "${DAEMON[router]}" || true
}

names_settings() { status_of router | grep -o '"code":"settings"'; }

# Who the guard confines, by the sets in the kernel.
confined() {
	local set
	for set in shape_mac block_mac; do
		at router nft list set inet millpond "$set" 2> /dev/null || true
	done | grep -oE '([0-9a-f]{2}:){5}[0-9a-f]{2}' | sort -u
}

# confines MACS: at least those.
confines() {
	local missing
	missing=$(comm -23 <(echo "$1") <(confined))
	echo "$(wc -l <<< "$1") devices"
	[ -z "$missing" ]
}

held_back() { [ "$(grep -ac held-back "$WORK/broken.pcap")" -eq 0 ]; }

# The router's daemon may have ended long ago.
ended() {
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
