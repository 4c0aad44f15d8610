# shellcheck shell=bash
# One-way delay of a sparse stream through the tunnel, alone and next to another device's bulk TCP, for "make bench".

allowance() { echo $((5 * (WINDOW + 60))); }

scenario() {
	local dir=$OUT/$SCENARIO home=$WORK/sparse-traces rate beside devices=(tuya-motion)
	mkdir -p "$home"
	# shellcheck disable=SC2034 # read by record.sh
	TRACES=$home
	mkdir -p "$dir"
	# The delay of the laboratory itself: the same stream through an unshaped tunnel.
	sparse_trace 20 > "$home/tuya-motion.csv"
	plain_tunnel_up
	measure "$dir/20-unshaped" plain busy 0 "$WINDOW" without_daemon "${devices[@]}"
	plain_tunnel_down
	cp "$dir/20-unshaped/packets.csv" "$dir/20-unshaped.csv"
	check "20 packets a second, unshaped" arrivals "$dir/20-unshaped.csv"
	daemons_start gamma
	sleep 2
	for rate in 5 20; do
		sparse_trace "$rate" > "$home/tuya-motion.csv"
		for beside in nothing tcp; do
			[ "$beside" = nothing ] || bulk_start
			measure "$dir/$rate-$beside" gamma busy 508 "$WINDOW" with_daemon "${devices[@]}"
			[ "$beside" = nothing ] || bulk_stop
			cp "$dir/$rate-$beside/packets.csv" "$dir/$rate-$beside.csv"
			check "$rate packets a second, next to $beside" arrivals "$dir/$rate-$beside.csv"
		done
	done
	daemons_stop "$dir"
}

# sparse_trace RATE: prints a trace of 100-byte upload packets, each at a random time within its slot.
sparse_trace() {
	echo "t_ns,direction,bytes"
	awk -v rate="$1" -v seconds="$WINDOW" -v seed="$SEED" 'BEGIN {
		srand(seed)
		for (i = 0; i < rate * seconds; i++) printf "%.0f,up,100\n", (i + rand()) / rate * 1e9
	}'
}

# Keeps the camera's queue full from before the window until after its end.
bulk_start() {
	at dev-xiaomi-cam "$WORLD" bulk --server 192.0.2.10:9000 --direction up --seconds $((WINDOW + 20)) > "$WORK/bulk.log" 2>&1 &
	BULK=$!
	sleep 3
}

bulk_stop() {
	kill "$BULK" 2> /dev/null || true
	wait "$BULK" || true
}

# arrivals FILE: prints how many packets arrived and their mean delay.
arrivals() {
	awk -F, 'NR > 1 { sent++; if ($6 != "") { arrived++; sum += $6 - $5 } }
		END { printf "%d of %d arrived, mean delay %.1f ms\n", arrived, sent, arrived ? sum / arrived / 1e6 : 0
			exit !(arrived > 0) }' "$1"
}
