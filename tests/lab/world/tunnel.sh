# shellcheck shell=bash
# Keys of the tunnels, and a plain WireGuard tunnel as a careful household would set it up today.

readonly TUNNEL_PORT=51820
# shellcheck disable=SC2034 # read by record.sh and daemon.sh
UPLOAD_KBIT=160 DOWNLOAD_KBIT=320

# Makes the key pairs of both ends, once.
make_keys() {
	local who
	[ -e "$WORK/router.pub" ] && return
	for who in router endpoint; do
		(umask 077 && wg genkey > "$WORK/$who.key")
		wg pubkey < "$WORK/$who.key" > "$WORK/$who.pub"
	done
}

# Sends all traffic of the home through the tunnel, translated at both ends and without shaping.
plain_tunnel_up() {
	make_keys
	ip -n router link add wg0 type wireguard
	ip -n endpoint link add wg0 type wireguard
	at router wg set wg0 private-key "$WORK/router.key" peer "$(cat "$WORK/endpoint.pub")" \
		endpoint "$ENDPOINT:$TUNNEL_PORT" allowed-ips 0.0.0.0/0
	at endpoint wg set wg0 private-key "$WORK/endpoint.key" listen-port "$TUNNEL_PORT" \
		peer "$(cat "$WORK/router.pub")" allowed-ips 10.77.0.2/32
	ip -n router -batch - <<- END
		addr add 10.77.0.2/24 dev wg0
		link set wg0 mtu 1420 up
		route add default dev wg0 table 77
		route add unreachable default table 77 metric 4000
		rule add iif br-lan to 192.168.1.0/24 lookup main priority 76
		rule add iif br-lan lookup 77 priority 77
	END
	ip -n endpoint -batch - <<- END
		addr add 10.77.0.1/24 dev wg0
		link set wg0 mtu 1420 up
	END
	at router nft -f - <<< 'table ip plainvpn { chain postrouting {
		type nat hook postrouting priority srcnat; oifname "wg0" masquerade; }; }'
	at endpoint nft -f - <<< 'table ip plainvpn { chain postrouting {
		type nat hook postrouting priority srcnat; ip saddr 10.77.0.0/24 oifname "uplink" masquerade; }; }'
	# The devices' largest datagrams exceed the tunnel's MTU. Without DF the router fragments them instead of dropping
	# them.
	local place
	for place in internet $(device_names | sed 's/^/dev-/'); do
		at "$place" sh -c 'echo 1 > /proc/sys/net/ipv4/ip_no_pmtu_disc'
	done
}

plain_tunnel_down() {
	ip -n router rule del priority 76
	ip -n router rule del priority 77
	ip -n router link del wg0
	ip -n endpoint link del wg0
	at router nft delete table ip plainvpn
	at endpoint nft delete table ip plainvpn
}
