# shellcheck shell=bash
# One-way delay of a sparse stream through the tunnel, alone and beside another device's bulk TCP, for "make bench".

allowance() { echo $((4 * (WINDOW + 60))); }

scenario() {
	local dir=$OUT/$SCENARIO home=$WORK/sparse-traces rate beside devices=(tuya-motion)
	mkdir -p "$home"
	# shellcheck disable=SC2034 # read by the replay
	TRACES=$home
	mkdir -p "$dir"
	daemons_start gamma
	sleep 2
	for rate in 5 20; do
		sparse_trace "$rate" > "$home/tuya-motion.csv"
		for beside in nothing tcp; do
			[ "$beside" = nothing ] || bulk_start
			measure "$dir/$rate-$beside" gamma busy 508 "$WINDOW" with_daemon "${devices[@]}"
			[ "$beside" = nothing ] || bulk_stop
			cp "$dir/$rate-$beside/packets.csv" "$dir/$rate-$beside.csv"
			check "$rate a second beside $beside" arrivals "$dir/$rate-$beside.csv"
		done
	done
	daemons_stop "$dir"
}

# sparse_trace RATE: 100-byte packets going up, at a random moment in each of their slots.
sparse_trace() {
	echo "t_ns,direction,bytes"
	awk -v rate="$1" -v seconds="$WINDOW" -v seed="$SEED" 'BEGIN {
		srand(seed)
		for (i = 0; i < rate * seconds; i++) printf "%.0f,up,100\n", (i + rand()) / rate * 1e9
	}'
}

# Fills the camera's queue before the window opens, and until after it closes.
bulk_start() {
	at dev-xiaomi-cam "$WORLD" bulk --server 192.0.2.10:9000 --direction up --seconds $((WINDOW + 20)) > "$WORK/bulk.log" 2>&1 &
	BULK=$!
	sleep 3
}

bulk_stop() {
	kill "$BULK" 2> /dev/null || true
	wait "$BULK" || true
}

arrivals() {
	awk -F, 'NR > 1 { sent++; if ($6 != "") { arrived++; sum += $6 - $5 } }
		END { printf "%d of %d arrived, mean delay %.1f ms\n", arrived, sent, arrived ? sum / arrived / 1e6 : 0
			exit !(arrived > 0) }' "$1"
}
