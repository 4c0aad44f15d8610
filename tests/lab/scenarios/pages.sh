# shellcheck shell=bash
# The pages for LuCI in front of a daemon that shapes: they are served from here to the host's browser, which tests them
# (host/pages.sh) until there is a file OUT/pages/done.

allowance() { echo 600; }

readonly TALKERS=(xiaomi-cam tplink-plug echo)

scenario() {
	local dir=$WORK/luci server talk=()
	mkdir -p "$dir/config"
	ip address add 10.0.2.15/24 dev outside
	ip link set outside up
	settings endpoint gamma
	settings router gamma
	# Levels and what they cost are a part of the pages: not the laboratory's own numbers.
	sed "s/option level 'custom'/option level 'balanced'/; /option \(upload\|download\|cell\) /d" "$WORK/router.uci" > "$dir/config/millpond"
	daemon_start endpoint
	node "$LAB/../luci/serve.mjs" "$MILLPOND" "$WORLD" router "$dir" 0.0.0.0 "$PAGES_PORT" "$PAGES_PASSWORD" > "$WORK/serve.log" 2>&1 &
	server=$!
	for device in "${TALKERS[@]}"; do
		talker "$device" &
		talk+=($!)
	done
	check "the pages are served" await 90 "the pages" grep -q serving "$WORK/serve.log"
	browser_ends
	check "the browser comes to an end" test -e "$OUT/$SCENARIO/done"
	kill "${talk[@]}" "$server" 2> /dev/null || true
	wait "${talk[@]}" "$server" || true
	cp "$dir/log" "$OUT/$SCENARIO/router.log"
	cat "$WORK/serve.log"
	kill -TERM "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" || true
}

# talker DEVICE: quiet, and then much at once, again and again.
talker() {
	local pings
	while :; do
		sleep $((4 + RANDOM % 6))
		pings=()
		for _ in 1 2 3; do
			at "dev-$1" timeout 20 busybox ping -c 3 -s 1200 192.0.2.7 > /dev/null 2>&1 &
			pings+=($!)
		done
		wait "${pings[@]}" || true
	done
}

# Waits nine minutes at most, and tells that it waits: nobody else says anything meanwhile.
browser_ends() {
	local second
	for ((second = 1; second < 540; second++)); do
		[ ! -e "$OUT/$SCENARIO/done" ] || return 0
		sleep 1
		[ $((second % 60)) -ne 0 ] || say "the browser is at work"
	done
}
