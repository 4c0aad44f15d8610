# shellcheck shell=bash
# Steps of the scenario "leaks": marks in the provider's capture (src/lab/leaks/mark.rs), the router's daemon as procd
# runs it, changes of policy, and the end of an event.

declare -A POLICY DAEMON

# marks_open: starts the one writer at the provider that sends all marks, so that they keep their order.
marks_open() {
	: > "$RUN/marks"
	rm -f "$WORK/marks"
	mkfifo "$WORK/marks"
	# shellcheck disable=SC2016 # expanded by the inner shell
	at isp bash -c 'while read -r line; do printf %s "$line" > /dev/udp/239.255.77.77/7777; done' < "$WORK/marks" &
	BACKGROUND_PIDS+=($!)
	exec 7> "$WORK/marks"
}

# mark WORDS...: writes a mark to the capture and to RUN/marks.
mark() {
	local line
	line="$(uptime_ms) $*"
	echo "$line" >> "$RUN/marks"
	echo "$line" >&7
}

# begin_event EVENT: marks the start of an event.
begin_event() {
	say "event $1"
	mark begin "$1"
	# The mark must be captured before the packets of the event.
	sleep 0.1
}

# cause_ended: marks the end of the event's cause. From now on every device must get service again, as its policy says.
cause_ended() {
	CAUSE_ENDED_MS=$(uptime_ms)
	mark cause_ended
}

# await_recovery SECONDS: waits until all devices have service. "millpond-lab leaks" judges when that was, and whether.
await_recovery() {
	# shellcheck disable=SC2046 # names
	await "$1" "all devices to have service" have_service $(device_names) || true
	# Captures some more traffic for the judge.
	sleep 1
}

# have_service DEVICE...: whether each device that is in the settings and not blocked has had an answer since
# CAUSE_ENDED_MS, through the path of its policy. Checks all at once and seldom, because processes are slow in an
# emulator.
have_service() {
	local name ways='' files=()
	for name in "$@"; do
		case ${POLICY[$name]-none} in
		shape) ways+="$name 198.51.100. " ;;
		direct) ways+="$name 203.0.113. " ;;
		*) continue ;;
		esac
		files+=("$RUN/$name.csv")
	done
	sleep 0.3
	# "tail" prints file names only for several files; /dev/null ensures that.
	tail -n 300 /dev/null "${files[@]}" | awk -v ended="$CAUSE_ENDED_MS" -v ways="$ways" '
		BEGIN { FS = ","; count = split(ways, word, " ") / 2; for (i = 1; i <= count; i++) way[word[2 * i - 1]] = word[2 * i] }
		/^==>/ { name = $0; sub(/.*[\/]/, "", name); sub(/[.]csv.*/, "", name) }
		$2 != "udp4" { next }
		$1 == "sent" && $4 >= ended { asked[name, $3] = 1 }
		$1 == "answer" && (name, $3) in asked && index($5, way[name]) == 1 { served[name] = 1 }
		END { for (name in way) if (!(name in served)) exit 1 }'
}

# mark_outage FROM_MS: marks that no device could have service from then until now, because of the event.
mark_outage() { mark outage "$1" "$(uptime_ms)"; }

# set_policies DEVICE=POLICY...: writes the settings. A protection that ends is marked before; for one that begins,
# mark_new_policies is called after the settings are in force.
set_policies() {
	local change name
	PENDING=()
	for change in "$@"; do
		name=${change%%=*}
		POLICY[$name]=${change#*=}
		if [ "${POLICY[$name]}" = direct ]; then
			mark policy "$name" direct
		else
			PENDING+=("$name")
		fi
	done
	sleep 0.1
	settings_home > "$WORK/router.uci"
}

mark_new_policies() {
	local name
	for name in ${PENDING[@]+"${PENDING[@]}"}; do mark policy "$name" "${POLICY[$name]}"; done
}

# router_start: starts the daemon as procd does, in a control group whose memory limit an event lowers.
router_start() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	(exec sh -c '[ -z "$1" ] || echo $$ > "$1/cgroup.procs"; shift; exec "$@"' - "${CGROUP-}" \
		ip netns exec router "$WORK/millpond" run --config "$WORK/router.uci" --socket "$WORK/router.sock" \
		--guard-file "$FW4_POST/30-millpond.nft" --usage-file "$WORK/router.usage") >> "$WORK/router.log" 2>&1 &
	DAEMON[router]=$!
}

# router_stop SIGNAL: sends the signal and waits until the daemon has ended.
router_stop() {
	kill "-$1" "${DAEMON[router]}"
	await 30 "the router's daemon to end" has_exited router || kill -KILL "${DAEMON[router]}"
	wait "${DAEMON[router]}" || true
}

# reload: returns the exit status of "millpond reload".
reload() { at router "$WORK/millpond" reload --socket "$WORK/router.sock" >> "$WORK/router.log" 2>&1; }

# wan_down, wan_up: the WAN goes down or up; at up, addresses and routes are set as by netifd.
wan_down() { ip -n router link set wan down; }
wan_up() {
	ip -n router -batch - <<- END
		link set wan up
		addr replace 2001:db8:1::2/64 dev wan nodad
		route replace default via 203.0.113.1
		route replace default via 2001:db8:1::1
	END
}
