# shellcheck shell=bash
# A VPN without shaping: the provider cannot read anything, but sees all activity.

allowance() { echo $((2 * WINDOW + 90)); }

scenario() {
	local dir=$OUT/$SCENARIO devices busy idle sizes
	mapfile -t devices < <(replayed_devices)
	plain_tunnel_up
	check "the tunnel carries a device's datagram" udp_echo dev-echo through-the-tunnel
	measure "$dir/plain-idle" plain idle 0 "$WINDOW" without_daemon
	measure "$dir/plain-busy" plain busy 0 "$WINDOW" without_daemon "${devices[@]}"
	check "every packet arrives" arrived "$dir/plain-busy"
	check "the provider sees only tunnel packets" only_tunnel "$dir/plain-busy/wan.pcap"
	busy=$(captured "$dir/plain-busy/wan.pcap")
	idle=$(captured "$dir/plain-idle/wan.pcap")
	sizes=$(sizes "$dir/plain-busy/wan.pcap")
	if [ "$busy" -gt $((10 * (idle + 1))) ] && [ "$sizes" -gt 10 ]; then
		pass "busy and idle differ clearly" "$busy packets of $sizes sizes against $idle packets"
	else
		fail "busy and idle differ clearly" "$busy packets of $sizes sizes against $idle packets"
	fi
	plain_tunnel_down
}

# arrived DIR: whether all packets arrived intact and in order.
arrived() {
	awk -F, 'NR > 1 { sent++; if ($6 != "") arrived++ }
		END { print arrived + 0 " of " sent + 0; exit !(sent > 0 && arrived == sent) }' "$1/packets.csv"
	[ ! -s "$1/faults.txt" ] || { head -1 "$1/faults.txt" && return 1; }
}

only_tunnel() {
	local others
	others=$(tcpdump -n -r "$1" not arp and not icmp6 and not "(udp port $TUNNEL_PORT and host $ROUTER_WAN and host $ENDPOINT)" 2> /dev/null | wc -l)
	echo "$others packets outside the tunnel"
	[ "$others" -eq 0 ]
}

sizes() { tcpdump -n -e -r "$1" udp 2> /dev/null | grep -oE 'length [0-9]+' | sort -u | wc -l; }
