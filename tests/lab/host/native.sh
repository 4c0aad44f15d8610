# shellcheck shell=bash
# The same scenarios on this machine's own kernel, where that has all that they need.

# native_works: asks the kernel itself, in a network namespace that ends with the question.
native_works() {
	[ "$(id -u)" -eq 0 ] || return 1
	local missing
	# shellcheck disable=SC2016 # for the inner shell
	missing=$(unshare -n bash -c '
		try() { local what=$1; shift; "$@" > /dev/null 2>&1 || echo "$what"; }
		try veth ip link add veth0 type veth peer name veth1
		try bridge ip link add br0 type bridge
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
		say "this kernel lacks ${missing// /, }: QEMU instead"
		return 1
	fi
}

# run_native OUT SECONDS
run_native() {
	say "on this machine's own kernel, in namespaces, at most $2 s"
	rm -f "$1/status"
	# shellcheck disable=SC2016 # for the inner shell
	supervise "$1" "$2" unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
		bash -c '"$0" "$1" && status=0 || status=$?; echo "$status" > "$1/status"' "$LAB/guest/main" "$1"
}
