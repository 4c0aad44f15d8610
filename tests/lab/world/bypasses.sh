# shellcheck shell=bash
# Events of the scenario "leaks" in which other programs on the router, other networks and other routes offer the
# devices' packets a way around the tunnel. In each event devices try that way; what an unshaped device tries shows that
# the way is open. Attempts are named in payloads and journals, each event has names of its own.
# shellcheck disable=SC2153 # other files set the variables read here

# The device that is not in the settings, and the one that is blocked.
readonly UNSHAPED=philips-hue BLOCKED=tuya-motion
# Another program's routing table, and its mark.
readonly FOREIGN_TABLE=200 FOREIGN_MARK=0x100
readonly OTHER_SITE=192.168.1.99 OTHER_SITE_MAC=02:00:00:00:00:99
ATTEMPTS=()

# attempt WAY KIND SECONDS FAMILIES DEVICE...: starts an attempt of each device. FAMILIES are 4, 6 or both. FROM names an
# array with source addresses, "STALE" or "FORGED", or is empty. world/attempt.rs says what the ways are.
attempt() {
	local way=$1 kind=$2 seconds=$3 families=$4 name options
	shift 4
	for name in "$@"; do
		options=()
		[[ $families != *4* ]] || options+=(--router "${ROUTER_AT[$name]}")
		[[ $families != *6* ]] || options+=(--router "${ROUTER6_AT[$name]}")
		case ${FROM-} in
		STALE) options+=(--from "${STALE[$name]}" --from "${STALE6[$name]}") ;;
		FORGED) options+=(--from "${FORGED[$name]}" --from "${FORGED6[$name]}") ;;
		esac
		[ "$way" != broadcast ] || options+=(--neighbour 192.168.1.255 --neighbour "$OTHER_SITE")
		at "dev-$name" "${LOWEST_PRIORITY[@]}" "$WORLD" attempt --way "$way" --kind "$kind" --name "$name" \
			--number "${NUMBER[$name]}" --seconds "$seconds" --journal "$RUN/$name.csv" "${options[@]}" >> "$WORK/attempts.log" 2>&1 &
		ATTEMPTS+=($!)
	done
}

# Waits for the end of all attempts.
attempts_end() {
	local pid
	for pid in "${ATTEMPTS[@]}"; do wait "$pid" || fail "an attempt runs to its end"; done
	ATTEMPTS=()
}

# try_all WAY KIND FAMILIES: all devices try this for some seconds. Their ordinary service does not depend on it.
try_all() {
	# shellcheck disable=SC2046 # names
	attempt "$1" "$2" 3 "$3" $(device_names)
	attempts_end
	cause_ended
	await_recovery 20
}

# proxy_start WAY PORT: starts another program's proxy on the router, and sets PROXY to its process.
proxy_start() {
	run_in_background router "proxy-$1" "$WORLD" proxy --way "$1" --port "$2"
	PROXY=$!
	await 10 "the proxy" port_open6 "$2"
}

# port_open6 PORT: whether a TCP socket listens there on the router.
port_open6() { at router grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$1") [0-9A-F]*:0000 0A" /proc/net/tcp6; }

# proxy_end WAY: stops the last proxy. It must have served the unshaped device.
proxy_end() {
	kill "$PROXY"
	wait "$PROXY" 2> /dev/null || true
	check "the $1 proxy serves an unshaped device over IPv4" grep -F "${ADDRESS[$UNSHAPED]}]" "$WORK/proxy-$1.log"
	check "the $1 proxy serves an unshaped device over IPv6" grep -F "[${ADDRESS6[$UNSHAPED]}]" "$WORK/proxy-$1.log"
}

event_transparent_proxy() {
	local family
	proxy_start transparent 1084
	for family in -4 -6; do
		ip -n router "$family" rule add fwmark 1 lookup 100 priority 500
		ip -n router "$family" route add local default dev lo table 100
	done
	at router nft -f - <<- END
		table inet proxy { chain c { type filter hook prerouting priority -149;
			iifname { $FW4_LAN } tcp dport 7004 meta mark set 1 tproxy to :1084 accept
			iifname { $FW4_LAN } udp dport 7004 meta mark set 1 tproxy to :1084 accept
		}; }
	END
	try_all proxied transparent "4 6"
	at router nft delete table inet proxy
	for family in -4 -6; do
		ip -n router "$family" rule del priority 500
		ip -n router "$family" route flush table 100
	done
	proxy_end transparent
	check "the transparent proxy serves datagrams" grep "served a datagram" "$WORK/proxy-transparent.log"
}

event_redirecting_proxy() {
	proxy_start redirected 1085
	at router nft -f - <<- END
		table inet proxy { chain c { type nat hook prerouting priority -110;
			iifname { $FW4_LAN } tcp dport 7004 redirect to :1085
		}; }
	END
	try_all proxied redirected "4 6"
	at router nft delete table inet proxy
	proxy_end redirected
}

event_http_proxy_on_router() {
	proxy_start http 8080
	try_all http-proxy http-proxy "4 6"
	proxy_end http
}

event_socks_proxy_on_router() {
	proxy_start socks 1080
	try_all socks-proxy socks-proxy "4 6"
	proxy_end socks
}

event_stale_ipv4_source() { FROM=STALE try_all source stale 4; }
event_stale_ipv6_source() { FROM=STALE try_all source stale 6; }
event_forged_source_ping() { FROM=FORGED try_all router-ping forged-ping "4 6"; }
event_ttl_of_1() { FROM=STALE try_all last-hop last-hop "4 6"; }

event_igmp_join() {
	cat > "$WORK/igmpproxy.conf" <<- 'END'
		quickleave
		phyint wan upstream ratelimit 0 threshold 1
		phyint br-lan downstream ratelimit 0 threshold 1
		phyint br-iot downstream ratelimit 0 threshold 1
	END
	run_in_background router igmpproxy "$IGMPPROXY" -n -d "$WORK/igmpproxy.conf"
	PROXY=$!
	sleep 1
	try_all igmp igmp 4
	kill "$PROXY"
	wait "$PROXY" 2> /dev/null || true
}

# is_closed PORT: whether the guard of the bridges has this tunnel port.
is_closed() { at router nft list set bridge millpond tunnel 2> /dev/null | grep "\"$1\"" > /dev/null; }

event_vxlan_in_bridge() {
	local name devices=()
	ip -n router -batch - <<- END
		link add vx0 type vxlan id 7 remote 192.0.2.7 dstport 4789
		link set vx0 mtu 1500
		link set vx0 master br-lan up
	END
	check "millpond closes the tunnel port within 2 s" await 2 "the closed tunnel port" is_closed vx0
	at router bridge fdb add "$OTHER_SITE_MAC" dev vx0 master static
	for name in $(device_names); do
		[ "$name" != "$IOT_DEVICE" ] || continue
		devices+=("$name")
		ip -n "dev-$name" neigh replace "$OTHER_SITE" lladdr "$OTHER_SITE_MAC" dev eth0
	done
	attempt broadcast vxlan 3 4 "${devices[@]}"
	attempts_end
	ip -n router link del vx0
	cause_ended
	await_recovery 20
}

# download KIND FAMILY: devices of br-lan start a download, through the tunnel or not, which ends with the event.
download() {
	attempt download "$1" 90 "$2" xiaomi-cam smartthings-hub "$UNSHAPED"
	# A connection waits behind what the download of the event before has left in the queue, and may be tried twice.
	check "a download through the tunnel runs" await 45 "a download" \
		grep -E "leak-smartthings-hub $1$2 [0-9]+ arrives" "$WORK/attempts.log"
	# Answers fill the tunnel.
	sleep 1
}

download_end() {
	await_recovery 30
	kill "${ATTEMPTS[@]}" 2> /dev/null || true
	wait "${ATTEMPTS[@]}" 2> /dev/null || true
	ATTEMPTS=()
}

event_lan_down_and_up() {
	local from
	download lan-down 4
	from=$(uptime_ms)
	ip -n router link set br-lan down
	sleep 2
	ip -n router -batch - <<- END
		link set br-lan up
		addr replace fd00:6d70::1/64 dev br-lan nodad
		addr replace 2001:db8:77:1::1/64 dev br-lan nodad
	END
	mark_outage "$from"
	cause_ended
	download_end
}

event_lan_address_changed() {
	local from
	download lan-address 4
	from=$(uptime_ms)
	ip -n router addr add 192.168.7.1/24 dev br-lan
	ip -n router addr del 192.168.1.1/24 dev br-lan
	sleep 3
	ip -n router addr add 192.168.1.1/24 dev br-lan
	ip -n router addr del 192.168.7.1/24 dev br-lan
	mark_outage "$from"
	cause_ended
	download_end
}

# The provider delegates another prefix, while devices still use the addresses of the old one.
event_lan_prefix_changed() {
	local name=smartthings-hub number
	number=${NUMBER[$name]}
	# shellcheck disable=SC2034 # read by settings_home
	IPV6_IN_TUNNEL=1
	settings_home > "$WORK/router.uci"
	check "the reload that enables IPv6 in the tunnel succeeds" reload
	check "a shaped device's IPv6 goes through the tunnel" await 20 "IPv6 through the tunnel" \
		at "dev-$name" busybox ping -6 -c 1 -W 1 "2001:db8:18:$number::2"
	download lan-prefix 6
	ip -n isp -6 route add unreachable 2001:db8:77:1::/64
	ip -n router -batch - <<- END
		addr add 2001:db8:78:1::1/64 dev br-lan nodad
		addr del 2001:db8:77:1::1/64 dev br-lan
	END
	sleep 3
	ip -n router -batch - <<- END
		addr add 2001:db8:77:1::1/64 dev br-lan nodad
		addr del 2001:db8:78:1::1/64 dev br-lan
	END
	ip -n isp -6 route del unreachable 2001:db8:77:1::/64
	cause_ended
	download_end
}

# foreign_table SELECTOR...: another program's rules lead to a table that knows only the way to the provider.
foreign_table() {
	ip -n router -4 route add default via 203.0.113.1 table "$FOREIGN_TABLE"
	ip -n router -6 route add default via 2001:db8:1::1 table "$FOREIGN_TABLE"
	ip -n router -4 rule add "$@" lookup "$FOREIGN_TABLE" priority 900
	ip -n router -6 rule add "$@" lookup "$FOREIGN_TABLE" priority 900
}

foreign_table_end() {
	local family
	for family in -4 -6; do
		ip -n router "$family" rule del priority 900
		ip -n router "$family" route flush table "$FOREIGN_TABLE"
	done
}

event_foreign_table_by_rule() {
	local from
	download foreign-rule 4
	from=$(uptime_ms)
	foreign_table
	sleep 3
	foreign_table_end
	mark_outage "$from"
	cause_ended
	download_end
}

event_foreign_table_by_mark() {
	download foreign-mark 4
	foreign_table fwmark "$FOREIGN_MARK/$FOREIGN_MARK"
	at router nft "table inet other { chain c { type filter hook prerouting priority mangle;
		iifname mp0 meta mark set meta mark | $FOREIGN_MARK; }; }"
	sleep 3
	at router nft delete table inet other
	foreign_table_end
	cause_ended
	download_end
}

# Another program replaces the whole mark of the devices' packets. Nothing gets through, and status says so.
event_mark_overwritten() {
	at router nft "table inet other { chain c { type filter hook prerouting priority -149;
		iifname { $FW4_LAN } meta mark set 0x7; }; }"
	sleep 2
	check "the daemon looks after the kernel" reload
	check "status names the devices that do not get into the tunnel" await 10 "the problem" has_problem not-in-tunnel
	at router nft delete table inet other
	cause_ended
	await_recovery 20
}

# has_problem CODE: whether the router's status has this problem.
lacks_problem() { ! has_problem "$1"; }
has_problem() { status_of router | grep -F "\"code\":\"$1\""; }

# The answers and refusals of the router itself go by the other program's table.
event_refusals_by_foreign_table() {
	foreign_table fwmark "$FOREIGN_MARK/$FOREIGN_MARK"
	at router nft "table inet other { chain c { type route hook output priority mangle;
		meta mark set meta mark | $FOREIGN_MARK; }; }"
	attempt source refused 4 "4 6" "$BLOCKED" smartthings-hub "$UNSHAPED"
	attempts_end
	at router nft delete table inet other
	foreign_table_end
	cause_ended
	await_recovery 20
}
