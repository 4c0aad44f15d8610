# shellcheck shell=bash
# The same home behind a plain VPN and then behind millpond, for "make demo".

allowance() { echo $((2 * (WINDOW + 60))); }

scenario() {
	local dir=$OUT/$SCENARIO devices
	# This home's camera needs that rate.
	# shellcheck disable=SC2034 # read by record.sh and daemon.sh
	UPLOAD_KBIT=320
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
	if daemons_stop "$dir"; then pass "both ends stop"; else fail "both ends stop"; fi
}
