# shellcheck shell=bash
# Output of scenarios: progress on the terminal, verdicts on the terminal and in OUT/SCENARIO/checks.

# say TEXT: prints progress, with the seconds since the start, which setting the clock does not change.
say() {
	local ms=$(($(uptime_ms) - START_MS))
	printf '[%4d.%d s] %s\n' $((ms / 1000)) $((ms / 100 % 10)) "$*"
}

pass() { verdict PASS "$@"; }
fail() { verdict FAIL "$@"; }
skip() { verdict SKIP "$@"; }

# verdict PASS|FAIL|SKIP NAME [TEXT]
verdict() {
	printf '%s %s: %s%s\n' "$1" "$SCENARIO" "$2" "${3:+ ($3)}"
	printf '%s\t%s\t%s\n' "$1" "$2" "${3-}" >> "$OUT/$SCENARIO/checks"
}

# check NAME COMMAND...: passes if the command succeeds; the verdict includes the last line of its output.
check() {
	local name=$1 text
	shift
	if text=$("$@" 2>&1 | tail -1); then
		pass "$name" "$text"
	else
		fail "$name" "$text"
	fi
}

# await SECONDS WHAT COMMAND...: waits until the command succeeds; after SECONDS it prints WHAT, and the last line that
# the command printed, and fails.
await() {
	local seconds=$1 what=$2 end
	shift 2
	end=$(($(uptime_ms) + seconds * 1000))
	until "$@" > "$WORK/awaited" 2>&1; do
		if [ "$(uptime_ms)" -ge "$end" ]; then
			say "timed out after $seconds s waiting for $what; at last: $(tail -n 1 "$WORK/awaited")"
			return 1
		fi
		sleep 0.2
	done
}

# uptime_ms: prints milliseconds since the boot, which setting the clock does not change.
uptime_ms() {
	local up
	read -r up _ < /proc/uptime
	echo "${up/./}0"
}

now_ns() { date +%s%N; }

# sleep_until NS: sleeps until that time, as now_ns counts it.
sleep_until() {
	local left=$((($1 - $(now_ns)) / 1000000))
	[ "$left" -le 0 ] || sleep "$((left / 1000)).$(printf %03d $((left % 1000)))"
}

START_MS=$(uptime_ms)
readonly START_MS
