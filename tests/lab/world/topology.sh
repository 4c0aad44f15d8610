# shellcheck shell=bash
# The world, with one network namespace for each place:
#
#   dev-NAME ... --- br-lan router wan --- home isp server --- uplink endpoint
#   192.168.1.11 ...  .1    203.0.113.2   .1       198.51.100.1        .2
#                                         isp net --- uplink internet
#                                         192.0.2.1   .7 echo .10 replay .53 DNS .80 HTTPS
#
# The observer captures in "isp", on its interface "home". If MACHINE is set, the router is a separate machine at that
# address (see machine.sh), and a switch replaces its LAN ports.

# Name, MAC address (as in the captures), last byte of the IPv4 address.
readonly DEVICES=(
	"xiaomi-cam 78:8b:2a:b2:20:ea 11"
	"echo 4c:ef:c0:03:f2:38 12"
	"tplink-plug 50:c7:bf:ed:0a:54 13"
	"tuya-motion a0:92:08:7b:03:1c 14"
	"philips-hue 00:17:88:74:c2:dc 15"
	"smartthings-hub 68:3a:48:13:27:04 16"
)
readonly MACHINE=${MACHINE-}
PLACES=(router isp endpoint internet)
[ -z "$MACHINE" ] || PLACES[0]=switch
readonly ROUTER_WAN=203.0.113.2 ENDPOINT=198.51.100.2
readonly INTERNET_HOSTS=(7 10 53 80)

device_names() {
	local device
	for device in "${DEVICES[@]}"; do echo "${device%% *}"; done
}

# at PLACE COMMAND...: runs the command there.
at() {
	local place=$1
	shift
	if [ "$place" = router ] && [ -n "$MACHINE" ]; then
		at_machine "$@"
	else
		ip netns exec "$place" "$@"
	fi
}

# world_up: builds the world. WAN_NETEM (such as "delay 10ms loss 1%"), if set, applies to both directions of the line
# between home and provider.
world_up() {
	say "building the world"
	[ -z "$MACHINE" ] || machine_cables
	cables | ip -batch -
	if [ -n "$MACHINE" ]; then
		machine_up
	else
		router_cables | ip -batch -
	fi
	router | configure_ns router
	isp | configure_ns isp
	endpoint | configure_ns endpoint
	internet | configure_ns internet
	local device name host
	for device in "${DEVICES[@]}"; do
		read -r name _ host <<< "$device"
		device "$host" | configure_ns "dev-$name"
	done
	firewall
	if [ -n "${WAN_NETEM-}" ]; then
		# shellcheck disable=SC2086 # several words
		at router tc qdisc add dev wan root netem $WAN_NETEM
		# shellcheck disable=SC2086
		at isp tc qdisc add dev home root netem $WAN_NETEM
	fi
}

# Prints the "ip" commands for namespaces and cables. Segments leave one by one (gso_max_segs 1), as on a real cable.
cables() {
	local place device name mac host segments="gso_max_segs 1"
	for place in "${PLACES[@]}"; do echo "netns add $place"; done
	echo "link add uplink netns endpoint $segments type veth peer name server netns isp"
	echo "link add uplink netns internet $segments type veth peer name net netns isp"
	for device in "${DEVICES[@]}"; do
		read -r name mac host <<< "$device"
		echo "netns add dev-$name"
		echo "link add eth0 netns dev-$name address $mac $segments type veth peer name lan$host netns ${PLACES[0]}"
	done
}

# Prints the "ip" command for the cable between home and provider.
router_cables() { echo "link add wan netns router gso_max_segs 1 type veth peer name home netns isp"; }

# Prints the ports of the router's LAN.
lan_ports() {
	local device
	if [ -n "$MACHINE" ]; then
		echo lan
	else
		for device in "${DEVICES[@]}"; do echo "lan${device##* }"; done
	fi
}

# configure_ns PLACE: runs the "ip" commands on standard input there, and enables forwarding if the place is a router.
# It disables duplicate address detection and router solicitations. One processor receives from all cables: packets from
# different processors could overtake each other in a virtual cable, which no real cable allows.
configure_ns() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	at "$1" sh -c 'if cd /proc/sys/net/ipv6/conf; then
			only=.
			echo 0 > all/accept_dad; echo 0 > default/accept_dad
			for link in *; do echo 0 > "$link/accept_dad"; echo 0 > "$link/accept_ra"; echo 0 > "$link/router_solicitations"; done
			case $1 in router | isp | endpoint) echo 1 > all/forwarding ;; esac
		else
			only="^\\([^:]\\|:[^:]\\)*$" # IPv6 addresses have two colons in a row
		fi 2> /dev/null
		for queue in /sys/class/net/*/queues/rx-0/rps_cpus; do echo 1 > "$queue"; done
		case $1 in router | isp | endpoint) echo 1 > /proc/sys/net/ipv4/ip_forward ;; esac
		{ echo "link set lo up"; cat; } | grep -e "$only" | ip -batch -' - "$1"
}

router() {
	local port
	# As netifd does, so that a port that joins later does not change the address of the bridge.
	cat <<- END
		link add br-lan address 02:00:00:00:01:01 type bridge
		addr add 192.168.1.1/24 dev br-lan
		addr add fd00:6d70::1/64 dev br-lan nodad
		link set br-lan up
		addr add $ROUTER_WAN/24 dev wan
		addr add 2001:db8:1::2/64 dev wan nodad
		link set wan up
		route add default via 203.0.113.1
		route add default via 2001:db8:1::1
	END
	for port in $(lan_ports); do
		echo "link set $port gso_max_segs 1"
		echo "link set $port master br-lan up"
	done
}

isp() {
	cat <<- 'END'
		addr add 203.0.113.1/24 dev home
		addr add 2001:db8:1::1/64 dev home nodad
		link set home up
		addr add 198.51.100.1/24 dev server
		addr add 2001:db8:2::1/64 dev server nodad
		link set server up
		addr add 192.0.2.1/24 dev net
		addr add 2001:db8:3::1/64 dev net nodad
		link set net up
	END
}

endpoint() {
	cat <<- END
		addr add $ENDPOINT/24 dev uplink
		addr add 2001:db8:2::2/64 dev uplink nodad
		link set uplink up
		route add default via 198.51.100.1
		route add default via 2001:db8:2::1
	END
}

internet() {
	local host
	for host in "${INTERNET_HOSTS[@]}"; do
		echo "addr add 192.0.2.$host/24 dev uplink"
		echo "addr add 2001:db8:3::$host/64 dev uplink nodad"
	done
	echo "link set uplink up"
	echo "route add default via 192.0.2.1"
	echo "route add default via 2001:db8:3::1"
}

# device HOST: prints the "ip" commands of a device.
device() {
	cat <<- END
		addr add 192.168.1.$1/24 dev eth0
		addr add fd00:6d70::$1/64 dev eth0 nodad
		link set eth0 up
		route add default via 192.168.1.1
		route add default via fd00:6d70::1
	END
}

world_down() {
	local place
	for place in "${PLACES[@]}" $(device_names | sed 's/^/dev-/'); do
		# A running process would keep the namespace and its links, whose names the next world needs.
		ip netns pids "$place" | xargs -r kill -9 2> /dev/null || true
		ip netns del "$place"
	done
}
