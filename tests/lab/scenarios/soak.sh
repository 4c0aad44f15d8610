# shellcheck shell=bash
# A day of a shaping home in virtual time, for "make soak": hundreds of rekeys, a change to summer time, a schedule, a
# hundred reloads, and devices that are sometimes busy. LAB_HOURS: hours to run (default 24).

readonly HOURS=${HOURS:-24}
# Reloads are this far apart: 103 in a day.
readonly RELOAD_EVERY_S=840
# The daemons may grow by that much after their first hour: a slab that is used for the first time, no more.
readonly MAX_GROWTH_KB=64
# Cells that the line may carry more or fewer than its level says, in a hundredth of a percent. The draws of a day spread
# by 0.03 % (gamma with a spread of 33 %, 600,000 cells).
readonly MAX_DRIFT=30

allowance() { echo $((HOURS * 3600 + 900)); }

# In the middle of the day, at 2:00 on 29 March 2026, Berlin sets its clocks to 3:00.
world_date() { echo 2026-03-28T13:00:00; }

scenario() {
	local begin_s now_s last_hour=0
	if [ "$CLOCK" = real ]; then
		skip "a day" "it takes a day in real time, and sets the time zone of this machine"
		return
	fi
	ln -sf /usr/share/zoneinfo/Europe/Berlin /etc/localtime
	# shellcheck disable=SC2034 # read by settings
	UPLOAD_KBIT=40 DOWNLOAD_KBIT=40
	if ! daemons_start gamma; then
		fail "both ends shape"
		daemons_stop "$OUT/$SCENARIO" || true
		return
	fi
	add_schedule
	count_packets
	begin_s=$(uptime_s)
	start_traffic
	reload_settings || fail "the schedule is accepted"
	echo "uptime_s,router_kb,endpoint_kb,cells_sent,cells_received,cells_lost,level" > "$OUT/$SCENARIO/hours.csv"
	while now_s=$(($(uptime_s) - begin_s)) && [ "$now_s" -lt $((HOURS * 3600)) ]; do
		sleep $((RELOAD_EVERY_S - now_s % RELOAD_EVERY_S))
		reload_settings || fail "reload $RELOADS is accepted"
		now_s=$(($(uptime_s) - begin_s))
		if [ $((now_s / 3600)) -gt "$last_hour" ]; then
			last_hour=$((now_s / 3600))
			hour "$last_hour"
		fi
	done
	finish
}

uptime_s() { echo $(($(uptime_ms) / 1000)); }

# The schedule follows local time: from 6:00 to 12:00 the line has another level.
add_schedule() {
	cp "$WORK/router.uci" "$WORK/day.uci"
	cat >> "$WORK/day.uci" <<- 'END'

		config level 'saver'
			option upload '60'
			option download '60'

		config schedule
			option start '6:00'
			option stop '12:00'
			option level 'saver'
	END
}

# reload_settings: reloads with another billing day, which changes nothing on the line.
reload_settings() {
	RELOADS=$((${RELOADS:-0} + 1))
	sed "/^config millpond/a\\\toption billing_day '$((1 + RELOADS % 28))'" "$WORK/day.uci" > "$WORK/router.uci"
	at router "$MILLPOND" reload --socket "$WORK/router.sock" >> "$WORK/reload.log" 2>&1
}

# count_packets: counts the sensor's packets where they leave it and where they arrive in the Internet.
count_packets() {
	at dev-tuya-motion nft 'table ip count { counter sent { }; chain c { type filter hook output priority 0; udp dport 9 counter name sent; }; }'
	at internet nft 'table ip count { counter arrived { }; chain c { type filter hook input priority 0; udp dport 9 ip saddr 198.51.100.2 counter name arrived; }; }'
}

# counter PLACE NAME: prints the packets of a counter.
counter() { at "$1" nft list counter ip count "$2" | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }

# start_traffic: a sensor that sends every two seconds, and a camera that uploads for a minute in each half hour.
start_traffic() {
	(exec ip netns exec dev-tuya-motion sh -c "while :; do '$WORLD' flood --target 192.0.2.7:9 --rate 1 --bytes 120 --seconds 1; sleep 1; done") &
	TRAFFIC=($!)
	(exec ip netns exec dev-xiaomi-cam sh -c "while :; do '$WORLD' bulk --server 192.0.2.10:9000 --direction up --seconds 60 > /dev/null 2>&1; sleep 1740; done") &
	TRAFFIC+=($!)
}

# field WHO NAME: prints a number of the status.
field() { status_of "$1" | grep -oE "\"$2\":[0-9.]+" | head -1 | cut -d: -f2; }

# hour NUMBER: writes a line of hours.csv, and checks what must hold at any time.
hour() {
	local level problems
	level=$(status_of router | grep -oE '"level":"[a-z]*"' | cut -d'"' -f4)
	problems=$(status_of router | sed -n 's/.*"problems"://p' | { grep -oE '"code":"[^"]*"' || true; } | cut -d'"' -f4 | xargs)
	printf '%d,%d,%d,%d,%d,%d,%s\n' "$(uptime_s)" "$(anon router)" "$(anon endpoint)" "$(($(field router cells_data) + $(field router cells_cover)))" \
		"$(field router cells_received)" "$(field router cells_lost)" "$level" >> "$OUT/$SCENARIO/hours.csv"
	shaping || fail "hour $1: the router shapes"
	[ -z "$problems" ] || fail "hour $1: there are no problems" "$problems"
	[ "$level" = "$(expected_level)" ] || fail "hour $1: the schedule's level holds" "$level at $(date +%H:%M)"
	say "hour $1 ($(date +%H:%M)): level $level, $(tail -1 "$OUT/$SCENARIO/hours.csv")"
}

# anon WHO: prints the daemon's anonymous memory in KiB.
anon() { memory "$1" | grep -o '[0-9]*$'; }

# expected_level: prints the level that the schedule gives now, in local time.
expected_level() {
	local hour
	hour=$(date +%-H)
	if [ "$hour" -ge 6 ] && [ "$hour" -lt 12 ]; then echo saver; else echo custom; fi
}

# finish: stops the traffic, lets the queue run empty, and judges the day.
finish() {
	local sent arrived lost
	kill "${TRAFFIC[@]}"
	wait "${TRAFFIC[@]}" 2> /dev/null || true
	# The queue holds a packet for at most 10 s.
	sleep 30
	sent=$(counter dev-tuya-motion sent)
	arrived=$(counter internet arrived)
	lost=$(dropped)
	check "all $RELOADS reloads were accepted, at least $((HOURS * 3600 / RELOAD_EVERY_S))" [ "$RELOADS" -ge $((HOURS * 3600 / RELOAD_EVERY_S)) ]
	check "the sensor's packets arrive, or the queue counts them: $sent sent, $arrived arrived, $lost lost of all devices" \
		[ $((sent - arrived)) -le "$lost" ]
	check "no cell is lost" [ "$(field router cells_lost)" = 0 ]
	check "memory does not grow after the first hour" steady_memory
	check "the line keeps its rate all day" steady_rate
	check "no departure was missed" [ "$(missed_slots router)" = 0 ]
	check "the check of the wire passes" at router "$MILLPOND" audit --packets 600 --socket "$WORK/router.sock"
	if daemons_stop "$OUT/$SCENARIO"; then pass "both ends stop on SIGTERM"; else fail "both ends stop on SIGTERM"; fi
}

# dropped: prints the packets that the router's queue dropped.
dropped() {
	status_of router | grep -oE '"(overflow|aged)":[0-9]+' | awk -F: '{ sum += $2 } END { print sum + 0 }'
}

# steady_memory: whether neither daemon has grown since the first hour.
steady_memory() {
	awk -F, -v limit="$MAX_GROWTH_KB" '
		NR == 2 { router = $2; endpoint = $3 }
		{ last_router = $2; last_endpoint = $3 }
		END {
			printf "router %d to %d KiB, endpoint %d to %d KiB\n", router, last_router, endpoint, last_endpoint
			exit last_router - router > limit || last_endpoint - endpoint > limit
		}' "$OUT/$SCENARIO/hours.csv"
}

# steady_rate: whether the hours that began and ended with the same level carried as many cells as their level says: 508 bytes
# each, 40 kbit/s or 60.
steady_rate() {
	awk -F, -v limit="$MAX_DRIFT" '
		NR > 2 && $7 == level {
			cells += $4 - sent + $5 - received
			wanted += 2 * ($1 - at) * (level == "saver" ? 60000 : 40000) / 508 / 8
		}
		NR > 1 { at = $1; level = $7; sent = $4; received = $5 }
		END {
			drift = wanted ? (cells / wanted - 1) * 10000 : 10000
			printf "%d cells, %.2f %% from what the level says\n", cells, drift / 100
			exit drift > limit || drift < -limit
		}' "$OUT/$SCENARIO/hours.csv"
}
