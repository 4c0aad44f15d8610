# shellcheck shell=bash
# An endpoint from nothing, by its own commands: homes join by their texts, come and go beside a home whose line stays as
# flat as ever, one of them floods it with rubbish, the endpoint starts again, and a home whose endpoint is silent goes to another.

allowance() { echo $((2 * 2 * (WINDOW + 60) + 420)); }

readonly SPARE=100.64.9.2

scenario() {
	at_isp second 100.64.2
	at_isp spare 100.64.9
	set_up spare "$SPARE"
	set_up endpoint "$ENDPOINT" --backup "$SPARE:$TUNNEL_PORT $(public_key_of spare)"
	bad_beginnings
	daemon_start endpoint
	await 20 "the endpoint" answers endpoint || true
	order_is_drawn
	if ! first_home; then
		daemon_words
		ended
		return
	fi
	second_home
	mkdir -p "$OUT/$SCENARIO/lines"
	flat busy
	flat idle
	check "meanwhile a home came and went" others_came
	restarted
	moved
	ended
}

# at_isp PLACE NETWORK: a place of its own at the provider, at NETWORK.2.
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
	# shellcheck disable=SC2016 # for the inner shell
	at "$1" sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
}

millpond_at() { at "$1" timeout 90 "$MILLPOND" "${@:2}"; }

# set_up PLACE ADDRESS ARGS...: its settings from nothing.
set_up() {
	local said=0
	# The guest's modules are its initial RAM disk's, and where they come from is not asked again.
	millpond_at "$1" endpoint init --host "$2" --resolver 192.0.2.53 --config "$WORK/$1.uci" --keys "$WORK/$1.keys" --no-start \
		--anyway "${@:3}" > "$WORK/$1.init" 2>&1 || said=$?
	check "the $1 is set up by one command" [ "$said" -eq 0 ]
	check "and says which port to open" grep "UDP port $TUNNEL_PORT" "$WORK/$1.init"
}

public_key_of() { sed -n 's/^public key: //p' "$WORK/$1.init"; }

homes() { millpond_at endpoint endpoint "$1" --config "$WORK/endpoint.uci" --socket "$WORK/endpoint.sock" "${@:2}"; }
join() { millpond_at "$1" join --config "$WORK/$1.uci" --keys "$WORK/$1.keys" --socket "$WORK/$1.sock" "${@:2}"; }

# refused WORDS COMMAND...: in one line that has these words.
refused() {
	local words=$1 said
	shift
	said=$("$@" 2>&1) && return 1
	echo "$said"
	[ "$(wc -l <<< "$said")" -eq 1 ] && grep -qF "$words" <<< "$said"
}

bad_beginnings() {
	check "a second time it is refused" refused "an endpoint's already" set_up_again
	check "one key for two endpoints is refused" refused "two endpoints with one key" two_with_one_key
	check "and nothing is half-configured" cmp "$WORK/endpoint.uci" "$WORK/endpoint.before"
}

set_up_again() {
	millpond_at endpoint endpoint init --host x.example.org --config "$WORK/endpoint.uci" --keys "$WORK/endpoint.keys" --no-start --anyway
}

two_with_one_key() {
	cp "$WORK/endpoint.uci" "$WORK/endpoint.before"
	sed "s|list backup .*|list backup '$SPARE:$TUNNEL_PORT $(public_key_of endpoint)'|" "$WORK/endpoint.before" > "$WORK/twice.uci"
	millpond_at endpoint endpoint add-home twice --config "$WORK/twice.uci" --socket "$WORK/no.sock"
}

answers() { status_of "$1" | grep -o '"state":"[a-z]*"'; }

# Each home's text has the endpoints in an order of its own, so that many homes spread over all.
order_is_drawn() {
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
	check "the order of endpoints is drawn for each home (${first//$'\n'/; })" [ "$(wc -l <<< "$first")" -eq 2 ]
}

# The router has devices, and no tunnel yet.
first_home() {
	local device name mac joined=0
	settings_main router gamma > "$WORK/router.uci"
	# shellcheck disable=SC2153 # the topology's
	for device in "${DEVICES[@]}"; do
		read -r name mac _ <<< "$device"
		printf "\nconfig device\n\toption name '%s'\n\toption mac '%s'\n\toption policy 'shape'\n" "$name" "$mac"
	done >> "$WORK/router.uci"
	chmod 600 "$WORK/router.uci"
	cp "$WORK/router.uci" "$WORK/router.bare"
	daemon_start router
	await 20 "the router" answers router || true
	homes add-home "maple street" > "$WORK/first.text" 2> "$WORK/first.said"
	check "a home is added with one command, and its text is one line" [ "$(wc -l < "$WORK/first.text")" -eq 1 ]
	check "its name is taken then" refused "there is one of that name" homes add-home "maple street"
	cut -c 1-60 "$WORK/first.text" > "$WORK/cut.text"
	check "a text that was cut is refused" refused "join text" join router < "$WORK/cut.text"
	check "and changes nothing" cmp "$WORK/router.uci" "$WORK/router.bare"
	join router < "$WORK/first.text" > "$WORK/first.joined" 2>&1 || joined=$?
	check "its router joins with that line, and cells come: $(tail -1 "$WORK/first.joined")" [ "$joined" -eq 0 ]
	# What follows is judged at the provider as a line to one address.
	sed -i "/list backup/d; s|option endpoint .*|option endpoint '$ENDPOINT:$TUNNEL_PORT'|
		s|option public_key .*|option public_key '$(public_key_of endpoint)'|" "$WORK/router.uci"
	at router "$MILLPOND" reload --socket "$WORK/router.sock" > "$WORK/reload.said" 2>&1 || true
	sleep 3
	check "at the first endpoint" await 60 "the router's state \"shaping\"" shaping
	check "which from then on knows it by a key that no text has brought" await 30 "the router's own key" known_by_own_key
	check "by which cells come" await 30 "the router's state \"shaping\"" shaping
	# Both anew: what was lost while the keys changed is not the windows' below.
	kill "${DAEMON[router]}" "${DAEMON[endpoint]}"
	wait "${DAEMON[router]}" "${DAEMON[endpoint]}" || true
	daemon_start endpoint
	daemon_start router
	check "both begin with that key when they start again" await 20 "the router's state \"shaping\"" shaping
	check "and needs no other" not_in "trying the join text's" "$WORK/router.log"
	used_twice
	expired
}

known_by_own_key() {
	grep -qF "option public_key '$(wg pubkey < "$(private_key_file router)")'" "$WORK/endpoint.uci" &&
		not_in join_until "$WORK/endpoint.uci"
}

# Another router comes with a text that was used.
used_twice() {
	local said=0
	settings_main router gamma > "$WORK/second.uci"
	chmod 600 "$WORK/second.uci"
	daemon_start second
	await 20 "the second router" answers second || true
	join second --wait 45 < "$WORK/first.text" > "$WORK/second.joined" 2>&1 || said=$?
	check "a text that was used is of no use to another router: $(tail -1 "$WORK/second.joined")" [ "$said" -eq 69 ]
	check "and its home goes on" shaping
	check "and knows no other key" known_by_own_key
	kill "${DAEMON[second]}"
	wait "${DAEMON[second]}" || true
	rm "$WORK/second.uci"
}

# Nobody comes with a text in time.
expired() {
	homes add-home late > /dev/null 2>&1
	sed -i "s|option join_until .*|option join_until '1750000000'|" "$WORK/endpoint.uci"
	at endpoint "$MILLPOND" reload --socket "$WORK/endpoint.sock" > /dev/null 2>&1 || true
	check "a text that nobody has used in time is ended" await 20 "the text's end" not_in join_until "$WORK/endpoint.uci"
	check "and said so" await 5 "the daemon's log" grep -F "expired unused" "$WORK/endpoint.log"
	homes remove-home late > /dev/null 2>&1 || true
}

# Its key never leaves it: only the public halves are exchanged.
second_home() {
	local key joined=0
	settings_main router gamma > "$WORK/second.uci"
	chmod 600 "$WORK/second.uci"
	key=$(join second --make-key)
	homes add-home "oak street" --public-key "$key" > "$WORK/second.text" 2> /dev/null
	join second < "$WORK/second.text" > "$WORK/second.joined" 2>&1 || joined=$?
	check "another home joins with a key of its own" [ "$joined" -eq 0 ]
	check "of which the endpoint knows the public half alone" not_in "$(cat "$(private_key_file second)")" "$WORK/endpoint.uci" "$WORK/second.text"
	sed -i "/list backup/d; s|option endpoint .*|option endpoint '$ENDPOINT:$TUNNEL_PORT'|
		s|option public_key .*|option public_key '$(public_key_of endpoint)'|" "$WORK/second.uci"
	daemon_start second
	check "and shapes beside the first" await 60 "the second home" second_shapes
	check "both are listed" [ "$(homes_listed)" = "maple street,oak street," ]
}

private_key_file() { sed -n "s/.*option private_key '\(.*\)'/\1/p" "$WORK/$1.uci"; }
not_in() { ! grep -qF "$1" "${@:2}"; }
second_shapes() { status_of second | grep -o '"state":"shaping"'; }

homes_listed() {
	millpond_at endpoint endpoint list-homes --json --config "$WORK/endpoint.uci" | grep -o '"name":"[^"]*"' | cut -d'"' -f4 | tr '\n' ','
}

# flat LOAD: a window of the first home's line while others come, go and misbehave.
flat() {
	local devices=() try dir=$OUT/$SCENARIO/lines/gamma-$1
	[ "$1" = idle ] || mapfile -t devices < <(replayed_devices)
	for try in 1 2 3; do
		measure "$dir" gamma "$1" 508 "$WINDOW" beside_others "${devices[@]}"
		stood_still "$dir" || break
		[ "$try" = 3 ] || say "endpoint $1: the machine itself stood still for part of the window; once more"
	done
}

# beside_others open|close|drained DIR
beside_others() {
	with_daemon "$@"
	case $1 in
	open)
		come_and_go > "$WORK/coming.log" 2>&1 &
		COMING=$!
		;;
	drained)
		kill "$COMING" 2> /dev/null || true
		wait "$COMING" || true
		homes remove-home visitor > /dev/null 2>&1 || true
		;;
	esac
}

# A home is added and removed all the time, and the second one sends what is no cell.
come_and_go() {
	local size
	while :; do
		homes add-home visitor
		for size in 1 40 507 508 509 1400; do
			head -c "$size" /dev/urandom | at second busybox timeout 1 busybox nc -u -w 1 10.77.0.1 9347 || true
		done
		homes remove-home visitor
	done
}

others_came() {
	local came
	came=$(grep -c "^removed" "$WORK/coming.log" || true)
	echo "$came times"
	[ "$came" -ge 2 ] && shaping && second_shapes
}

restarted() {
	local begin
	kill -KILL "${DAEMON[endpoint]}"
	wait "${DAEMON[endpoint]}" 2> /dev/null || true
	await 10 'the state "degraded"' degraded || true
	check "without the endpoint its homes are degraded" degraded
	daemon_start endpoint
	await 20 "the endpoint" answers endpoint || true
	begin=$(now_ms)
	await 30 "both homes" both_shape || true
	check "started again it has both homes back within 10 s: $(($(now_ms) - begin)) ms" [ $(($(now_ms) - begin)) -le 10000 ]
}

degraded() { status_of router | grep -o '"state":"degraded"'; }
both_shape() { shaping && second_shapes; }

# The spare knows the homes, and nothing else of the first.
moved() {
	sed -n '/^config home/,$p' "$WORK/endpoint.uci" >> "$WORK/spare.uci"
	daemon_start spare
	await 20 "the spare endpoint" answers spare || true
	sed -i "s|option endpoint .*|&\n\tlist backup '$SPARE:$TUNNEL_PORT $(public_key_of spare)'|" "$WORK/router.uci"
	check "the home learns of another endpoint" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	check "and stays where it is" goes_by "$ENDPOINT"
	ip -n endpoint link set uplink down
	check "when its endpoint is silent, it goes to the other" await 75 "cells from the spare" moved_to "$SPARE"
	check "by which its devices reach the Internet" at dev-echo busybox ping -c 3 -W 5 192.0.2.7
	check "a reload of the same settings leaves it there" at router "$MILLPOND" reload --socket "$WORK/router.sock"
	sleep 3
	check "indeed" moved_to "$SPARE"
	ip -n endpoint link set uplink up
	ip -n endpoint route replace default via "${ENDPOINT%.*}.1"
	ip -n spare link set wan down
	check "and back, when that one is silent" await 75 "cells from the first" moved_to "$ENDPOINT"
}

goes_by() { at router wg show mpwg0 endpoints | grep -F "$1:"; }
moved_to() { goes_by "$1" && shaping; }

ended() {
	local who
	for who in router second endpoint spare; do
		kill "${DAEMON[$who]}" 2> /dev/null || true
	done
	for who in router second endpoint spare; do
		wait "${DAEMON[$who]}" 2> /dev/null || true
		cp "$WORK/$who.log" "$WORK/$who".{init,joined} "$WORK/coming.log" "$OUT/$SCENARIO/" 2> /dev/null || true
	done
	ip netns del second
	ip netns del spare
}
