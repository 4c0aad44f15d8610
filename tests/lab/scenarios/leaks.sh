# shellcheck shell=bash
# Devices talk without pause, and others knock, while the home goes through everything that a home router lives through.
# The provider's capture runs from before the boot to the end; "millpond-lab leaks" judges it event by event.

# shellcheck disable=SC2034 # other parts of the world read what is set here
for part in home events; do
	# shellcheck source=/dev/null
	. "$LAB/world/$part.sh"
done
# How long procd waits before it starts a service again that has died.
readonly RESPAWN_S=5

allowance() { echo 900; }

# In their order: each begins where the one before has left the home.
readonly EVENTS=(
	boot_with_guard_file_only daemon_start
	sigterm_and_start sigkill sigstop_20_s
	reload_good_file reload_broken_file
	shape_to_block block_to_direct direct_to_shape shape_to_direct direct_to_block block_to_shape
	tunnel_peer_dead wan_down_and_up wan_address_changed endpoint_name_changed clock_jumps
	fw4_reload all_tables_flushed
	mpwg0_deleted mp0_deleted rules_deleted
	offloaded_before_enrolment memory_exhausted upgrade
)

scenario() {
	local event
	home_up "$WORK/run"
	switch_off
	home_json > "$RUN/run.json"
	capture_start "$WORK/wan.pcap"
	marks_open
	home_talks
	for event in "${EVENTS[@]}"; do
		chosen "$event" || continue
		[ "$event" = "${EVENTS[0]}" ] || begin "$event"
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

# chosen EVENT: all but the first two may be left out.
chosen() { [ -z "$ONLY" ] || [[ " boot_with_guard_file_only daemon_start $ONLY " == *" $1 "* ]]; }

# A home that has run millpond before, and whose router is without power now: nothing but the files is left.
switch_off() {
	settings endpoint gamma
	keys
	settings_home > "$WORK/router.uci"
	cp "$MILLPOND" "$WORK/millpond"
	: > "$WORK/router.log"
	own_group
	at_home
	daemon_start endpoint
	router_start
	await 60 "the guard's file" [ -s "$FW4_POST/30-millpond.nft" ] || daemon_words
	router_end KILL
	# What it had begun by helpers of its own ends with the power, too.
	[ -z "$CGROUP" ] || echo 1 > "$CGROUP/cgroup.kill"
	sleep 1
	wan_down
	ip -n router link del mpwg0 2> /dev/null || true
	rules_gone
	at router nft flush ruleset
	at router conntrack -F 2> /dev/null
}

# at_home: whoever is at home has been heard by the router.
at_home() {
	local name
	for name in $(device_names); do
		# The firewall does not know all the networks yet, and may refuse to answer.
		at "dev-$name" busybox ping -c 1 -W 1 "${ROUTER_AT[$name]}" > /dev/null || true
		check "the router has heard $name" await 10 "the neighbour" heard "$name"
	done
}

heard() { ip -n router neigh show "${ADDRESS[$1]}" | grep -q lladdr; }

# own_group: sets CGROUP to a control group for the router's daemon, or to nothing where there are none.
own_group() {
	local root=/sys/fs/cgroup
	CGROUP=
	[ -e "$root/cgroup.procs" ] || mount -t cgroup2 none "$root" 2> /dev/null || return 0
	if echo +memory > "$root/cgroup.subtree_control" && mkdir -p "$root/millpond"; then
		CGROUP=$root/millpond
	fi
}

# rules_gone: takes the router every rule that leads into millpond's table.
rules_gone() {
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
	# There was nobody to see a mark before.
	begin "${EVENTS[0]}"
	sleep 6
}

event_daemon_start() {
	router_start
	cause_ended
	await_recovery 30
}

event_sigterm_and_start() {
	router_end TERM
	sleep 2
	router_start
	cause_ended
	await_recovery 30
}

event_sigkill() {
	router_end KILL
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
	check "a good file is taken" reload
	cause_ended
	await_recovery 20
}

event_reload_broken_file() {
	cp "$WORK/router.uci" "$WORK/good.uci"
	sed -i "s/option mac .*/option mac 'nonsense'/; s/option address '192.*/option address 'nowhere'/; s/'shape'/'shap/" "$WORK/router.uci"
	if reload; then
		fail "a broken file is refused"
	else
		pass "a broken file is refused"
	fi
	cause_ended
	sleep 1
	await_recovery 20
	cp "$WORK/good.uci" "$WORK/router.uci"
	check "and the good one is taken again" reload
}

# change DEVICE=POLICY...: the settings, in force at once.
change() {
	policies "$@"
	check "$*" reload
	policies_done
	cause_ended
	# For what had been open before to be tried again.
	sleep 2
	await_recovery 20
}

# By MAC address, by address, and by network.
change_all() { change "smartthings-hub=$1" "tplink-plug=$1" "$IOT_DEVICE=$1"; }

event_shape_to_block() { change_all block; }
event_block_to_direct() { change_all direct; }
event_direct_to_shape() { change_all shape; }
event_shape_to_direct() { change_all direct; }
event_direct_to_block() { change_all block; }
event_block_to_shape() { change_all shape; }

event_tunnel_peer_dead() {
	kill -KILL "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" || true
	ip -n endpoint link set uplink down
	sleep 6
	ip -n endpoint link set uplink up
	ip -n endpoint route replace default via 198.51.100.1
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
	outage "$from"
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
	outage "$from"
	cause_ended
	await_recovery 30
}

# The daemon asks again by itself when handshakes have stopped for 150 s, which is not waited for: somebody reloads.
event_endpoint_name_changed() {
	ip -n endpoint addr add "$SECOND_ENDPOINT/24" dev uplink
	ip -n endpoint addr del "$ENDPOINT/24" dev uplink
	ip -n endpoint addr replace "$SECOND_ENDPOINT/24" dev uplink
	ip -n endpoint route replace default via 198.51.100.1
	endpoint_name "$SECOND_ENDPOINT"
	sleep 5
	check "the new address is taken" reload
	cause_ended
	await_recovery 30
}

event_clock_jumps() {
	local before real
	if ! grep -q 'lab[.]main=' /proc/cmdline; then
		skip "clock_jumps" "this machine's own clock stays as it is"
		return
	fi
	real=$(now_ns)
	before=$(uptime_ms)
	date -s '+4 years' > /dev/null
	# A handshake of the future, after which WireGuard takes no other from this router for four years; and then another.
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

event_fw4_reload() {
	fw4_load
	cause_ended
	await_recovery 20
}

# "fw4 flush", and "fw4 start" a little later: without translation nobody has service in between.
event_all_tables_flushed() {
	local from
	from=$(uptime_ms)
	at router nft flush ruleset
	sleep 4
	fw4_load
	outage "$from"
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
	rules_gone
	cause_ended
	sleep 2
	await_recovery 20
}

event_offloaded_before_enrolment() {
	policies smartthings-hub=direct
	check "a device is let go" reload
	FW4_OFFLOAD=1
	fw4_load
	CAUSE_ENDED_MS=$(uptime_ms)
	await 10 "its service" served smartthings-hub || true
	check "its flows are offloaded" await 10 "offloaded flows" offloaded smartthings-hub
	change smartthings-hub=shape
}

# offloaded DEVICE: whether its datagrams pass the router's rules by.
offloaded() { at router conntrack -L -s "${ADDRESS[$1]}" 2> /dev/null | grep -q 'dport=7001 .*OFFLOAD'; }

event_memory_exhausted() {
	if [ -z "$CGROUP" ]; then
		skip "memory_exhausted" "no control groups here"
		return
	fi
	echo 4096 > "$CGROUP/memory.max"
	check "the kernel kills the daemon" await 5 "the daemon's end" gone router
	wait "${DAEMON[router]}" || true
	check "for want of memory" grep -E '^oom_kill [1-9]' "$CGROUP/memory.events"
	cause_ended
	echo max > "$CGROUP/memory.max"
	sleep "$RESPAWN_S"
	router_start
	await_recovery 30
}

# As the package does: stop, another file under the same name, start.
event_upgrade() {
	router_end TERM
	cp "$MILLPOND" "$WORK/millpond.new"
	mv "$WORK/millpond.new" "$WORK/millpond"
	sleep 2
	router_start
	cause_ended
	await_recovery 30
}
