# shellcheck shell=bash
# Bursts between two real ends: decoys while nothing happens, and a camera that needs more than the line carries. The
# provider's capture is judged slot by slot: one size, one rate and the law's intervals within a slot, both directions
# together, all changes on one grid.

allowance() { echo 500; }

# The base is the laboratory's 160 and 320 kbit/s.
readonly SLOT=5 BURST_UP=1000 BURST_DOWN=2000 QUIET_SECONDS=150 BUSY_SECONDS=60 PINGS=40

scenario() {
	settings endpoint gamma
	settings router gamma
	cat >> "$WORK/router.uci" <<- END

		config burst 'cameras'
			list device 'xiaomi-cam'
			option upload '$BURST_UP'
			option download '$BURST_DOWN'
			option slot '$SLOT'
			option decoy '0.2'
			option linger '0.6'
	END
	check "the settings are right" at router "$MILLPOND" check --config "$WORK/router.uci"
	daemon_start endpoint
	daemon_start router
	check "both ends shape" await 30 'the state "shaping"' shaping
	check "the promise is bounded" await 30 "a bounded promise" status_has '"promise": ?"bounded"'
	sleep $((2 * SLOT))
	capture_start "$WORK/quiet.pcap"
	sleep "$QUIET_SECONDS"
	capture_stop
	cp "$WORK/quiet.pcap" "$OUT/$SCENARIO/"
	check "nothing happens: decoys, and slots with one rate in both directions" slots "$WORK/quiet.pcap" 0.05 0.7
	capture_start "$WORK/busy.pcap"
	camera_sends
	capture_stop
	cp "$WORK/busy.pcap" "$OUT/$SCENARIO/"
	check "the camera is busy: bursts, and slots with one rate in both directions" slots "$WORK/busy.pcap" 0.5 1
	check "nothing of the camera was dropped" status_has '"overflow": ?0, ?"aged": ?0'
	check "no problem is left" status_has '"problems": ?\[\]'
	if daemons_stop "$OUT/$SCENARIO"; then
		pass "both ends stop on SIGTERM"
	else
		fail "both ends stop on SIGTERM"
	fi
}

status_has() { status_of router | tr -d '\n' | grep -oE "$1"; }

# Twice what the base rate carries, for BUSY_SECONDS.
camera_sends() {
	local pids=()
	for _ in $(seq "$PINGS"); do
		at dev-xiaomi-cam busybox ping -q -c "$BUSY_SECONDS" -s 1000 192.0.2.7 > /dev/null 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}" || true
}

# slots FILE LEAST MOST: judges the capture. A fifth of a second counts as burst if it has more cells than lie midway
# between both rates. Fifths beside a change are left out: the interval that is drawn already keeps its rate, and one
# end follows the other by the time of the path. LEAST and MOST bound the share of the time in bursts.
slots() {
	tcpdump -tt -n -q -r "$1" "udp port $TUNNEL_PORT" 2> /dev/null | awk -v router="$ROUTER_WAN." -v slot="$SLOT" \
		-v up="$UPLOAD_KBIT" -v down="$DOWNLOAD_KBIT" -v fast_up="$BURST_UP" -v fast_down="$BURST_DOWN" \
		-v least="$2" -v most="$3" '
		function near(is, wanted) { return is > 0.88 * wanted && is < 1.12 * wanted }
		function say(what) { print what; failed = 1 }
		{
			wire = $NF + 28
			# Handshakes are smaller.
			if (wire < 300) next
			if (wire != 508) say("a packet of " wire " bytes")
			if (!start) start = $1
			way = index($3, router) == 1 ? 0 : 1
			bin = int(($1 - start) * 5)
			cells[way, bin]++
			last_bin = bin
			n = ++count[way]
			time[way, n] = $1 - start
		}
		END {
			middle[0] = (up + fast_up) / 2 / 5 / 4.064
			middle[1] = (down + fast_down) / 2 / 5 / 4.064
			for (bin = 0; bin < last_bin; bin++)
				for (way = 0; way < 2; way++)
					burst[way, bin] = cells[way, bin] > middle[way]
			for (bin = 3; bin < last_bin - 3; bin++) {
				steady = 1
				for (near_bin = bin - 3; near_bin <= bin + 3; near_bin++)
					if (burst[0, near_bin] != burst[0, bin]) steady = 0
				inside[bin] = steady
				if (steady) {
					bins[burst[0, bin]]++
					for (way = 0; way < 2; way++) sum[way, burst[0, bin]] += cells[way, bin]
					if (burst[1, bin] != burst[0, bin]) apart++
				}
				if (burst[0, bin] != burst[0, bin - 1]) {
					changes++
					# The place on the grid, against that of the first change.
					at = bin / 5 - first
					if (changes == 1) first = bin / 5
					else {
						off = at - slot * int(at / slot + 0.5)
						if (off < 0) off = -off
						if (off > 0.61) say("a change " off " s beside the grid")
					}
				}
			}
			if (apart) say(apart " fifths of a second in which the directions differ")
			for (way = 0; way < 2; way++)
				for (n = 2; n <= count[way]; n++) {
					bin = int(time[way, n] * 5)
					if (!inside[bin]) continue
					gap = time[way, n] - time[way, n - 1]
					kind = burst[0, bin]
					gaps[way, kind]++
					total[way, kind] += gap
					squares[way, kind] += gap * gap
				}
			for (way = 0; way < 2; way++)
				for (kind = 0; kind < 2; kind++) {
					if (bins[kind] < 20) continue
					rate = sum[way, kind] * 4.064 / (bins[kind] / 5)
					wanted = way == 0 ? (kind ? fast_up : up) : (kind ? fast_down : down)
					mean = total[way, kind] / gaps[way, kind]
					spread = sqrt(squares[way, kind] / gaps[way, kind] - mean * mean) / mean
					printf "%s %s: %.0f kbit/s, spread %.2f; ", way ? "down" : "up", kind ? "bursts" : "base", rate, spread
					if (!near(rate, wanted)) say("want " wanted " kbit/s")
					if (spread < 0.26 || spread > 0.40) say("the intervals do not follow the law")
				}
			share = bins[1] / (bins[0] + bins[1])
			printf "%d changes, %.2f of the time in bursts\n", changes, share
			if (share < least || share > most) say("want a share of " least " to " most)
			exit failed
		}'
}
