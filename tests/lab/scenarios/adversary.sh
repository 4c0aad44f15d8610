# shellcheck shell=bash
# Whether an adversary can tell from the line that the home, the router's processor or the LAN is busy, or that the
# router is being pinged, for "make bench". Conditions alternate within one run, so that a drift of the machine does not
# look like a leak. LAB_CYCLES: turns with gamma and normal (default 5, with 48,000 packets of each condition and 12
# minutes a law); the other laws get a third. LAB_BLOCK: seconds of one turn (default 20). LAB_LAWS: the laws to test, of
# "gamma normal constant kernel". LAB_CONDITIONS: the conditions to compare with an idle home.
# In the first turn of each condition the router also records how late its departures are, for "millpond-lab bound".

readonly BLOCK=${BLOCK:-${LAB_BLOCK:-20}}
# Seconds between two turns. After conditions that fill a queue it takes DRAIN until the queue is empty.
readonly PAUSE=2 DRAIN=12
# Departures of the router in a second, less a margin: 640 kbit/s in cells of 508 bytes.
readonly RECORDED_PER_S=150

allowance() {
	local turns=${LAB_CYCLES:-5} compared
	compared=$(wc -w <<< "${LAB_CONDITIONS:-1 2 3 4 5}")
	echo $(((2 * turns + 2 * (turns / 3 + 1)) * (compared + 1) * (BLOCK + DRAIN + 3) + 4 * 60))
}

scenario() {
	local law
	# shellcheck disable=SC2034 # read by settings and record: four times the level "strict", for many packets in a short time
	UPLOAD_KBIT=640 DOWNLOAD_KBIT=1280
	for law in $LAWS; do
		# shellcheck disable=SC2153 # from the request
		case $law in
		gamma | normal) turns "$law" "$CYCLES" ;;
		*) turns "$law" $((CYCLES / 3 + 1)) ;;
		esac
	done
}

# turns LAW CYCLES: measures all conditions under one law.
turns() {
	local law=$1 cycles=$2 dir=$OUT/$SCENARIO/$1 cycle condition start_ns
	mkdir -p "$dir"
	if ! daemons_start "$law"; then
		fail "$law: both ends shape"
		daemons_stop "$dir" || true
		return
	fi
	sleep 3
	capture_start "$dir/wan.pcap"
	start_ns=$(now_ns)
	echo "condition,start_ns,stop_ns" > "$dir/timeline.csv"
	for cycle in $(seq "$cycles"); do
		for condition in idle $CONDITIONS; do
			say "$law: turn $cycle of $cycles, $condition"
			turn "$condition" "$dir" "$cycle"
			case $condition in
			busy | device-flooding) sleep "$DRAIN" ;;
			*) sleep "$PAUSE" ;;
			esac
		done
	done
	capture_stop
	run_json "$law" turns 508 "$start_ns" "$(now_ns)" > "$dir/run.json"
	status_of router > "$dir/router.json"
	status_of endpoint > "$dir/endpoint.json"
	if daemons_stop "$dir"; then pass "$law: the run completes"; else fail "$law: both ends stop on SIGTERM"; fi
}

# turn CONDITION FOLDER CYCLE: runs one turn and adds it to the folder's timeline.
turn() {
	local start_ns pid pids=() record=
	start_ns=$(now_ns)
	"condition_${1//-/_}"
	if [ "$3" = 1 ]; then
		at router "$MILLPOND" lateness --cells $((BLOCK * RECORDED_PER_S)) --output "$2/$1.lateness.json" \
			--socket "$WORK/router.sock" > "$WORK/record.log" 2>&1 &
		record=$!
	fi
	sleep "$BLOCK"
	echo "$1,$start_ns,$(now_ns)" >> "$2/timeline.csv"
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill "$pid" 2> /dev/null || true
		wait "$pid" 2> /dev/null || true
	done
	[ -z "$record" ] || wait "$record" || fail "$1: the lateness of departures is recorded" "$(tail -1 "$WORK/record.log")"
}

# run_during_turn PLACE COMMAND...: runs the command there until the turn ends.
run_during_turn() {
	(exec ip netns exec "$@") > /dev/null 2>&1 &
	pids+=($!)
}

condition_idle() { :; }

# A camera uploads and a speaker downloads as fast as TCP allows, and a motion sensor sends now and then.
condition_busy() {
	run_during_turn dev-xiaomi-cam "$WORLD" bulk --server 192.0.2.10:9000 --direction up --seconds "$BLOCK"
	run_during_turn dev-echo "$WORLD" bulk --server 192.0.2.10:9000 --direction down --seconds "$BLOCK"
	run_during_turn dev-tuya-motion "$WORLD" flood --target 192.0.2.7:7 --rate 2 --bytes 120 --seconds "$BLOCK"
}

# More busy loops than the router has processors.
condition_cpu_loaded() {
	local number
	for number in 1 2 3; do run_during_turn router sh -c 'while :; do :; done' "$number"; done
}

# The provider pings as fast as the router answers.
condition_router_pinged() { run_during_turn isp busybox ping -A -q "$ROUTER_WAN"; }

# The provider pings that often a second.
condition_pinged_10() { pinged 10; }
condition_pinged_100() { pinged 100; }
condition_pinged_500() { pinged 500; }
condition_pinged_2000() { pinged 2000; }
pinged() { run_during_turn isp "$WORLD" flood --ping --target "$ROUTER_WAN:0" --rate "$1" --bytes 56 --seconds "$BLOCK"; }

# Settings are read again and again.
condition_reloading() {
	run_during_turn router sh -c "while :; do '$MILLPOND' reload --socket '$WORK/router.sock'; sleep 1; done"
}

# The router's own check of its line runs.
condition_auditing() { run_during_turn router "$MILLPOND" audit --packets 4000 --socket "$WORK/router.sock"; }

# A device floods another device through the router's bridge, and the router itself.
condition_lan_flooded() {
	run_during_turn dev-philips-hue "$WORLD" flood --target 192.168.1.13:9 --rate 400 --seconds "$BLOCK"
	run_during_turn dev-philips-hue "$WORLD" flood --target 192.168.1.1:9 --rate 400 --bytes 100 --seconds "$BLOCK"
}

# A shaped device sends ten times the rate of the line.
condition_device_flooding() {
	run_during_turn dev-tplink-plug "$WORLD" flood --target 192.0.2.7:9 --rate 400 --seconds "$BLOCK"
}
