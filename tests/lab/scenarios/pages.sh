# shellcheck shell=bash
# The LuCI pages with a shaping daemon. This serves them to a browser on the host (host/pages.sh), which tests them and
# then creates OUT/pages/done.

allowance() { echo 600; }

readonly TALKERS=(xiaomi-cam tplink-plug echo)

scenario() {
	local dir=$WORK/luci server talk=()
	mkdir -p "$dir/config"
	ip address add 10.0.2.15/24 dev outside
	ip link set outside up
	settings endpoint gamma
	settings router gamma
	# The pages show levels and their data, so the router gets a level instead of the laboratory's rates.
	sed "s/option level 'custom'/option level 'balanced'/; /option \(upload\|download\|cell\) /d" "$WORK/router.uci" > "$dir/config/millpond"
	daemon_start endpoint
	node "$LAB/../luci/serve.mjs" "$MILLPOND" "$WORLD" router "$dir" 0.0.0.0 "$PAGES_PORT" "$PAGES_PASSWORD" > "$WORK/serve.log" 2>&1 &
	server=$!
	for device in "${TALKERS[@]}"; do
		talker "$device" &
		talk+=($!)
	done
	check "the pages are served" await 90 "the pages" grep -q serving "$WORK/serve.log"
	await_browser
	check "the browser tests complete" test -e "$OUT/$SCENARIO/done"
	kill "${talk[@]}" "$server" 2> /dev/null || true
	wait "${talk[@]}" "$server" || true
	cp "$dir/log" "$OUT/$SCENARIO/router.log"
	cat "$WORK/serve.log"
	kill -TERM "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" || true
}

# talker DEVICE: alternates between silence and bursts of pings.
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

# Waits up to nine minutes. Prints progress, because the host stops a silent guest.
await_browser() {
	local second
	for ((second = 1; second < 540; second++)); do
		[ ! -e "$OUT/$SCENARIO/done" ] || return 0
		sleep 1
		[ $((second % 60)) -ne 0 ] || say "the browser tests are running"
	done
}
