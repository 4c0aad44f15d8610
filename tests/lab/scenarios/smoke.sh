# shellcheck shell=bash
# Tests the world itself: a device reaches the Internet through its router, and the provider can read the traffic.

allowance() { echo 60; }

scenario() {
	local capture=$WORK/smoke.pcap word=millpond-in-clear
	capture_start "$capture"
	check "a device resolves a name by DNS" at dev-echo "$WORLD" ask --server 192.0.2.53 www.example.org
	check "a device resolves a name by DNS over TCP" at dev-echo "$WORLD" ask --server 192.0.2.53 --tcp www.example.org
	check "a device resolves a name by DNS over IPv6" at dev-echo "$WORLD" ask --server 2001:db8:3::53 --aaaa echo.example.org
	check "a device fetches a page by HTTPS" fetch dev-xiaomi-cam hello.txt
	check "a device's datagram is echoed" udp_echo dev-tplink-plug "$word"
	capture_stop
	check "the provider reads the datagram in clear" captured_text "$capture" "$word"
	check "no address of the home reaches the provider" translated "$capture"
	local dir=$OUT/$SCENARIO
	cp "$capture" "$dir/wan.pcap"
}

captured_text() { [ "$(grep -ac "$2" "$1")" -gt 0 ] && echo "\"$2\" is in the capture"; }

translated() {
	local inner
	inner=$(tcpdump -n -r "$1" net 192.168.1.0/24 or net fd00::/8 2> /dev/null | wc -l)
	[ "$inner" -eq 0 ] && echo "$(captured "$1") packets, none with an address of the home"
}
