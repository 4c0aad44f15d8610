# shellcheck shell=bash
# Runs the world, shows its output, and stops it if it hangs.

# supervise OUT SECONDS COMMAND...: copies the output to the terminal, each line after OUTPUT_PREFIX, and to
# OUT/console.log. Returns the status that
# the world wrote to OUT/status, or 124 if it ran longer than SECONDS or was silent for more than MAX_QUIET_SECONDS.
supervise() {
	local out=$1 seconds=$2 end hung='' pid
	shift 2
	: > "$out/console.log"
	end=$((SECONDS + seconds))
	"$@" <&0 > >(sed -u 's/\r//g' | tee "$out/console.log" | sed -u "s/^/  ${OUTPUT_PREFIX:-world}| /") 2>&1 &
	pid=$!
	[ -n "${OUTPUT_PREFIX-}" ] || prioritise_timers "$pid" &
	# shellcheck disable=SC2064 # expanded now
	trap "kill -KILL $pid 2> /dev/null; kill ${MIPS_ROUTER-} 2> /dev/null" EXIT
	while kill -0 "$pid" 2> /dev/null; do
		sleep 0.5
		if [ "$SECONDS" -ge "$end" ]; then
			hung="it ran longer than $seconds s"
		elif [ $(($(date +%s) - $(stat -c %Y "$out/console.log"))) -gt "$MAX_QUIET_SECONDS" ]; then
			hung="it printed nothing for $MAX_QUIET_SECONDS s"
		else
			continue
		fi
		# "unshare" ignores SIGTERM; SIGKILL also ends its namespaces.
		kill "$pid"
		sleep 1
		kill -KILL "$pid" 2> /dev/null || true
		break
	done
	wait "$pid" || true
	trap - EXIT
	sleep 0.2
	if [ -n "$hung" ]; then
		show_console_end "stopped the world because $hung" "$out"
		return 124
	fi
	if [ ! -s "$out/status" ]; then
		show_console_end "the world ended without a status" "$out"
		return 1
	fi
	return "$(cat "$out/status")"
}

# prioritise_timers PID: gives real-time priority to the first thread of an emulator, which runs its machine's timers.
# If that thread waited for the emulated processors, their load would delay every timer and look like a leak of the
# program under test. Does nothing for other processes.
prioritise_timers() {
	sleep 1
	case $(cat "/proc/$1/comm" 2> /dev/null) in
	qemu-*) chrt --reset-on-fork --fifo --pid 10 "$1" 2> /dev/null || say "no permission for real-time priority: the emulator's timers are less exact" ;;
	esac
}

# show_console_end PROBLEM OUT: prints the problem and the end of the console.
show_console_end() {
	say "$1; end of its output:"
	tail -15 "$2/console.log" | sed 's/^/    /'
}
