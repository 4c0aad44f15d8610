# shellcheck shell=bash
# Devices talk and intruders probe them without pause, while the home goes through the events of a router's life. The
# provider's capture runs from before the boot to the end; "millpond-lab leaks" judges it event by event.

# shellcheck disable=SC2034 # other files read the variables set here
for part in home events bypasses provider household; do
	# shellcheck source=/dev/null
	. "$LAB/world/$part.sh"
done
# How long procd waits before it restarts a service that has ended.
readonly RESPAWN_S=5
# Bytes captured of each packet: enough for the payload of a packet that a packet over IPv6 or VXLAN quotes or carries.
readonly QUOTED_BYTES=256

allowance() { echo 1600; }

# The order matters: each event starts in the state that the one before left.
EVENTS=(
	boot_with_guard_file_only daemon_start
	sigterm_and_start sigkill sigstop_20_s
	reload_good_file reload_broken_file
	shape_to_block block_to_direct direct_to_shape shape_to_direct direct_to_block block_to_shape
	server_answers_from_elsewhere nat_mapping_replaced
	tunnel_peer_dead wan_down_and_up wan_address_changed second_wan endpoint_name_changed clock_jumps
	fw4_reload all_tables_flushed
	mpwg0_deleted mp0_deleted rules_deleted
	transparent_proxy redirecting_proxy http_proxy_on_router socks_proxy_on_router
	stale_ipv4_source stale_ipv6_source forged_source_ping ttl_of_1
	igmp_join vxlan_in_bridge
	lan_down_and_up lan_address_changed lan_prefix_changed
	device_changes_port casting_to_another_network offload_while_shaping
	foreign_table_by_rule foreign_table_by_mark refusals_by_foreign_table mark_overwritten
	offloaded_before_enrolment modem_device_in_network memory_exhausted upgrade
)

scenario() {
	local event
	home_up "$WORK/run"
	power_off
	home_json > "$RUN/run.json"
	capture_start "$WORK/wan.pcap" "$QUOTED_BYTES"
	marks_open
	start_devices
	for event in "${EVENTS[@]}"; do
		is_selected "$event" || continue
		[ "$event" = "${EVENTS[0]}" ] || begin_event "$event"
		"event_$event"
	done
	mark end
	sleep 0.5
	capture_stop
	home_down
	cp "$WORK/wan.pcap" "$WORK"/*.log "$RUN/"
	cp -r "$RUN/." "$OUT/$SCENARIO/"
	daemons_stop "$OUT/$SCENARIO" || fail "both ends stop on SIGTERM"
}

# is_selected EVENT: whether LAB_EVENTS selects it. The first two events always run.
is_selected() { [ -z "$ONLY" ] || [[ " boot_with_guard_file_only daemon_start $ONLY " == *" $1 "* ]]; }

# Runs millpond once and then leaves the router as after a power failure: only the files remain.
power_off() {
	settings endpoint gamma
	sed -i "s|option address '10.77.0.1/32'|&\n\toption address6 'fd77::1'|; s|option address '10.77.0.2'|&\n\toption address6 'fd77::2'|" \
		"$WORK/endpoint.uci"
	make_keys
	settings_home > "$WORK/router.uci"
	cp "$MILLPOND" "$WORK/millpond"
	: > "$WORK/router.log"
	make_cgroup
	learn_neighbours
	daemon_start endpoint
	router_start
	await 60 "the guard's file" [ -s "$FW4_POST/30-millpond.nft" ] || print_daemon_logs
	router_stop KILL
	# A power failure also ends the daemon's child processes.
	[ -z "$CGROUP" ] || echo 1 > "$CGROUP/cgroup.kill"
	sleep 1
	wan_down
	ip -n router link del mpwg0 2> /dev/null || true
	delete_rules
	at router nft flush ruleset
	at router conntrack -F 2> /dev/null
}

# learn_neighbours: lets the router learn the neighbour entry of every device.
learn_neighbours() {
	local name
	for name in $(device_names); do
		# The answer does not matter: the firewall does not know all networks yet and may reject the ping.
		at "dev-$name" busybox ping -c 1 -W 1 "${ROUTER_AT[$name]}" > /dev/null || true
		check "the router learns the neighbour $name" await 10 "the neighbour entry" has_neighbour "$name"
	done
}

has_neighbour() { ip -n router neigh show "${ADDRESS[$1]}" | grep lladdr > /dev/null; }

# make_cgroup: sets CGROUP to a new control group for the router's daemon, or to nothing if there are no control groups.
make_cgroup() {
	local root=/sys/fs/cgroup
	CGROUP=
	[ -e "$root/cgroup.procs" ] || mount -t cgroup2 none "$root" 2> /dev/null || return 0
	if echo +memory > "$root/cgroup.subtree_control" && mkdir -p "$root/millpond"; then
		CGROUP=$root/millpond
	fi
}

# delete_rules: deletes every rule of the router that leads to millpond's routing table.
delete_rules() {
	local family
	for family in -4 -6; do
		ip -n router "$family" rule | sed -n 's/^\([0-9]*\):.*lookup 28016.*/\1/p' | while read -r priority; do
			ip -n router "$family" rule del priority "$priority" || true
		done
	done
}

event_boot_with_guard_file_only() {
	# fw4 starts before the network does.
	fw4_load
	wan_up
	# An earlier mark would not be captured, because the WAN was down.
	begin_event "${EVENTS[0]}"
	sleep 6
}

event_daemon_start() {
	router_start
	cause_ended
	await_recovery 30
}

event_sigterm_and_start() {
	router_stop TERM
	sleep 2
	router_start
	cause_ended
	await_recovery 30
}

event_sigkill() {
	router_stop KILL
	cause_ended
	sleep "$RESPAWN_S"
	router_start
	await_recovery 30
}

event_sigstop_20_s() {
	kill -STOP "${DAEMON[router]}"
	sleep 20
	kill -CONT "${DAEMON[router]}"
	cause_ended
	await_recovery 30
}

event_reload_good_file() {
	sed -i "s/option upload .*/option upload '200'/" "$WORK/router.uci"
	check "valid settings are accepted" reload
	cause_ended
	await_recovery 20
}

event_reload_broken_file() {
	cp "$WORK/router.uci" "$WORK/good.uci"
	sed -i "s/option mac .*/option mac 'nonsense'/; s/option address '192.*/option address 'nowhere'/; s/'shape'/'shap/" "$WORK/router.uci"
	if reload; then
		fail "broken settings are refused"
	else
		pass "broken settings are refused"
	fi
	cause_ended
	sleep 1
	await_recovery 20
	cp "$WORK/good.uci" "$WORK/router.uci"
	check "the valid settings are accepted again" reload
}

# change_policies DEVICE=POLICY...: changes the settings and reloads them.
change_policies() {
	set_policies "$@"
	check "$*" reload
	mark_new_policies
	cause_ended
	# Gives the devices time to use connections that were open before.
	sleep 2
	await_recovery 20
}

# The settings name these three by MAC address, by IP address and by network.
change_all() { change_policies "smartthings-hub=$1" "tplink-plug=$1" "$IOT_DEVICE=$1"; }

event_shape_to_block() { change_all block; }
event_block_to_direct() { change_all direct; }
event_direct_to_shape() {
	change_all shape
	check "status names no device that does not get into the tunnel" lacks_problem not-in-tunnel
}
event_shape_to_direct() { change_all direct; }
event_direct_to_block() { change_all block; }
event_block_to_shape() { change_all shape; }

event_tunnel_peer_dead() {
	kill -KILL "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" || true
	ip -n endpoint link set uplink down
	sleep 6
	ip -n endpoint -batch - <<- END
		link set uplink up
		addr replace 2001:db8:2::2/64 dev uplink nodad
		route replace default via 198.51.100.1
		route replace default via 2001:db8:2::1
	END
	daemon_start endpoint
	cause_ended
	await_recovery 30
}

event_wan_down_and_up() {
	local from
	from=$(uptime_ms)
	wan_down
	sleep 4
	wan_up
	mark_outage "$from"
	cause_ended
	await_recovery 30
}

event_wan_address_changed() {
	local from
	from=$(uptime_ms)
	ip -n router addr del "$ROUTER_WAN/24" dev wan
	sleep 1
	ip -n router addr add "$SECOND_WAN/24" dev wan
	ip -n router route replace default via 203.0.113.1
	mark_outage "$from"
	cause_ended
	await_recovery 30
}

# The daemon would resolve the name again only after 150 s without a handshake, so this event reloads instead of
# waiting.
event_endpoint_name_changed() {
	server_moves
	set_endpoint_name "$SERVER_AT"
	sleep 5
	check "the reload that resolves the new address succeeds" reload
	cause_ended
	await_recovery 30
}

event_clock_jumps() {
	local before real
	if ! grep -q 'lab[.]main=' /proc/cmdline; then
		skip "clock_jumps" "it would set the clock of this machine"
		return
	fi
	real=$(now_ns)
	before=$(uptime_ms)
	date -s '+4 years' > /dev/null
	# After a handshake from the future, the endpoint accepts no older timestamp from this router's key for four years.
	# Then the clock jumps back, and the router needs another handshake.
	ip -n router link del mpwg0
	sleep 4
	date -s '-9 years' > /dev/null
	sleep 3
	date -s "@$(((real / 1000000 + $(uptime_ms) - before) / 1000))" > /dev/null
	ip -n router link del mpwg0
	cause_ended
	sleep 2
	await_recovery 30
}

# Each load forgets the addresses that devices have shown, and the outside host knocks at any moment.
event_fw4_reload() {
	for _ in {1..10}; do
		fw4_load
		sleep 0.2
	done
	cause_ended
	await_recovery 20
}

# "fw4 flush", and "fw4 start" a little later. Between them no device has service, because there is no translation.
event_all_tables_flushed() {
	local from
	from=$(uptime_ms)
	at router nft flush ruleset
	sleep 4
	fw4_load
	mark_outage "$from"
	cause_ended
	await_recovery 20
}

event_mpwg0_deleted() {
	ip -n router link del mpwg0
	cause_ended
	sleep 2
	await_recovery 30
}

event_mp0_deleted() {
	ip -n router link del mp0
	cause_ended
	sleep 2
	await_recovery 30
}

event_rules_deleted() {
	delete_rules
	cause_ended
	sleep 2
	await_recovery 20
}

event_offloaded_before_enrolment() {
	set_policies smartthings-hub=direct
	check "the reload that makes a device direct succeeds" reload
	FW4_OFFLOAD=1
	fw4_load
	CAUSE_ENDED_MS=$(uptime_ms)
	await 10 "service of the device" have_service smartthings-hub || true
	check "the flows of a direct device are offloaded" await 10 "offloaded flows" offloaded smartthings-hub
	change_policies smartthings-hub=shape
}

# offloaded DEVICE: whether its datagrams bypass the router's rules.
# grep reads to the end: an early end would make conntrack fail.
offloaded() { at router conntrack -L -s "${ADDRESS[$1]}" 2> /dev/null | grep 'dport=7001 .*OFFLOAD' > /dev/null; }

# A router with a modem has the path of its USB device where others have the name of an interface.
event_modem_device_in_network() {
	set_policies smartthings-hub=direct
	check "the reload that makes a device direct succeeds" reload
	configure_modem
	change_policies smartthings-hub=shape
	check "the loaded guard is the full one" at router nft list chain inet millpond refuse
}

event_memory_exhausted() {
	if [ -z "$CGROUP" ]; then
		skip "memory_exhausted" "there are no control groups"
		return
	fi
	echo 4096 > "$CGROUP/memory.max"
	check "the kernel kills the daemon" await 5 "the daemon to end" has_exited router
	wait "${DAEMON[router]}" || true
	check "the kill was for lack of memory" grep -E '^oom_kill [1-9]' "$CGROUP/memory.events"
	cause_ended
	echo max > "$CGROUP/memory.max"
	sleep "$RESPAWN_S"
	router_start
	await_recovery 30
}

# As the package does: stop, replace the file, start.
event_upgrade() {
	router_stop TERM
	cp "$MILLPOND" "$WORK/millpond.new"
	mv "$WORK/millpond.new" "$WORK/millpond"
	sleep 2
	router_start
	cause_ended
	await_recovery 30
}
