# shellcheck shell=bash
# An endpoint with an exit: homes' packets leave by another program's tunnel, DNS with them. While that tunnel is gone,
# nothing leaves; when it comes, homes have service.

allowance() { echo 420; }

readonly PROVIDER=100.64.9.2

scenario() {
	vpn_provider
	settings endpoint gamma
	settings router gamma
	sed -i "/option role 'endpoint'/a\\	option exit 'wg-exit'" "$WORK/endpoint.uci"
	daemon_start endpoint
	daemon_start router
	check "the router shapes while the exit is not there" await 30 "the state" shaping
	check "the missing exit is a problem" await 10 "the problem" has_problem exit-missing
	check "millpond check names it" named_by_check
	closed "before the exit is there"
	exit_up
	opened "when the exit appears"
	check "the problem goes" await 10 "no problem" has_no_problem exit-missing
	ip -n endpoint link del wg-exit
	closed "when the exit is deleted"
	exit_up
	opened "when the exit is back"
	ip -n endpoint link set wg-exit down
	closed "while the exit is down"
	ip -n endpoint link set wg-exit up
	opened "when the exit is up again"
	rule_comes_and_goes
	of_one_home
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
	check "nothing of millpond's is left at the endpoint" [ -z "$(leftovers endpoint)" ]
}

# The VPN provider: a WireGuard server that translates its customers' addresses.
vpn_provider() {
	ip netns add vpn
	ip link add wan netns vpn type veth peer name vpn netns isp
	configure_ns vpn <<- END
		addr add $PROVIDER/24 dev wan
		link set wan up
		route add default via 100.64.9.1
		link add wg0 type wireguard
	END
	ip -n isp -batch - <<- END
		addr add 100.64.9.1/24 dev vpn
		link set vpn up
	END
	(umask 077 && wg genkey > "$WORK/vpn.key" && wg genkey > "$WORK/exit.key")
	# shellcheck disable=SC2016 # expanded by the inner shell
	at vpn sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
	at vpn wg set wg0 private-key "$WORK/vpn.key" listen-port 51821 \
		peer "$(wg pubkey < "$WORK/exit.key")" allowed-ips 10.64.0.2/32
	ip -n vpn -batch - <<- END
		addr add 10.64.0.1/24 dev wg0
		link set wg0 up
	END
	at vpn nft 'table ip nat { chain c { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }; }'
}

# exit_up: what "wg-quick up wg-exit" does with "Table = off".
exit_up() {
	ip -n endpoint link add wg-exit type wireguard
	at endpoint wg set wg-exit private-key "$WORK/exit.key" peer "$(wg pubkey < "$WORK/vpn.key")" \
		endpoint "$PROVIDER:51821" allowed-ips 0.0.0.0/0
	ip -n endpoint -batch - <<- END
		addr add 10.64.0.2/32 dev wg-exit
		link set wg-exit mtu 1420 up
	END
}

has_problem() { status_of endpoint | grep -F "\"code\":\"$1\""; }
has_no_problem() { ! has_problem "$1" > /dev/null; }

named_by_check() {
	at endpoint "$MILLPOND" check --config "$WORK/endpoint.uci" > "$WORK/check.log" 2>&1 || true
	grep "exit wg-exit: no tunnel of that name is up" "$WORK/check.log"
}

# uplink_start FILE: captures what the endpoint sends, without what its peers get.
uplink_start() {
	(exec ip netns exec endpoint tcpdump -i uplink -n -U -Z root -w "$1" \
		"src $ENDPOINT and not (udp port $TUNNEL_PORT or udp port 51821 or arp)" 2> "$1.log") &
	UPLINK=$!
	await 10 "tcpdump to listen" grep -q "listening on" "$1.log"
}

uplink_stop() {
	sleep 1.5
	kill "$UPLINK"
	wait "$UPLINK" || true
}

silent() {
	tcpdump -n -r "$1" 2> /dev/null | tail -1
	[ "$(captured "$1")" -eq 0 ]
}

device_echoes() { udp_echo dev-echo "$1" | grep "$1"; }
device_asks() { at dev-xiaomi-cam timeout 5 "$WORLD" ask --server 192.168.1.1 "$1"; }
fetches() { fetch dev-xiaomi-cam hello.txt | grep "hello from"; }

# opened WORDS: the devices have service, by the provider's address only.
opened() {
	local from
	from=$(uptime_ms)
	check "$1, a device has an answer" await 20 "an answer" device_echoes hello
	say "$1: service after $(($(uptime_ms) - from)) ms"
	uplink_start "$WORK/open.pcap"
	(exec ip netns exec vpn tcpdump -i wan -n -U -Z root -w "$WORK/vpn.pcap" "src $PROVIDER and not udp port 51821" 2> "$WORK/vpn.log") &
	local provider=$!
	await 10 "tcpdump to listen" grep -q "listening on" "$WORK/vpn.log"
	check "$1, UDP passes" device_echoes again
	check "$1, TCP passes" fetches
	check "$1, names are answered" device_asks www.example.org
	uplink_stop
	kill "$provider"
	wait "$provider" || true
	check "$1, nothing leaves by the endpoint's own address" silent "$WORK/open.pcap"
	check "$1, the provider sends UDP, TCP and DNS" provider_sent "$WORK/vpn.pcap"
}

provider_sent() {
	local dns tcp udp
	dns=$(tcpdump -n -r "$1" "udp port 53" 2> /dev/null | wc -l)
	tcp=$(tcpdump -n -r "$1" "tcp port 443" 2> /dev/null | wc -l)
	udp=$(tcpdump -n -r "$1" "udp port 7" 2> /dev/null | wc -l)
	echo "$dns of DNS, $tcp of TCP, $udp of UDP"
	[ "$dns" -gt 0 ] && [ "$tcp" -gt 0 ] && [ "$udp" -gt 0 ]
}

# closed WORDS: the devices have no service, and nothing of theirs leaves.
closed() {
	uplink_start "$WORK/closed.pcap"
	check "$1, no device has an answer" fails device_echoes hello
	check "$1, no name is answered" fails device_asks www.example.org
	check "$1, no page is fetched" fails fetches
	uplink_stop
	check "$1, nothing leaves" silent "$WORK/closed.pcap"
}

fails() { ! "$@" > /dev/null 2>&1; }

# The daemon has no time to put its rule back, so the guard alone has to hold.
rule_comes_and_goes() {
	uplink_start "$WORK/rule.pcap"
	: > "$WORK/deleting"
	# A file ends the loop: a signal would end only the shell around it.
	# shellcheck disable=SC2016 # expanded by the inner shell
	at endpoint sh -c 'while [ -e "$1" ]; do ip rule del priority 912 2> /dev/null; sleep 0.05; done' - "$WORK/deleting" &
	local deleting=$!
	for _ in 1 2 3; do
		device_echoes hello > /dev/null 2>&1 || true
		fetches > /dev/null 2>&1 || true
	done
	rm "$WORK/deleting"
	wait "$deleting" || true
	uplink_stop
	check "while another program deletes the rule, nothing leaves" silent "$WORK/rule.pcap"
	opened "when the daemon has its rule back"
}

# of_one_home: the option of the home's section.
of_one_home() {
	sed -i "/option exit/d; /option max_download/a\\	option exit 'wg-other'" "$WORK/endpoint.uci"
	check "the endpoint takes a home's own exit" at endpoint "$MILLPOND" reload --socket "$WORK/endpoint.sock"
	closed "with a home's own exit that is not there"
	sed -i "s/'wg-other'/'wg-exit'/" "$WORK/endpoint.uci"
	check "and another one" at endpoint "$MILLPOND" reload --socket "$WORK/endpoint.sock"
	opened "with a home's own exit"
	sed -i "/option exit/d" "$WORK/endpoint.uci"
	check "and none" at endpoint "$MILLPOND" reload --socket "$WORK/endpoint.sock"
	uplink_start "$WORK/none.pcap"
	check "without an exit a device has an answer" await 20 "an answer" device_echoes hello
	uplink_stop
	check "and the endpoint's own address is used again" fails silent "$WORK/none.pcap"
}
