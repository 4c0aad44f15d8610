# shellcheck shell=bash
# The home of the scenario "leaks": two networks, public IPv6 addresses, a resolver on the router, and ports forwarded
# to every device. Devices talk and intruders probe them without pause; world/places.rs has their addresses.
# shellcheck disable=SC2034,SC2153 # world/topology.sh sets ROUTER_WAN, and world/firewall.sh reads FW4_*

# NUMBER is the position in DEVICES, from 1.
declare -A NUMBER ADDRESS ADDRESS6 ROUTER_AT ROUTER6_AT POLICY
# Addresses that a device uses although they are not of its network: of another home, of the prefix that the provider
# delegated yesterday, and of the host outside that knows the device.
declare -A STALE STALE6 FORGED FORGED6
# 1 if the settings have IPv6 in the tunnel.
IPV6_IN_TUNNEL=0
# The WAN address that the home gets later, and the address that the endpoint moves to.
readonly SECOND_WAN=203.0.113.9 SECOND_ENDPOINT=198.51.100.3
readonly FAR_RESOLVER=198.18.0.53 NEAR_RESOLVER=198.18.0.54
# The device in a separate network, for which the settings have a policy.
readonly IOT_DEVICE=echo
BACKGROUND_PIDS=()
# For the hundred threads of devices and intruders, which must not starve the router and the scenario.
readonly LOWEST_PRIORITY=(nice -n 19)

# home_up DIR: sets up the home and the servers; devices do not talk yet. Journals go to DIR.
home_up() {
	local device name host number=0 net
	RUN=$1
	mkdir -p "$RUN"
	for device in "${DEVICES[@]}"; do
		read -r name _ host <<< "$device"
		number=$((number + 1))
		net=1
		[ "$name" != "$IOT_DEVICE" ] || net=3
		NUMBER[$name]=$number
		ADDRESS[$name]=192.168.$net.$host
		ADDRESS6[$name]=2001:db8:77:$net::$host
		ROUTER_AT[$name]=192.168.$net.1
		ROUTER6_AT[$name]=2001:db8:77:$net::1
		STALE[$name]=192.168.9.$host
		STALE6[$name]=2001:db8:76:$net::$host
		FORGED[$name]=198.19.$number.9
		FORGED6[$name]=2001:db8:19:$number::9
	done
	for name in xiaomi-cam tplink-plug "$IOT_DEVICE" smartthings-hub; do POLICY[$name]=shape; done
	name=tuya-motion
	POLICY[$name]=block
	configure_networks
	use_all_processors
	set_firewall_variables
	resolver_up
	start_servers_and_intruders
}

configure_networks() {
	local name
	ip -n router -batch - <<- END
		link add br-iot address 02:00:00:00:03:01 type bridge
		addr add 192.168.3.1/24 dev br-iot
		link set br-iot up
		addr add 2001:db8:77:3::1/64 dev br-iot nodad
		addr add 2001:db8:77:1::1/64 dev br-lan nodad
		link set lan12 master br-iot
	END
	ip -n "dev-$IOT_DEVICE" addr flush dev eth0
	for name in $(device_names); do
		# Linux prefers the newest of otherwise equal source addresses, so the public one is added last.
		ip -n "dev-$name" -batch - <<- END
			addr replace ${ADDRESS[$name]}/24 dev eth0
			addr add ${ADDRESS6[$name]}/64 dev eth0 nodad
			route replace default via ${ROUTER_AT[$name]}
			route replace default via ${ROUTER6_AT[$name]}
			addr add ${STALE[$name]}/32 dev lo
			addr add ${STALE6[$name]}/128 dev lo nodad
			addr add ${FORGED[$name]}/32 dev lo
			addr add ${FORGED6[$name]}/128 dev lo nodad
		END
		at "dev-$name" sh -c 'echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range'
	done
	ip -n isp -batch - <<- END
		route add 2001:db8:77::/48 via 2001:db8:1::2
		route add 198.18.0.0/15 via 192.0.2.7
		route add 2001:db8:18::/48 via 2001:db8:3::7
		route add 2001:db8:19::/48 via 2001:db8:3::7
		route add 239.255.77.77/32 dev home
	END
	# Every address in these networks is local there.
	ip -n internet -batch - <<- END
		route add local 198.18.0.0/15 dev lo
		route add local 2001:db8:18::/48 dev lo
		route add local 2001:db8:19::/48 dev lo
	END
	at internet sh -c 'echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range
		echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind; echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind'
}

# Undoes the settings of configure_ns that keep packets in order, because this scenario needs speed instead: each
# processor handles the packets that it sent, and bridges skip the firewall.
use_all_processors() {
	local place
	for place in "${PLACES[@]}" $(device_names | sed 's/^/dev-/'); do
		# shellcheck disable=SC2016 # for the inner shell
		at "$place" sh -c 'for queue in /sys/class/net/*/queues/rx-0/rps_cpus; do echo 0 > "$queue"; done
			for call in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e "$call" ] || echo 0 > "$call"; done'
	done
}

# Sets the variables of firewall.sh for this home, without loading the rules.
set_firewall_variables() {
	local name ports
	FW4_LAN='"br-lan", "br-iot"'
	ports=$(ip -n router -br link | awk '{ sub(/@.*/, "", $1) } $1 ~ /^lan[0-9]/ { printf "\"%s\", ", $1 }')
	FW4_OFFLOAD_DEVICES="$ports\"wan\""
	FW4_FORWARDS=
	for name in $(device_names); do
		FW4_FORWARDS+="meta nfproto ipv4 meta l4proto { tcp, udp } th dport $((40000 + NUMBER[$name])) dnat ip to ${ADDRESS[$name]}:40000"$'\n'
	done
	FW4_RULES='ip6 daddr 2001:db8:77::/48 meta l4proto { tcp, udp } th dport 40000 accept'
}

# Starts the router's resolver, which forwards queries unencrypted to the provider's resolver.
resolver_up() {
	# "ip netns exec" mounts what is in the folder of the namespace onto /etc, if it is there, too.
	mkdir -p /etc/netns/router/config /etc/config
	echo "nameserver 127.0.0.1" > /etc/netns/router/resolv.conf
	set_endpoint_name "$ENDPOINT"
	run_in_background router resolver dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file= \
		--no-resolv --no-hosts --addn-hosts="$WORK/hosts" --local=/example.org/ --server="$NEAR_RESOLVER" --cache-size=0 \
		--dns-forward-max=2000
	RESOLVER=$!
}

# Gives the router files in /etc/config that have other texts where an interface's name is expected.
configure_modem() {
	local folder=/etc/netns/router/config modem=/sys/devices/platform/soc/1e1c0000.xhci/usb1/1-1
	cat > "$folder/network" <<- END
		config interface 'lan'
			option device 'br-lan'
		config interface 'iot'
			option device 'br-iot'
		config interface 'wan'
			option proto 'modemmanager'
			option device '$modem'
	END
	cat > "$folder/firewall" <<- END
		config zone
			option name 'lan'
			list network 'lan'
			list network 'iot'
		config zone
			option name 'wan'
			option masq '1'
			list network 'wan'
			list device '$modem'
			list device 'wg*'
	END
}

# set_endpoint_name ADDRESS: makes the endpoint's name resolve to ADDRESS.
set_endpoint_name() {
	echo "$1 vpn.example.org" > "$WORK/hosts"
	[ -z "${RESOLVER-}" ] || kill -HUP "$RESOLVER"
}

start_servers_and_intruders() {
	local name
	run_in_background internet meet "${LOWEST_PRIORITY[@]}" "$WORLD" meet --devices "${#DEVICES[@]}"
	for name in $(device_names); do
		run_in_background internet "knock-$name" "${LOWEST_PRIORITY[@]}" "$WORLD" knock --number "${NUMBER[$name]}" \
			--wan "$ROUTER_WAN" --wan "$SECOND_WAN" --device6 "${ADDRESS6[$name]}"
	done
}

start_devices() {
	local name
	for name in $(device_names); do
		run_in_background "dev-$name" "talk-$name" "${LOWEST_PRIORITY[@]}" "$WORLD" talk --name "$name" \
			--number "${NUMBER[$name]}" --router "${ROUTER_AT[$name]}" --router6 "${ROUTER6_AT[$name]}" \
			--journal "$RUN/$name.csv" \
			--period-ms "$([ -n "${POLICY[$name]-}" ] && echo 300 || echo 100)"
	done
}

# run_in_background PLACE NAME COMMAND...: runs it there until home_down; $! is its process. Its log is WORK/NAME.log.
run_in_background() {
	local place=$1 name=$2
	shift 2
	(exec ip netns exec "$place" "$@") > "$WORK/$name.log" 2>&1 &
	BACKGROUND_PIDS+=($!)
}

home_down() {
	kill "${BACKGROUND_PIDS[@]}" 2> /dev/null || true
	wait "${BACKGROUND_PIDS[@]}" 2> /dev/null || true
	rm -rf /etc/netns/router
	rmdir /etc/config 2> /dev/null || true
}

# Prints the router's settings, with the policies in POLICY and the endpoint by name.
settings_home() {
	settings_main router gamma
	cat <<- END
		config tunnel 'tunnel'
			option type 'wireguard'
			option private_key '$(cat "$WORK/router.key")'
			option public_key '$(cat "$WORK/endpoint.pub")'
			option endpoint 'vpn.example.org:$TUNNEL_PORT'
			option address '10.77.0.2/32'
			$([ "$IPV6_IN_TUNNEL" = 0 ] || echo "option address6 'fd77::2'")
			option peer_address '10.77.0.1'

		config dns 'dns'
			option mode 'tunnel'
			list server '$FAR_RESOLVER'

		config network
			option name 'iot'
			option policy '${POLICY[$IOT_DEVICE]}'
	END
	device_section xiaomi-cam mac 78:8b:2a:b2:20:ea
	device_section tuya-motion mac a0:92:08:7b:03:1c
	device_section smartthings-hub mac 68:3a:48:13:27:04
	device_section tplink-plug address 192.168.1.13
}

# device_section NAME OPTION VALUE: prints the section of a device.
device_section() { printf "\nconfig device\n\toption name '%s'\n\toption %s '%s'\n\toption policy '%s'\n" "$1" "$2" "$3" "${POLICY[$1]}"; }

# Prints run.json for "millpond-lab leaks".
home_json() {
	local name policy comma=
	cat <<- END
		{"provider_mac": "$(at isp cat /sys/class/net/home/address)",
		 "routers": ["$ROUTER_WAN", "$SECOND_WAN"], "endpoints": ["$ENDPOINT", "$SECOND_ENDPOINT"],
		 "tunnel_port": $TUNNEL_PORT, "seed": $SEED, "min_events": ${#EVENTS[@]}, "devices": [
	END
	for name in $(device_names); do
		policy=null
		[ -z "${POLICY[$name]-}" ] || policy="\"${POLICY[$name]}\""
		printf '%s\n  {"name": "%s", "number": %s, "mac": "%s", "policy": %s, "addresses": ["%s", "%s", "%s"' "$comma" "$name" \
			"${NUMBER[$name]}" "$(at "dev-$name" cat /sys/class/net/eth0/address)" "$policy" "${ADDRESS[$name]}" "${STALE[$name]}" \
			"${STALE6[$name]}"
		at "dev-$name" ip -6 -o addr show dev eth0 | awk '{ sub("/.*", "", $4); printf ", \"%s\"", $4 }'
		printf ']}'
		comma=,
	done
	printf '\n]}\n'
}
