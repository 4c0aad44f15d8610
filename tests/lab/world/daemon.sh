# shellcheck shell=bash
# The daemons of both ends: settings, start, state, resources, stop. WHO is the place of a daemon, router or endpoint.

# settings WHO LAW: writes the settings to WORK/WHO.uci.
settings() {
	make_keys
	"settings_$1" "$2" > "$WORK/$1.uci"
	chmod 600 "$WORK/$1.uci"
}

settings_main() {
	# shellcheck disable=SC2016 # TRAIN is expanded, and the quotes are UCI's
	cat <<- END
		config millpond 'main'
			option enabled '1'
			option role '$1'
			option level 'custom'
			option upload '$UPLOAD_KBIT'
			option download '$DOWNLOAD_KBIT'
			option cell '512'
			option law '$2'
			${TRAIN:+option train '$TRAIN'}

	END
}

settings_router() {
	local device name mac
	settings_main router "$1"
	cat <<- END
		config tunnel 'tunnel'
		$("${TUNNEL_KIND:-wireguard}_section" router)
			option address '10.77.0.2/32'
			option peer_address '10.77.0.1'

		config dns 'dns'
			option mode 'tunnel'
			list server '192.0.2.53'
	END
	for device in "${DEVICES[@]}"; do
		read -r name mac _ <<< "$device"
		printf "\nconfig device\n\toption name '%s'\n\toption mac '%s'\n\toption policy 'shape'\n" "$name" "$mac"
	done
}

settings_endpoint() {
	settings_main endpoint "$1"
	cat <<- END
		config tunnel 'tunnel'
		$("${TUNNEL_KIND:-wireguard}_section" endpoint)
			option address '10.77.0.1/32'

		config home
			option name 'maple street'
			$(home_key)
			option address '10.77.0.2'
			option max_download '4000'
	END
}

# wireguard_section WHO: prints the options of a WireGuard tunnel except addresses. A scenario that sets another
# TUNNEL_KIND defines its own TUNNEL_KIND_section.
wireguard_section() {
	printf "\toption type 'wireguard'\n\toption private_key '%s'\n" "$(cat "$WORK/$1.key")"
	if [ "$1" = router ]; then
		printf "\toption public_key '%s'\n\toption endpoint '%s'\n" "$(cat "$WORK/endpoint.pub")" "$ENDPOINT:$TUNNEL_PORT"
	else
		printf "\toption listen_port '%s'\n" "$TUNNEL_PORT"
	fi
}

# Prints the home's public key, which only WireGuard needs.
home_key() { [ "${TUNNEL_KIND:-wireguard}" != wireguard ] || printf "option public_key '%s'" "$(cat "$WORK/router.pub")"; }

declare -A DAEMON

# daemon_start WHO: starts the daemon and sets DAEMON[WHO] to its process. Its log is WORK/WHO.log.
daemon_start() {
	local run=("$MILLPOND" run --config "$WORK/$1.uci" --socket "$WORK/$1.sock" --guard-file "$WORK/$1.guard.nft"
		--usage-file "$WORK/$1.usage"
		--ubus "$(broker_of "$1")")
	if [ "$1" = router ] && [ -n "$MACHINE" ]; then
		DAEMON[router]=$(machine_daemon "${run[@]}")
		return
	fi
	# With exec, so that the process to signal and to measure is the daemon, not a shell.
	(exec ip netns exec "$1" "${run[@]}") > "$WORK/$1.log" 2>&1 &
	DAEMON[$1]=$!
}

# broker_of WHO: prints the socket of its ubus broker. Only the router has one, and only if a scenario has set BROKER.
broker_of() {
	if [ "$1" = router ] && [ -n "${BROKER-}" ]; then
		echo "$BROKER"
	else
		echo "$WORK/no-broker"
	fi
}

# daemons_start LAW: starts both ends and waits until the router shapes.
daemons_start() {
	settings endpoint "$1"
	settings router "$1"
	daemon_start endpoint
	daemon_start router
	if ! await 30 "the router's state \"shaping\"" shaping; then
		print_daemon_logs
		return 1
	fi
}

status_of() { at "$1" timeout 5 "$MILLPOND" status --json --socket "$WORK/$1.sock"; }

shaping() { status_of router | grep -E '"state": *"shaping"' > /dev/null; }

# Prints the end of both logs, after a failure.
print_daemon_logs() {
	local who
	for who in router endpoint; do
		at "$who" tail -n 5 "$WORK/$who.log" | sed "s/^/$who: /"
	done
}

# with_daemon open|close|drained DIR: the hook of measure for runs with daemons. It records the resources that they use
# in the window, and their status after the last packet has arrived.
with_daemon() {
	local who dir=$2
	case $1 in
	open)
		for who in router endpoint; do
			cpu_ticks "$who" > "$WORK/$who.ticks"
			missed_slots "$who" > "$WORK/$who.missed"
		done
		[ -z "$MACHINE" ] || machine_counts open
		;;
	close)
		[ -z "$MACHINE" ] || machine_counts close "$dir"
		printf '{"router": %s,\n "endpoint": %s}\n' "$(footprint router)" "$(footprint endpoint)" > "$dir/proc.json"
		;;
	drained)
		for who in router endpoint; do
			status_of "$who" > "$dir/$who.json" || say "reading the status of the $who failed"
		done
		;;
	esac
}

# missed_slots WHO: prints how many departures towards the first peer were skipped so far, because the daemon got the
# processor too late.
missed_slots() { status_of "$1" | awk -F '"missed_slots":' '{ print $2 + 0 }'; }

# cpu_ticks WHO: prints the daemon's processor time so far and the uptime, both in hundredths of a second.
cpu_ticks() {
	at "$1" cat "/proc/${DAEMON[$1]}/stat" /proc/uptime |
		awk 'NR == 1 { sub(/.*\) /, ""); used = $12 + $13 } NR == 2 { print used, $1 * 100 }'
}

# footprint WHO: prints memory, missed slots and processor load of the window, as JSON.
footprint() {
	local before
	before=$(cat "$WORK/$1.ticks")
	printf '{%s, "missed_slots": %s, "cpu_percent": %s}' "$(memory "$1")" \
		"$(($(missed_slots "$1") - $(cat "$WORK/$1.missed")))" \
		"$(echo "$before $(cpu_ticks "$1")" | awk '{ printf "%.2f", 100 * ($3 - $1) / ($4 - $2) }')"
}

# memory WHO: prints the daemon's memory in KiB, as members of a JSON object.
memory() {
	at "$1" cat "/proc/${DAEMON[$1]}/smaps_rollup" |
		awk '/^Rss:/ { rss = $2 } /^Anonymous:/ { anon = $2 } END { printf "\"rss_kb\": %d, \"anon_kb\": %d", rss, anon }'
}

# daemons_stop DIR: sends SIGTERM to both and copies their logs to DIR. Fails if one does not end within 10 s.
daemons_stop() {
	local who failed=0
	for who in router endpoint; do
		at "$who" sh -c "kill -TERM ${DAEMON[$who]}" 2> /dev/null || true
	done
	for who in router endpoint; do
		if ! await 10 "the $who's daemon to end" has_exited "$who"; then
			at "$who" sh -c "kill -KILL ${DAEMON[$who]}"
			failed=1
		fi
		daemon_succeeded "$who" || failed=1
		at "$who" cat "$WORK/$who.log" > "$1/$who.log"
	done
	[ "$failed" -eq 0 ] || print_daemon_logs
	return "$failed"
}

# has_exited WHO: whether the daemon has ended; a zombie counts as ended.
has_exited() { ! at "$1" grep -q '^State:[[:space:]]*[^Z]' "/proc/${DAEMON[$1]}/status" 2> /dev/null; }

# daemon_succeeded WHO: whether the ended daemon exited with status 0.
daemon_succeeded() {
	if [ "$1" = router ] && [ -n "$MACHINE" ]; then
		machine_daemon_succeeded
	else
		wait "${DAEMON[$1]}"
	fi
}

# leftovers PLACE: prints millpond's links, tables, rules and routes there. The guard is not among them, because it must
# stay; prints "no guard" if it is missing.
leftovers() {
	at "$1" ip -br link | awk '$1 ~ /^mp/ { print "link " $1 }'
	at "$1" nft list tables | grep 'millpond_' || true
	grep -q 'inet millpond$' <<< "$(at "$1" nft list tables)" || echo "no guard"
	at "$1" ip rule | grep -vE 'lookup (local|main|default)' || true
	at "$1" ip -6 rule | grep -vE 'lookup (local|main|default)' || true
	at "$1" ip route show table all | grep -E 'dev mp|^unreachable|^blackhole' || true
}

now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# recovery_limit_ms PLACE: prints the time limit for restoring the kernel state. It is 2 s. On a slow machine, where one
# nft takes more than 0.1 s, it is the time of ten nft calls and the second of debouncing.
recovery_limit_ms() {
	local begin nft_ms
	begin=$(now_ms)
	for _ in 1 2 3 4 5 6 7 8; do at "$1" nft -s list table inet millpond > /dev/null; done
	nft_ms=$((($(now_ms) - begin) / 8))
	[ "$nft_ms" -le 100 ] && echo 2000 || echo $((1000 + 10 * nft_ms))
}
