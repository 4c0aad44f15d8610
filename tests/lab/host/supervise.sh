# shellcheck shell=bash
# Runs the world, shows what it says, and stops it when it hangs.

# supervise OUT SECONDS COMMAND...: what it says goes to the terminal and to OUT/console.log; returns the number that
# the world left in OUT/status, or 124 if it took longer than SECONDS or was silent for too long.
supervise() {
	local out=$1 seconds=$2 end hung='' pid
	shift 2
	: > "$out/console.log"
	end=$((SECONDS + seconds))
	"$@" <&0 > >(sed -u 's/\r//g' | tee "$out/console.log" | sed -u 's/^/  world| /') 2>&1 &
	pid=$!
	keep_time "$pid" &
	# shellcheck disable=SC2064 # this very process
	trap "kill -KILL $pid 2> /dev/null; kill ${MIPS_ROUTER-} 2> /dev/null" EXIT
	while kill -0 "$pid" 2> /dev/null; do
		sleep 0.5
		if [ "$SECONDS" -ge "$end" ]; then
			hung="it took longer than $seconds s"
		elif [ $(($(date +%s) - $(stat -c %Y "$out/console.log"))) -gt "$SILENCE" ]; then
			hung="it said nothing for $SILENCE s"
		else
			continue
		fi
		# "unshare" is deaf to anything softer; its namespaces end with it.
		kill "$pid"
		sleep 1
		kill -KILL "$pid" 2> /dev/null || true
		break
	done
	wait "$pid" || true
	trap - EXIT
	sleep 0.2
	if [ -n "$hung" ]; then
		last_words "stopped, for $hung" "$out"
		return 124
	fi
	if [ ! -s "$out/status" ]; then
		last_words "it ended without a status" "$out"
		return 1
	fi
	return "$(cat "$out/status")"
}

# keep_time PID: an emulator's first thread keeps its machine's timers. Were it to wait for the emulated processors, how busy
# they are would show in every timer, and be taken for a leak of the program under test. Namespaces have no such thread.
keep_time() {
	sleep 1
	case $(cat "/proc/$1/comm" 2> /dev/null) in
	qemu-*) chrt --reset-on-fork --fifo --pid 10 "$1" 2> /dev/null || say "real-time priority for the emulator's timers is not permitted here: they are less exact" ;;
	esac
}

last_words() {
	say "$1; the last that it said:"
	tail -15 "$2/console.log" | sed 's/^/    /'
}
