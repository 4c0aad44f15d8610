# shellcheck shell=bash
# Runs the scenarios on this machine's kernel, if that has every feature needed.

# native_works: tries each kernel feature in a temporary network namespace.
native_works() {
	[ "$(id -u)" -eq 0 ] || return 1
	local missing
	# shellcheck disable=SC2016 # expanded by the inner shell
	missing=$(unshare -n bash -c '
		try() { local what=$1; shift; "$@" > /dev/null 2>&1 || echo "$what"; }
		try veth ip link add veth0 type veth peer name veth1
		try bridge ip link add br0 type bridge
		try macvlan ip link add mv0 link veth0 type macvlan mode bridge
		try vxlan ip link add vx0 type vxlan id 7 remote 192.0.2.1 dstport 4789
		try nf_tables_bridge nft "add table bridge t; add chain bridge t c { type filter hook prerouting priority 0; }; add rule bridge t c iifname vx0 drop"
		try wireguard ip link add wg0 type wireguard
		try sch_htb tc qdisc add dev veth0 root handle 1: htb
		try htb-class tc class add dev veth0 parent 1: classid 1:1 htb rate 1mbit
		try sch_prio tc qdisc add dev veth0 parent 1:1 handle 10: prio
		try blackhole tc qdisc add dev veth0 parent 10:3 blackhole
		try sch_netem tc qdisc add dev veth1 root netem delay 1ms
		try tun ip tuntap add dev tun0 mode tun
		try nf_tables nft "add table inet t; add chain inet t c { type nat hook postrouting priority 100; }; add rule inet t c masquerade"
	' 2> /dev/null | xargs) || return 1
	if [ -n "$missing" ]; then
		say "this kernel lacks ${missing// /, }; using QEMU"
		return 1
	fi
}

# run_native OUT SECONDS: runs the scenarios and returns their exit status.
run_native() {
	say "running in namespaces on this machine's kernel (at most $2 s)"
	rm -f "$1/status"
	# shellcheck disable=SC2016 # expanded by the inner shell
	supervise "$1" "$2" unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
		bash -c '"$0" "$1" && status=0 || status=$?; echo "$status" > "$1/status"' "$LAB/guest/main" "$1"
}
