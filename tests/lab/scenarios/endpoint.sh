# shellcheck shell=bash
# An endpoint that is set up only with millpond's commands. Homes join by join texts. The line of one home must stay
# flat while others are added and removed and one sends garbage. The endpoint restarts, and a home fails over to another
# endpoint when its own is silent.

allowance() { echo $((2 * 2 * (WINDOW + 60) + 420)); }

readonly SPARE=100.64.9.2

scenario() {
	at_isp second 100.64.2
	at_isp spare 100.64.9
	init_endpoint spare "$SPARE"
	init_endpoint endpoint "$ENDPOINT" --backup "$SPARE:$TUNNEL_PORT $(public_key_of spare)"
	invalid_commands
	daemon_start endpoint
	await 20 "the endpoint's daemon" responds endpoint || true
	endpoint_order_is_random
	if ! join_first_home; then
		print_daemon_logs
		clean_up
		return
	fi
	join_second_home
	mkdir -p "$OUT/$SCENARIO/lines"
	measure_line busy
	measure_line idle
	check "homes are added and removed during the measurement" homes_changed
	restart_endpoint
	fail_over
	clean_up
}

# at_isp PLACE NETWORK: adds a place behind the provider, with the address NETWORK.2.
at_isp() {
	ip netns add "$1"
	ip link add wan netns "$1" type veth peer name "$1" netns isp
	configure_ns "$1" <<- END
		addr add $2.2/24 dev wan
		link set wan up
		route add default via $2.1
	END
	ip -n isp -batch - <<- END
		addr add $2.1/24 dev $1
		link set $1 up
	END
	# shellcheck disable=SC2016 # expanded by the inner shell
	at "$1" sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
}

millpond_at() { at "$1" timeout 90 "$MILLPOND" "${@:2}"; }

# init_endpoint PLACE ADDRESS ARGS...: writes its settings with "endpoint init".
init_endpoint() {
	local status=0
	# An earlier scenario of the same boot may have left one, which "endpoint init" refuses to overwrite.
	rm -f "$WORK/$1.uci"
	# --anyway: the guest loads modules from its initramfs, so the check for module files would fail.
	millpond_at "$1" endpoint init --host "$2" --resolver 192.0.2.53 --config "$WORK/$1.uci" --keys "$WORK/$1.keys" --no-start \
		--anyway "${@:3}" > "$WORK/$1.init" 2>&1 || status=$?
	check "endpoint init sets up the $1" [ "$status" -eq 0 ]
	check "endpoint init names the port to open at the $1" grep "UDP port $TUNNEL_PORT" "$WORK/$1.init"
}

public_key_of() { sed -n 's/^public key: //p' "$WORK/$1.init"; }

homes() { millpond_at endpoint endpoint "$1" --config "$WORK/endpoint.uci" --socket "$WORK/endpoint.sock" "${@:2}"; }
join() { millpond_at "$1" join --config "$WORK/$1.uci" --keys "$WORK/$1.keys" --socket "$WORK/$1.sock" "${@:2}"; }

# refused WORDS COMMAND...: whether the command fails with one line that contains the words.
refused() {
	local words=$1 output
	shift
	output=$("$@" 2>&1) && return 1
	echo "$output"
	[ "$(wc -l <<< "$output")" -eq 1 ] && grep -qF "$words" <<< "$output"
}

invalid_commands() {
	check "a second endpoint init is refused" refused "already has an endpoint's settings" init_again
	check "one key for two endpoints is refused" refused "two endpoints with one key" two_with_one_key
	check "refused commands do not change the settings" cmp "$WORK/endpoint.uci" "$WORK/endpoint.before"
}

init_again() {
	millpond_at endpoint endpoint init --host x.example.org --config "$WORK/endpoint.uci" --keys "$WORK/endpoint.keys" --no-start --anyway
}

two_with_one_key() {
	cp "$WORK/endpoint.uci" "$WORK/endpoint.before"
	sed "s|list backup .*|list backup '$SPARE:$TUNNEL_PORT $(public_key_of endpoint)'|" "$WORK/endpoint.before" > "$WORK/twice.uci"
	millpond_at endpoint endpoint add-home twice --config "$WORK/twice.uci" --socket "$WORK/no.sock"
}

# responds PLACE: whether the daemon answers a status request.
responds() { status_of "$1" | grep -o '"state":"[a-z]*"'; }

# Each join text has the endpoints in a random order, so that many homes spread over all endpoints.
endpoint_order_is_random() {
	local first='' try
	: > "$WORK/orders"
	for try in 1 2 3 4 5 6 7 8 9 10 11 12; do
		homes add-home "guest $try" > "$WORK/guest.text" 2> /dev/null
		settings_main router gamma > "$WORK/guest.uci"
		at router "$MILLPOND" join --dry-run --config "$WORK/guest.uci" --keys "$WORK/guest.keys" < "$WORK/guest.text" |
			grep -o "tunnel.endpoint='[^']*'" >> "$WORK/orders"
		homes remove-home "guest $try" > /dev/null 2>&1
	done
	first=$(sort "$WORK/orders" | uniq -c)
	check "each home gets the endpoints in a random order (${first//$'\n'/; })" [ "$(wc -l <<< "$first")" -eq 2 ]
}

# A router with devices and without a tunnel joins by a join text.
join_first_home() {
	local device name mac status=0
	settings_main router gamma > "$WORK/router.uci"
	# shellcheck disable=SC2153 # set by topology.sh
	for device in "${DEVICES[@]}"; do
		read -r name mac _ <<< "$device"
		printf "\nconfig device\n\toption name '%s'\n\toption mac '%s'\n\toption policy 'shape'\n" "$name" "$mac"
	done >> "$WORK/router.uci"
	chmod 600 "$WORK/router.uci"
	cp "$WORK/router.uci" "$WORK/router.bare"
	daemon_start router
	await 20 "the router's daemon" responds router || true
	homes add-home "maple street" > "$WORK/first.text" 2> "$WORK/first.said"
	check "add-home prints the join text as one line" [ "$(wc -l < "$WORK/first.text")" -eq 1 ]
	check "a second home with the same name is refused" refused "a home with this name exists" homes add-home "maple street"
	cut -c 1-60 "$WORK/first.text" > "$WORK/cut.text"
	check "a truncated join text is refused" refused "join text" join router < "$WORK/cut.text"
	check "a refused join text changes nothing" cmp "$WORK/router.uci" "$WORK/router.bare"
	join router < "$WORK/first.text" > "$WORK/first.joined" 2>&1 || status=$?
	check "the router joins and receives cells: $(tail -1 "$WORK/first.joined")" [ "$status" -eq 0 ]
	# Leaves one endpoint in the settings, because the judge expects a line to one address.
	sed -i "/list backup/d; s|option endpoint .*|option endpoint '$ENDPOINT:$TUNNEL_PORT'|
		s|option public_key .*|option public_key '$(public_key_of endpoint)'|" "$WORK/router.uci"
	at router "$MILLPOND" reload --socket "$WORK/router.sock" > "$WORK/reload.said" 2>&1 || true
	sleep 3
	check "the router shapes with one endpoint" await 60 "the router's state \"shaping\"" shaping
	check "the endpoint stores the router's own key" await 30 "the router's own key" known_by_own_key
	check "the router shapes with its own key" await 30 "the router's state \"shaping\"" shaping
	# Restarts both, so that cells lost during the change of keys do not count in the measurements.
	kill "${DAEMON[router]}" "${DAEMON[endpoint]}"
	wait "${DAEMON[router]}" "${DAEMON[endpoint]}" || true
	daemon_start endpoint
	daemon_start router
	check "both use that key after a restart" await 20 "the router's state \"shaping\"" shaping
	check "the router does not try the join text's key" not_in "trying the join text's" "$WORK/router.log"
	reuse_join_text
	expire_join_text
}

known_by_own_key() {
	grep -qF "option public_key '$(wg pubkey < "$(private_key_file router)")'" "$WORK/endpoint.uci" &&
		not_in join_until "$WORK/endpoint.uci"
}

# Another router tries the same join text.
reuse_join_text() {
	local status=0
	settings_main router gamma > "$WORK/second.uci"
	chmod 600 "$WORK/second.uci"
	daemon_start second
	await 20 "the second router's daemon" responds second || true
	join second --wait 45 < "$WORK/first.text" > "$WORK/second.joined" 2>&1 || status=$?
	check "a used join text does not work for another router: $(tail -1 "$WORK/second.joined")" [ "$status" -eq 69 ]
	check "the first router keeps shaping" shaping
	check "the endpoint keeps the first router's key" known_by_own_key
	kill "${DAEMON[second]}"
	wait "${DAEMON[second]}" || true
	rm "$WORK/second.uci"
}

# A join text that no router uses in time expires.
expire_join_text() {
	homes add-home late > /dev/null 2>&1
	sed -i "s|option join_until .*|option join_until '1750000000'|" "$WORK/endpoint.uci"
	at endpoint "$MILLPOND" reload --socket "$WORK/endpoint.sock" > /dev/null 2>&1 || true
	check "an unused join text expires" await 20 "the join text to expire" not_in join_until "$WORK/endpoint.uci"
	check "the log names the expired join text" await 5 "the log line" grep -F "expired unused" "$WORK/endpoint.log"
	homes remove-home late > /dev/null 2>&1 || true
}

# The second router makes its own key and tells the endpoint only the public key.
join_second_home() {
	local key status=0
	settings_main router gamma > "$WORK/second.uci"
	chmod 600 "$WORK/second.uci"
	key=$(join second --make-key)
	homes add-home "oak street" --public-key "$key" > "$WORK/second.text" 2> /dev/null
	join second < "$WORK/second.text" > "$WORK/second.joined" 2>&1 || status=$?
	check "another home joins with its own key" [ "$status" -eq 0 ]
	check "the endpoint does not know that private key" not_in "$(cat "$(private_key_file second)")" "$WORK/endpoint.uci" "$WORK/second.text"
	sed -i "/list backup/d; s|option endpoint .*|option endpoint '$ENDPOINT:$TUNNEL_PORT'|
		s|option public_key .*|option public_key '$(public_key_of endpoint)'|" "$WORK/second.uci"
	daemon_start second
	check "both homes shape" await 60 "the second home's state \"shaping\"" second_shapes
	check "list-homes lists both homes" [ "$(homes_listed)" = "maple street,oak street," ]
}

private_key_file() { sed -n "s/.*option private_key '\(.*\)'/\1/p" "$WORK/$1.uci"; }
not_in() { ! grep -qF "$1" "${@:2}"; }
second_shapes() { status_of second | grep -o '"state":"shaping"'; }

homes_listed() {
	millpond_at endpoint endpoint list-homes --json --config "$WORK/endpoint.uci" | grep -o '"name":"[^"]*"' | cut -d'"' -f4 | tr '\n' ','
}

# measure_line LOAD: measures the first home's line while other homes are added, removed and send garbage.
measure_line() {
	local devices=() try dir=$OUT/$SCENARIO/lines/gamma-$1
	[ "$1" = idle ] || mapfile -t devices < <(replayed_devices)
	for try in 1 2 3; do
		measure "$dir" gamma "$1" 508 "$WINDOW" with_changing_homes "${devices[@]}"
		machine_stalled "$dir" || break
		[ "$try" = 3 ] || say "endpoint $1: the machine stalled during the window; measuring again"
	done
}

# with_changing_homes open|close|drained DIR: the hook of measure that changes homes during the window.
with_changing_homes() {
	with_daemon "$@"
	case $1 in
	open)
		change_homes > "$WORK/changes.log" 2>&1 &
		CHANGES=$!
		;;
	drained)
		kill "$CHANGES" 2> /dev/null || true
		wait "$CHANGES" || true
		homes remove-home visitor > /dev/null 2>&1 || true
		;;
	esac
}

# Keeps adding and removing a home, while the second home sends datagrams that are not valid cells.
change_homes() {
	local size
	while :; do
		homes add-home visitor
		for size in 1 40 507 508 509 1400; do
			head -c "$size" /dev/urandom | at second busybox timeout 1 busybox nc -u -w 1 10.77.0.1 9347 || true
		done
		homes remove-home visitor
	done
}

homes_changed() {
	local times
	times=$(grep -c "^removed" "$WORK/changes.log" || true)
	echo "$times times"
	[ "$times" -ge 2 ] && shaping && second_shapes
}

restart_endpoint() {
	local begin
	kill -KILL "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" 2> /dev/null || true
	await 10 'the state "degraded"' degraded || true
	check "without its endpoint a home is degraded" degraded
	daemon_start endpoint
	await 20 "the endpoint's daemon" responds endpoint || true
	begin=$(now_ms)
	await 30 "both homes to shape" both_shape || true
	check "both homes shape within 10 s after a restart of the endpoint: $(($(now_ms) - begin)) ms" [ $(($(now_ms) - begin)) -le 10000 ]
}

degraded() { status_of router | grep -o '"state":"degraded"'; }
both_shape() { shaping && second_shapes; }

# The spare endpoint has the same homes in its settings; the two endpoints share nothing else.
fail_over() {
	sed -n '/^config home/,$p' "$WORK/endpoint.uci" >> "$WORK/spare.uci"
	daemon_start spare
	await 20 "the spare endpoint's daemon" responds spare || true
	sed -i "s|option endpoint .*|&\n\tlist backup '$SPARE:$TUNNEL_PORT $(public_key_of spare)'|" "$WORK/router.uci"
	check "a reload adds a backup endpoint" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	check "the home keeps its endpoint" uses "$ENDPOINT"
	ip -n endpoint link set uplink down
	check "the home switches to the backup when its endpoint is silent" await 75 "cells from the spare" shapes_with "$SPARE"
	check "devices reach the Internet through the backup" at dev-echo busybox ping -c 3 -W 5 192.0.2.7
	check "a reload of the same settings succeeds" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	sleep 3
	check "a reload of the same settings keeps the endpoint" shapes_with "$SPARE"
	ip -n endpoint link set uplink up
	ip -n endpoint route replace default via "${ENDPOINT%.*}.1"
	ip -n spare link set wan down
	check "the home switches back when the backup is silent" await 75 "cells from the first" shapes_with "$ENDPOINT"
}

uses() { at router wg show mpwg0 endpoints | grep -F "$1:"; }
shapes_with() { uses "$1" && shaping; }

# Stops all daemons and saves their logs.
clean_up() {
	local who
	for who in router second endpoint spare; do
		kill "${DAEMON[$who]}" 2> /dev/null || true
	done
	for who in router second endpoint spare; do
		wait "${DAEMON[$who]}" 2> /dev/null || true
		cp "$WORK/$who.log" "$WORK/$who".{init,joined} "$WORK/changes.log" "$OUT/$SCENARIO/" 2> /dev/null || true
	done
	ip netns del second
	ip netns del spare
}
