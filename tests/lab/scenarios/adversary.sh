# shellcheck shell=bash
# What an adversary makes of the line when the home, the router's processor, the LAN or he himself is busy, for "make
# bench". Conditions take turns within one run, so that no drift of the machine is taken for a leak. LAB_CYCLES: turns of
# gamma and normal (default 5, with 24,000 packets of each condition and 12 minutes a law); the other laws have a third.
# LAB_LAWS: the laws to try, of "gamma normal constant kernel"; LAB_CONDITIONS: what to compare with an idle home.

readonly BLOCK=20
# What empties by itself between two conditions takes longer where a queue was filled.
readonly PAUSE=2 DRAIN=12

allowance() {
	local CYCLES=${LAB_CYCLES:-5}
	echo $(((2 * CYCLES + 2 * (CYCLES / 3 + 1)) * (6 * (BLOCK + PAUSE + 1) + 2 * DRAIN) + 4 * 60))
}

scenario() {
	local law
	# shellcheck disable=SC2034 # read by settings and record: the level "strict"
	UPLOAD_KBIT=320 DOWNLOAD_KBIT=640
	for law in $LAWS; do
		case $law in
		gamma | normal) turns "$law" "$CYCLES" ;;
		*) turns "$law" $((CYCLES / 3 + 1)) ;;
		esac
	done
}

# turns LAW CYCLES
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
			turn "$condition" "$dir/timeline.csv"
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
	if daemons_stop "$dir"; then pass "$law: runs to its end"; else fail "$law: both ends stop on SIGTERM"; fi
}

# turn CONDITION TIMELINE
turn() {
	local start_ns pid pids=()
	start_ns=$(now_ns)
	"condition_${1//-/_}"
	sleep "$BLOCK"
	echo "$1,$start_ns,$(now_ns)" >> "$2"
	for pid in ${pids[@]+"${pids[@]}"}; do
		kill "$pid" 2> /dev/null || true
		wait "$pid" 2> /dev/null || true
	done
}

# in_place PLACE COMMAND...: until the turn ends.
in_place() {
	(exec ip netns exec "$@") > /dev/null 2>&1 &
	pids+=($!)
}

condition_idle() { :; }

# A camera sends as much as TCP lets it, a speaker fetches as much, a motion sensor reports now and then.
condition_busy() {
	in_place dev-xiaomi-cam "$WORLD" bulk --server 192.0.2.10:9000 --direction up --seconds "$BLOCK"
	in_place dev-echo "$WORLD" bulk --server 192.0.2.10:9000 --direction down --seconds "$BLOCK"
	in_place dev-tuya-motion "$WORLD" flood --target 192.0.2.7:7 --rate 2 --bytes 120 --seconds "$BLOCK"
}

# Both processors, and more work than they can do.
condition_cpu_loaded() {
	local burner
	for burner in 1 2 3; do in_place router sh -c 'while :; do :; done' "$burner"; done
}

# The provider himself, as fast as the router answers.
condition_router_pinged() { in_place isp busybox ping -A -q "$ROUTER_WAN"; }

# From device to device, past the router's bridge, and to the router itself.
condition_lan_flooded() {
	in_place dev-philips-hue "$WORLD" flood --target 192.168.1.13:9 --rate 400 --seconds "$BLOCK"
	in_place dev-philips-hue "$WORLD" flood --target 192.168.1.1:9 --rate 400 --bytes 100 --seconds "$BLOCK"
}

# A shaped device sends ten times what the line carries.
condition_device_flooding() {
	in_place dev-tplink-plug "$WORLD" flood --target 192.0.2.7:9 --rate 400 --seconds "$BLOCK"
}
