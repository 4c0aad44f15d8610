# shellcheck shell=bash
# A measured run: the provider's capture, the replay, and the run directory that "millpond-lab" reads.

readonly REPLAY_ADDRESS=192.0.2.10 REPLAY_PORT=7000
# How long after the window packets may still arrive: longer than the 10 s for which millpond may queue one.
readonly DRAIN_NS=12000000000

# For the devices and their server, which must not delay the measured programs.
readonly LOW_PRIORITY=(nice -n 5)

# capture_start FILE [BYTES]: starts the provider's capture of the line to the home, with the first BYTES of each packet.
capture_start() {
	# With exec, so that capture_stop signals tcpdump, not a shell.
	(exec ip netns exec isp tcpdump -i home -n -s "${2:-128}" --time-stamp-precision=nano -B 8192 -U -Z root -w "$1" 2> "$1.log") &
	CAPTURE=$!
	await 10 "tcpdump to listen" grep -q "listening on" "$1.log"
}

capture_stop() {
	# The kernel delivers packets in blocks, the last one after up to a second.
	sleep 1.5
	kill "$CAPTURE"
	wait "$CAPTURE" || true
}

# transport_of DEVICE: prints the transport of its replay.
transport_of() {
	case $1 in
	echo | philips-hue | tplink-plug) echo tcp ;;
	*) echo udp ;;
	esac
}

# replay_prepare DIR DEVICE...: starts the server and the devices. They connect and then wait for DIR/start. Journals go
# to DIR.
replay_prepare() {
	local dir=$1 device
	shift
	REPLAY=()
	at internet "${LOW_PRIORITY[@]}" "$WORLD" server --listen "$REPLAY_ADDRESS:$REPLAY_PORT" --traces "$TRACES" --start "$dir/start" \
		--seed "$SEED" --log "$dir/server.log" &
	REPLAY+=($!)
	await 15 "the replay server" port_open internet "$REPLAY_PORT"
	for device in "$@"; do
		at "dev-$device" "${LOW_PRIORITY[@]}" "$WORLD" device --name "$device" --trace "$TRACES/$device.csv" \
			--server "$REPLAY_ADDRESS:$REPLAY_PORT" --transport "$(transport_of "$device")" \
			--ready "$dir/$device.ready" --start "$dir/start" --seed "$SEED" --log "$dir/$device.log" &
		REPLAY+=($!)
	done
	await 45 "all devices to reach the server" all_ready "$dir" "$@"
}

all_ready() {
	local dir=$1 device
	shift
	for device in "$@"; do [ -e "$dir/$device.ready" ] || return 1; done
}

# port_open PLACE PORT: whether a TCP socket listens there.
port_open() { at "$1" grep -q "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$2") [0-9A-F]*:0000 0A" /proc/net/tcp; }

replay_wait() {
	local pid failed=0
	for pid in "${REPLAY[@]}"; do wait "$pid" || failed=1; done
	return "$failed"
}

# measure DIR LAW LOAD WIRE_BYTES SECONDS HOOK DEVICE...: measures one window in which the devices replay their traces
# (without devices: idle). Calls HOOK with "open" at the window's start, "close" at its end, and "drained" when its last
# packet has arrived.
measure() {
	local dir=$1 law=$2 load=$3 wire_bytes=$4 seconds=$5 hook=$6 start_ns stop_ns local_dir
	shift 6
	local_dir=$WORK/run
	rm -rf "$local_dir" "$dir"
	mkdir -p "$local_dir/journals" "$dir"
	if [ $# -gt 0 ] && ! replay_prepare "$local_dir/journals" "$@"; then
		fail "$law $load: the devices reach their server"
		kill "${REPLAY[@]}" 2> /dev/null || true
		return
	fi
	capture_start "$local_dir/wan.pcap"
	start_ns=$(($(now_ns) + 1000000000))
	stop_ns=$((start_ns + seconds * 1000000000))
	if [ $# -gt 0 ]; then
		echo "$start_ns $((stop_ns + DRAIN_NS))" > "$local_dir/journals/.start"
		mv "$local_dir/journals/.start" "$local_dir/journals/start"
	fi
	say "$law $load: window of $seconds s, ${#} devices active"
	sleep_until "$start_ns"
	"$hook" open "$local_dir"
	sleep_until "$stop_ns"
	"$hook" close "$local_dir"
	if [ $# -gt 0 ]; then
		replay_wait || fail "$law $load: the replay completes"
	fi
	"$hook" drained "$local_dir"
	capture_stop
	run_json "$law" "$load" "$wire_bytes" "$start_ns" "$stop_ns" > "$local_dir/run.json"
	# shellcheck disable=SC2046 # file names without spaces
	say "$law $load: $("$WORLD" merge --start-ns "$start_ns" --stop-ns "$stop_ns" --out "$local_dir" \
		$(find "$local_dir/journals" -name '*.log')), provider captured $(captured "$local_dir/wan.pcap") packets"
	rm -r "$local_dir/journals"
	cp -r "$local_dir/." "$dir/"
}

captured() { tcpdump -n -r "$1" 2> /dev/null | wc -l; }

run_json() {
	cat <<- END
		{"law": "$1", "load": "$2", "upload_bps": ${UPLOAD_KBIT}000, "download_bps": ${DOWNLOAD_KBIT}000,
		 "wire_bytes": $3, "router_wan": "$ROUTER_WAN", "endpoint": "$ENDPOINT", "tunnel_port": $TUNNEL_PORT,
		 "tunnel": "${TUNNEL_PROTOCOL:-wireguard}", "trains": [${TRAIN:-1}, ${TRAIN:-1}],
		 "start_ns": $4, "stop_ns": $5, "seed": $SEED}
	END
}

# without_daemon open|close|drained DIR: the hook of measure for runs without daemons.
without_daemon() { :; }

# replayed_devices: prints the devices that have a trace.
replayed_devices() {
	local name
	device_names | while read -r name; do
		[ ! -e "$TRACES/$name.csv" ] || echo "$name"
	done
}

# machine_stalled DIR: whether a daemon missed more than 1 % of the window's slots (40 a second), as happens when the
# emulator does not get the processor. Such a window measures the emulator, not millpond.
machine_stalled() {
	local missed
	# In virtual time nothing delays the machine but its own work.
	[ "$CLOCK" = real ] || return 1
	missed=$(sed -n 's/.*"missed_slots": \([0-9]*\).*/\1/p' "$1/proc.json" | sort -n | tail -1)
	[ "${missed:-0}" -gt $((WINDOW * 40 / 100)) ]
}
