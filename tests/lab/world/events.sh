# shellcheck shell=bash
# The course of the scenario "leaks": marks at the provider (src/lab/leaks/mark.rs), the router's daemon as procd keeps
# it, changes of policy, and what goes with an event.

declare -A POLICY DAEMON

# marks_open: one writer at the provider, so that all marks keep their order.
marks_open() {
	: > "$RUN/marks"
	mkfifo "$WORK/marks"
	# shellcheck disable=SC2016 # for the inner shell
	at isp bash -c 'while read -r line; do printf %s "$line" > /dev/udp/239.255.77.77/7777; done' < "$WORK/marks" &
	BACKGROUND_PIDS+=($!)
	exec 7> "$WORK/marks"
}

# mark WORDS...: in the capture and in RUN/marks.
mark() {
	local line
	line="$(uptime_ms) $*"
	echo "$line" >> "$RUN/marks"
	echo "$line" >&7
}

# begin EVENT
begin() {
	say "event $1"
	mark begin "$1"
	# It must be on the wire before what it announces.
	sleep 0.1
}

# cause_ended: what the event does is done; from now on every device is due its service again, as its policy says.
cause_ended() {
	CAUSE_ENDED_MS=$(uptime_ms)
	mark cause_ended
}

# await_recovery SECONDS: waits until all devices have service. The judge finds when that was, or that it never was.
await_recovery() {
	# shellcheck disable=SC2046 # names
	await "$1" "all devices to be served" served $(device_names) || true
	# Some more of it, to be examined.
	sleep 1
}

# served DEVICE...: whether each that is in the settings and not blocked has had an answer since CAUSE_ENDED_MS, on the
# way that its policy names. One look at all, and not too often: emulated processes are dear.
served() {
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
	# Behind a header each, for which "tail" wants more than one.
	tail -n 300 /dev/null "${files[@]}" | awk -v ended="$CAUSE_ENDED_MS" -v ways="$ways" '
		BEGIN { FS = ","; count = split(ways, word, " ") / 2; for (i = 1; i <= count; i++) way[word[2 * i - 1]] = word[2 * i] }
		/^==>/ { name = $0; sub(/.*[\/]/, "", name); sub(/[.]csv.*/, "", name) }
		$2 != "udp4" { next }
		$1 == "sent" && $4 >= ended { asked[name, $3] = 1 }
		$1 == "answer" && (name, $3) in asked && index($5, way[name]) == 1 { served[name] = 1 }
		END { for (name in way) if (!(name in served)) exit 1 }'
}

# outage FROM_MS: nobody had service since then, by the event's own doing; now there is.
outage() { mark outage "$1" "$(uptime_ms)"; }

# policies DEVICE=POLICY...: in the settings. The mark comes first for what is given up, and "policies_done" sets it for
# what is promised.
policies() {
	local change name
	PROMISED=()
	for change in "$@"; do
		name=${change%%=*}
		POLICY[$name]=${change#*=}
		if [ "${POLICY[$name]}" = direct ]; then
			mark policy "$name" direct
		else
			PROMISED+=("$name")
		fi
	done
	sleep 0.1
	settings_home > "$WORK/router.uci"
}

policies_done() {
	local name
	for name in ${PROMISED[@]+"${PROMISED[@]}"}; do mark policy "$name" "${POLICY[$name]}"; done
}

# router_start: as procd does, in a control group that may become too small for it.
router_start() {
	# shellcheck disable=SC2016 # for the inner shell
	(exec sh -c '[ -z "$1" ] || echo $$ > "$1/cgroup.procs"; shift; exec "$@"' - "${CGROUP-}" \
		ip netns exec router "$WORK/millpond" run --config "$WORK/router.uci" --socket "$WORK/router.sock" \
		--guard-file "$FW4_POST/30-millpond.nft" --usage-file "$WORK/router.usage") >> "$WORK/router.log" 2>&1 &
	DAEMON[router]=$!
}

# router_end SIGNAL: and wait until it has ended.
router_end() {
	kill "-$1" "${DAEMON[router]}"
	await 30 "the router's daemon to end" gone router || kill -KILL "${DAEMON[router]}"
	wait "${DAEMON[router]}" || true
}

# reload: exit status as that of "millpond reload".
reload() { at router "$WORK/millpond" reload --socket "$WORK/router.sock" >> "$WORK/router.log" 2>&1; }

# wan_down, wan_up: and what netifd does then.
wan_down() { ip -n router link set wan down; }
wan_up() {
	ip -n router -batch - <<- END
		link set wan up
		addr replace 2001:db8:1::2/64 dev wan nodad
		route replace default via 203.0.113.1
		route replace default via 2001:db8:1::1
	END
}
