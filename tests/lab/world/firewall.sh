# shellcheck shell=bash
# The home's firewall as OpenWrt's fw4 writes it: zones with policies, port forwards, address translation on the WAN,
# and files of other packages, all loaded in one transaction.

# Folder of the files that fw4 includes after its own table, like /usr/share/nftables.d/ruleset-post.
FW4_POST=
# Interfaces of the LAN zone, in nft syntax.
FW4_LAN='"br-lan"'
# Interfaces of the WAN zone, in nft syntax.
FW4_WAN='"wan"'
# 1 enables software flow offloading between FW4_OFFLOAD_DEVICES.
FW4_OFFLOAD=0
FW4_OFFLOAD_DEVICES=
# Port forwards ("dport PORT dnat ip to ADDRESS:PORT") and rules for traffic from WAN to LAN, one per line.
FW4_FORWARDS=
FW4_RULES=

# Starts the home's firewall with the world.
firewall() {
	FW4_POST=$WORK/ruleset-post
	rm -rf "$FW4_POST"
	mkdir -p "$FW4_POST"
	fw4_load
	# Long timeouts, so that a replayed device that only receives keeps its address translation.
	at router sh -c 'echo 600 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout
		echo 600 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream'
}

# fw4_load: loads the rules, as "fw4 start", "fw4 restart" and "fw4 reload" do.
fw4_load() { fw4_ruleset | at router nft -f -; }

# Prints the rules. The package of millpond adds the zone with mp0 to a router's settings; wg0 is for the plain VPN.
fw4_ruleset() {
	local offload=
	[ "$FW4_OFFLOAD" = 0 ] || offload='meta l4proto { tcp, udp } flow add @ft'
	# As fw4 does, the chains stay and only their rules change. A chain that is deleted in a transaction may drop a packet
	# by its policy: it loses its rules a moment before its hook.
	printf 'add table inet fw4\nflush table inet fw4\n'
	! at router nft list flowtable inet fw4 ft > /dev/null 2>&1 || echo 'delete flowtable inet fw4 ft'
	echo 'table inet fw4 {'
	[ "$FW4_OFFLOAD" = 0 ] || echo "flowtable ft { hook ingress priority 0; devices = { $FW4_OFFLOAD_DEVICES }; }"
	cat <<- END
		chain input {
			type filter hook input priority filter; policy drop;
			iif "lo" accept
			ct state vmap { established : accept, related : accept }
			iifname { $FW4_LAN } accept
			iifname { $FW4_WAN } jump input_wan
			jump handle_reject
		}
		chain forward {
			type filter hook forward priority filter; policy drop;
			$offload
			ct state vmap { established : accept, related : accept }
			iifname { $FW4_LAN } jump forward_lan
			iifname { $FW4_WAN } jump forward_wan
			jump handle_reject
		}
		chain handle_reject {
			meta l4proto tcp reject with tcp reset
			reject with icmpx type port-unreachable
		}
		chain forward_lan {
			oifname { $FW4_WAN } ct state invalid drop
			oifname { $FW4_WAN } accept
			oifname { "mp0", "wg0" } accept
			oifname { $FW4_LAN } accept
		}
		chain input_wan {
			icmp type echo-request accept
			meta nfproto ipv6 icmpv6 type { echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem, nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept
			ct status dnat accept
			jump handle_reject
		}
		chain forward_wan {
			meta nfproto ipv6 icmpv6 type { echo-request, echo-reply, destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
			$FW4_RULES
			ct status dnat accept
			jump handle_reject
		}
		chain dstnat {
			type nat hook prerouting priority dstnat; policy accept;
			iifname { $FW4_WAN } jump dstnat_wan
		}
		chain dstnat_wan {
			$FW4_FORWARDS
		}
		chain srcnat {
			type nat hook postrouting priority srcnat; policy accept;
			oifname { $FW4_WAN } jump srcnat_wan
		}
		chain srcnat_wan {
			meta nfproto ipv4 masquerade
			ip6 saddr fc00::/7 masquerade
		}
			}
			include "$FW4_POST/*.nft"
	END
}
