# shellcheck shell=bash
# The home's firewall as OpenWrt's own (fw4) would write it: zones with policies, port forwards, address translation on the
# WAN, and the files that other packages leave for it to load along with its own, in one transaction.

# What fw4 includes after its own table, as /usr/share/nftables.d/ruleset-post.
FW4_POST=
# Networks of the home, as nft writes them.
FW4_LAN='"br-lan"'
# 1: software flow offloading between these interfaces.
FW4_OFFLOAD=0
FW4_OFFLOAD_DEVICES=
# Port forwards ("dport PORT dnat ip to ADDRESS:PORT") and rules for the WAN's traffic to the LAN, a line each.
FW4_FORWARDS=
FW4_RULES=

# The world's own at its start.
firewall() {
	FW4_POST=$WORK/ruleset-post
	rm -rf "$FW4_POST"
	mkdir -p "$FW4_POST"
	fw4_load
	# A device that only listens for half a minute keeps its translation, so that a replay never depends on it.
	at router sh -c 'echo 600 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout
		echo 600 > /proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream'
}

# fw4_load: "fw4 start", "fw4 restart" and "fw4 reload" come to this.
fw4_load() { fw4_ruleset | at router nft -f -; }

# The zone of tunnels is what millpond's package adds to a router's settings (wg0 is the plain VPN's).
fw4_ruleset() {
	local offload=
	[ "$FW4_OFFLOAD" = 0 ] || offload='meta l4proto { tcp, udp } flow add @ft'
	cat <<- END
		add table inet fw4
		delete table inet fw4
		table inet fw4 {
	END
	[ "$FW4_OFFLOAD" = 0 ] || echo "flowtable ft { hook ingress priority 0; devices = { $FW4_OFFLOAD_DEVICES }; }"
	cat <<- END
		chain input {
			type filter hook input priority filter; policy drop;
			iif "lo" accept
			ct state vmap { established : accept, related : accept }
			iifname { $FW4_LAN } accept
			iifname "wan" jump input_wan
			jump handle_reject
		}
		chain forward {
			type filter hook forward priority filter; policy drop;
			$offload
			ct state vmap { established : accept, related : accept }
			iifname { $FW4_LAN } jump forward_lan
			iifname "wan" jump forward_wan
			jump handle_reject
		}
		chain handle_reject {
			meta l4proto tcp reject with tcp reset
			reject with icmpx type port-unreachable
		}
		chain forward_lan {
			oifname "wan" ct state invalid drop
			oifname "wan" accept
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
			iifname "wan" jump dstnat_wan
		}
		chain dstnat_wan {
			$FW4_FORWARDS
		}
		chain srcnat {
			type nat hook postrouting priority srcnat; policy accept;
			oifname "wan" jump srcnat_wan
		}
		chain srcnat_wan {
			meta nfproto ipv4 masquerade
			ip6 saddr fc00::/7 masquerade
		}
			}
			include "$FW4_POST/*.nft"
	END
}
