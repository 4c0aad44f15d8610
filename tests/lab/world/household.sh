# shellcheck shell=bash
# Events of the scenarios "leaks" and "everyday" that come from inside the home: flow offload, casting between networks,
# devices that roam or have two interfaces, built-in resolvers, and a second router.
# shellcheck disable=SC2034,SC2153 # other files set the variables read here, and read FW4_*

# The device that roams: its name, its second interface, and the MAC of that one.
readonly ROAMER=smartthings-hub ROAMER_MAC=68:3a:48:13:27:04 ROAMER_WLAN_MAC=68:3a:48:13:27:05
readonly SECOND_ROUTER_MAC=02:00:00:00:00:40
# New ports have high MACs, because a bridge takes the lowest one of its ports, and then seems to be another router.
readonly HIGH_MAC=fe:ff:ff:ff:ff

# Software flow offload is switched on in LuCI while devices are shaped.
event_offload_while_shaping() {
	local from
	download offload 4
	download offload 6
	FW4_OFFLOAD=1
	fw4_load
	check "the flows of an unshaped device are offloaded" await 10 "offloaded flows" offloaded "$UNSHAPED"
	sleep 3
	cause_ended
	download_end
	check "no flow of a shaped device is offloaded to the WAN" no_offload_beside_tunnel
	FW4_OFFLOAD=0
	# The kernel may lose a packet of a flow when its table goes.
	from=$(uptime_ms)
	fw4_load
	mark_outage "$from"
	sleep 1
}

# no_offload_beside_tunnel: whether no offloaded flow of a shaped device is translated to an address of the WAN.
no_offload_beside_tunnel() {
	local name
	for name in $(device_names); do
		[ "${POLICY[$name]-}" = shape ] || continue
		at router conntrack -L -s "${ADDRESS[$name]}" > "$WORK/flows" 2> /dev/null
		! grep OFFLOAD "$WORK/flows" | grep -F "dst=203.0.113." || return 1
	done
}

# A telephone in one network finds and uses a shaped speaker in another, through a reflector that also has the WAN.
event_casting_to_another_network() {
	local reflector speaker
	run_in_background router reflector "$WORLD" reflect --interface br-lan=192.168.1.1 --interface br-iot=192.168.3.1 \
		--interface "wan=$(wan_address)"
	reflector=$!
	run_in_background "dev-$IOT_DEVICE" speaker "$WORLD" speaker --name "$IOT_DEVICE" \
		--interface "eth0=${ADDRESS[$IOT_DEVICE]}"
	speaker=$!
	await 10 "the reflector" grep -q listening "$WORK/reflector.log"
	check "an unshaped telephone casts to a shaped speaker in another network" cast "$UNSHAPED"
	check "the guard keeps the reflector from the provider" grep -E 'to wan: .*not permitted' "$WORK/reflector.log"
	kill "$reflector" "$speaker"
	wait "$reflector" "$speaker" 2> /dev/null || true
	cause_ended
	await_recovery 20
}

# Prints the address of the WAN, which other events change.
wan_address() { ip -n router -4 -o addr show dev wan | awk '{ sub("/.*", "", $4); print $4; exit }'; }

cast() {
	at "dev-$1" "$WORLD" cast --name "$1" --interface "eth0=${ADDRESS[$1]}" --lines 20 --seconds 10
}

# A television asks the resolvers that its maker chose, in clear (which every device here does all the time) and by TLS.
event_resolver_of_a_television() {
	try_all dns-over-tls built-in-dot "4 6"
	check "a shaped device's own resolver is asked through the tunnel" \
		grep -E "answer: leak-$ROAMER built-in-dot4 [0-9]+ +198[.]51[.]100[.]" "$WORK/attempts.log"
	check "an unshaped device's own resolver is asked in clear" \
		grep -E "answer: leak-$UNSHAPED built-in-dot4 [0-9]+ +203[.]0[.]113[.]" "$WORK/attempts.log"
}

# roam FROM TO: the device's addresses and routes move to its other interface.
roam() {
	ip -n "dev-$ROAMER" -batch - <<- END
		addr flush dev $1
		link set $1 down
		link set $2 up
		addr add ${ADDRESS[$ROAMER]}/24 dev $2
		addr add ${ADDRESS6[$ROAMER]}/64 dev $2 nodad
		route replace default via ${ROUTER_AT[$ROAMER]}
		route replace default via ${ROUTER6_AT[$ROAMER]}
	END
}

# second_port MAC: gives the device a second interface.
second_port() {
	ip link add wlan0 netns "dev-$ROAMER" address "$1" gso_max_segs 1 \
		type veth peer name wlan16 address "$HIGH_MAC:16" netns router
	ip -n router link set wlan16 master br-lan up
}

# The device moves to another port of the bridge, as between two access points, and back.
event_device_changes_port() {
	second_port "$ROAMER_MAC"
	roam eth0 wlan0
	cause_ended
	await_shaping "a device on another port"
	roam wlan0 eth0
	cause_ended
	await_shaping "a device back on its first port"
	ip -n router link del wlan16
}

# The same device has another MAC on its second interface, and keeps its address. The settings name both MACs.
event_device_changes_interface() {
	sed -i "s/option mac '$ROAMER_MAC'/list mac '$ROAMER_MAC'\n\tlist mac '$ROAMER_WLAN_MAC'/" "$WORK/router.uci"
	check "settings with two MACs are accepted" reload
	second_port "$ROAMER_WLAN_MAC"
	roam eth0 wlan0
	cause_ended
	await_shaping "a device with its other MAC"
	at router "$WORK/millpond" renew --socket "$WORK/router.sock" > /dev/null 2>&1 || true
	sleep 3
	check "a device's own second MAC is no conflict" no_problem address-conflict
	roam wlan0 eth0
	cause_ended
	await_shaping "a device with its first MAC"
	ip -n router link del wlan16
}

# no_problem CODE: whether the router's status lacks this problem; prints it otherwise.
no_problem() {
	local status
	status=$(status_of router)
	if grep -qF "\"$1\"" <<< "$status"; then
		grep -oE "[^{]*\"$1\"[^}]*" <<< "$status"
		return 1
	fi
}

# second_router DEVICE BRIDGE NET: a router in the same network offers itself by RA, as mesh points and hubs do, and the
# device sends to it. It forwards packets as they are, and sends no redirects.
second_router() {
	local name=$1 bridge=$2 net=$3
	ip netns add second
	ip link add eth0 netns second address "$SECOND_ROUTER_MAC" gso_max_segs 1 \
		type veth peer name lan40 address "$HIGH_MAC:40" netns router
	ip -n router link set lan40 master "$bridge" up
	# shellcheck disable=SC2016 # for the inner shell
	at second sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
		for link in all default eth0; do echo 0 > "/proc/sys/net/ipv4/conf/$link/send_redirects"; done'
	# shellcheck disable=SC2016 # for the inner shell
	at "dev-$name" sh -c 'for link in all default eth0; do echo 0 > "/proc/sys/net/ipv6/conf/$link/accept_redirects"; done'
	ip -n second -batch - <<- END
		link set lo up
		addr add 192.168.$net.40/24 dev eth0
		link set eth0 up
		addr add 2001:db8:77:$net::40/64 dev eth0 nodad
		route add default via 192.168.$net.1
		route add default via 2001:db8:77:$net::1
	END
	ip -n "dev-$name" -batch - <<- END
		route replace default via 192.168.$net.40
		route replace default via 2001:db8:77:$net::40
	END
}

second_router_end() {
	ip -n "dev-$1" -batch - <<- END
		route replace default via ${ROUTER_AT[$1]}
		route replace default via ${ROUTER6_AT[$1]}
	END
	ip -n router link del lan40
	ip netns del second
}

# The packets of a device that is chosen by its network arrive from another MAC, but from that network.
event_second_router_in_shaped_network() {
	second_router "$IOT_DEVICE" br-iot 3
	cause_ended
	await_shaping "behind a second router"
	sleep 2
	second_router_end "$IOT_DEVICE"
}

# A device that is chosen by its MAC shows the second router's. While the device has its address, such packets do not
# leave the home, and status names both.
event_second_router_in_lan() {
	second_router "$ROAMER" br-lan 1
	sleep 2
	at router "$WORK/millpond" renew --socket "$WORK/router.sock" > /dev/null 2>&1 || true
	check "status names the second router" await 40 "the problem" names_second_router
	second_router_end "$ROAMER"
	cause_ended
	await_recovery 20
}

names_second_router() { status_of router | grep -F address-conflict | grep -F "$SECOND_ROUTER_MAC"; }
