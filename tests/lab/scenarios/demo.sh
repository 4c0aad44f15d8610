# shellcheck shell=bash
# The same home twice, behind an ordinary VPN and behind millpond, for "make demo".

allowance() { echo $((2 * (WINDOW + 60))); }

scenario() {
	local dir=$OUT/$SCENARIO devices
	mapfile -t devices < <(replayed_devices)
	plain_tunnel_up
	check "the VPN carries a device's datagram" udp_echo dev-echo through-the-tunnel
	measure "$dir/plain-busy" plain busy 0 "$WINDOW" without_daemon "${devices[@]}"
	plain_tunnel_down
	if ! daemons_start gamma; then
		daemons_stop "$dir" || true
		fail "both ends shape"
		return
	fi
	pass "both ends shape"
	sleep 2
	measure "$dir/gamma-busy" gamma busy 508 "$WINDOW" with_daemon "${devices[@]}"
	check "both ends stop" daemons_stop "$dir"
}
