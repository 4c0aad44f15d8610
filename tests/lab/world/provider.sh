# shellcheck shell=bash
# Events of the scenarios "leaks" and "everyday" that come from outside the home: a server with two addresses, the
# provider's habits, and other programs' routes.
# shellcheck disable=SC2034,SC2153 # other files set the variables read here, and read FW4_*

# An address of the provider's own, which answers for every name behind a captive portal.
readonly PORTAL=203.0.113.1
# The server's present address, which its name has unless an event says otherwise.
SERVER_AT=${ENDPOINT-}

# router_replaced SIGNAL: ends the daemon and starts it as procd does.
router_replaced() {
	router_stop "$1"
	sleep "$RESPAWN_S"
	router_start
}

# peer_is ADDRESS: whether the router's WireGuard sends to this address.
peer_is() { at router wg show mpwg0 endpoints | grep -F "$1:$TUNNEL_PORT" > /dev/null; }

# await_shaping NAME: checks that all devices have service, and that the daemon says so.
await_shaping() {
	await_recovery 30
	check "$1: the state is \"shaping\"" await 10 "the state" shaping
}

# The server has two addresses, of which its name has the first, and answers from the second. So WireGuard's own view of
# the peer differs from the name's, and a new daemon finds a tunnel that the last one left so.
event_server_answers_from_elsewhere() {
	ip -n endpoint addr add "$SECOND_ENDPOINT/24" dev uplink
	# As on a router that serves WireGuard itself: the firewall knows no connection from that address.
	at router nft insert rule inet fw4 input_wan udp sport "$TUNNEL_PORT" accept
	at endpoint nft -f - <<- END
		table ip elsewhere { chain c { type filter hook output priority raw;
			udp sport $TUNNEL_PORT ip daddr 203.0.113.0/24 notrack ip saddr set $SECOND_ENDPOINT
		}; }
	END
	check "the router's peer roams to the second address" await 15 "the peer" peer_is "$SECOND_ENDPOINT"
	router_replaced KILL
	cause_ended
	await_shaping "a killed daemon whose peer roamed"
	at endpoint nft delete table ip elsewhere
	ip -n endpoint addr del "$SECOND_ENDPOINT/24" dev uplink
	fw4_load
}

# server_moves: the server changes to its other address.
server_moves() {
	local before=$SERVER_AT
	if [ "$before" = "$ENDPOINT" ]; then SERVER_AT=$SECOND_ENDPOINT; else SERVER_AT=$ENDPOINT; fi
	ip -n endpoint addr replace "$SERVER_AT/24" dev uplink
	ip -n endpoint addr del "$before/24" dev uplink
	ip -n endpoint addr replace "$SERVER_AT/24" dev uplink
	ip -n endpoint route replace default via 198.51.100.1
}

# The server moves while the router is connected. WireGuard follows it; the name still has the old address when the
# daemon is killed.
event_server_moved_and_name_is_stale() {
	at router nft insert rule inet fw4 input_wan udp sport "$TUNNEL_PORT" accept
	server_moves
	check "the router's peer follows the server" await 15 "the peer" peer_is "$SERVER_AT"
	router_replaced KILL
	cause_ended
	await_shaping "a killed daemon whose name is stale"
	set_endpoint_name "$SERVER_AT"
	fw4_load
}

# The server moves where the router cannot follow, since the provider lets in only what answers the home. The name has
# the old address for some time, and then the new one. Nobody reloads.
event_server_moved_unseen() {
	local before=$SERVER_AT
	carrier_nat 30000
	check "the endpoint follows a mapping" await 15 "the mapping" home_seen_at 198.51.100.1:30000
	server_moves
	sleep 12
	check "the router's peer has not followed the server" peer_is "$before"
	set_endpoint_name "$SERVER_AT"
	cause_ended
	await_recovery 60
	check "the router's peer has the name's address" peer_is "$SERVER_AT"
	carrier_end
}

# carrier_nat PORT: the provider translates the tunnel's packets to this port, and lets in only what answers them.
carrier_nat() {
	at isp nft -f - <<- END
		add table ip carrier
		delete table ip carrier
		table ip carrier {
			chain nat { type nat hook postrouting priority srcnat; oifname "server" udp dport $TUNNEL_PORT masquerade to :$1; }
			chain to_home { type filter hook forward priority filter
				iifname "server" udp sport $TUNNEL_PORT ct state new drop
			}
			chain to_nobody { type filter hook input priority filter
				iifname "server" udp sport $TUNNEL_PORT drop
			}
		}
	END
	# Also what was tracked while the rules were loaded.
	at isp conntrack -F > /dev/null 2>&1
}

carrier_end() {
	at isp nft delete table ip carrier
	at isp conntrack -F > /dev/null 2>&1
}

# home_seen_at ADDRESS: whether the endpoint's WireGuard sends to this address and port.
home_seen_at() { at endpoint wg show mpwg0 endpoints | grep -F "$1" > /dev/null; }

event_nat_mapping_replaced() {
	carrier_nat 30000
	check "the endpoint follows a mapping" await 15 "the mapping" home_seen_at 198.51.100.1:30000
	carrier_nat 31000
	cause_ended
	check "the endpoint follows a replaced mapping" await 15 "the mapping" home_seen_at 198.51.100.1:31000
	await_shaping "a replaced mapping"
	carrier_end
}

event_wan_down_20_s_and_new_address() {
	local from
	from=$(uptime_ms)
	wan_down
	sleep 20
	ip -n router addr del "$ROUTER_WAN/24" dev wan
	ip -n router addr add "$SECOND_WAN/24" dev wan
	wan_up
	mark_outage "$from"
	cause_ended
	await_recovery 30
}

# wan_by DEVICE [ADDRESS6]: moves the default routes.
wan_by() {
	local from
	from=$(uptime_ms)
	ip -n router -batch - <<- END
		route replace default via 203.0.113.1 dev $1
		route replace default via 2001:db8:1::1 dev $1
	END
	sleep 0.5
	mark_outage "$from"
	cause_ended
}

# The second WAN is another interface on the same cable, so that the provider captures both.
event_second_wan() {
	local first=$SECOND_WAN second=$ROUTER_WAN
	if [ -z "$(ip -n router -br addr show dev wan to "$SECOND_WAN")" ]; then
		first=$ROUTER_WAN second=$SECOND_WAN
	fi
	say "the WAN has $first, the second one gets $second"
	ip -n router -batch - <<- END
		link add wan2 link wan type macvlan mode bridge
		addr add $second/24 dev wan2
		link set wan2 up
		addr add 2001:db8:1::3/64 dev wan2 nodad
	END
	FW4_WAN='"wan", "wan2"'
	fw4_load
	wan_by wan2
	# shellcheck disable=SC2046 # names
	check "all devices have service by the second WAN" await 30 "service" have_service $(device_names)
	wan_by wan
	await_shaping "back on the first WAN"
	ip -n router link del wan2
	FW4_WAN='"wan"'
	fw4_load
	sleep 1
}

# As the program pbr does on each reload: its table, rules and marks go and come.
event_policy_routing_reloaded_ten_times() {
	local mark=0x00010000/0x00ff0000 table=256 family
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		ip -n router -4 route replace default via 203.0.113.1 table "$table"
		ip -n router -6 route replace default via 2001:db8:1::1 table "$table"
		for family in -4 -6; do
			ip -n router "$family" rule add fwmark "$mark" lookup "$table" priority 29998
		done
		at router nft -f - <<- END
			table inet pbr { chain c { type filter hook prerouting priority mangle + 1;
				iifname { $FW4_LAN } meta mark set meta mark & 0xff00ffff | 0x00010000
			}; }
		END
		for family in -4 -6; do
			ip -n router "$family" rule del priority 29998
			ip -n router "$family" route flush table "$table"
		done
		at router nft delete table inet pbr
	done
	cause_ended
	await_shaping "after ten reloads"
}

# The provider lets nothing pass until somebody has logged in, and every name has the portal's address.
event_captive_portal() {
	local from
	from=$(uptime_ms)
	set_endpoint_name "$PORTAL"
	at isp nft 'table inet portal { chain c { type filter hook forward priority filter; iifname "home" drop; }; }'
	router_stop TERM
	router_start
	sleep 12
	# Long enough for a hint.
	sleep 20
	at router "$WORK/millpond" status --socket "$WORK/router.sock" > "$WORK/portal.log" 2>&1 || true
	check "behind a portal the status says what to do" grep -F "log in" "$WORK/portal.log"
	at isp nft delete table inet portal
	set_endpoint_name "$SERVER_AT"
	mark_outage "$from"
	cause_ended
	await_shaping "after the portal"
}

event_clock_of_1970_at_start() {
	local before real
	if ! grep -q 'lab[.]main=' /proc/cmdline; then
		skip "clock_of_1970_at_start" "it would set the clock of this machine"
		return
	fi
	real=$(now_ns)
	before=$(uptime_ms)
	router_stop KILL
	ip -n router link del mpwg0
	date -s @86400 > /dev/null
	router_start
	sleep 8
	date -s "@$(((real / 1000000 + $(uptime_ms) - before) / 1000))" > /dev/null
	cause_ended
	await_shaping "a clock of 1970 at the start"
}
