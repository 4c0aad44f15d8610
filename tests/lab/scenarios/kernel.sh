# shellcheck shell=bash
# Runs tests/kernel.rs and tests/guard.rs (plan, apply, the guard and the system calls) on a kernel with every feature.

allowance() { echo 240; }

scenario() {
	run_tests kernel "$KERNEL_TEST"
	run_tests guard "$GUARD_TEST"
}

# run_tests NAME PROGRAM: runs a test program; each of its tests becomes a check.
run_tests() {
	local line log=$OUT/$SCENARIO/$1.log status=0
	RUST_BACKTRACE=0 "$2" --test-threads=1 2>&1 | tee "$log" | while read -r line; do
		case $line in
		test\ *\ ok) pass "$(cut -d' ' -f2 <<< "$line")" ;;
		test\ *\ FAILED) fail "$(cut -d' ' -f2 <<< "$line")" ;;
		esac
	done
	status=${PIPESTATUS[0]}
	[ "$status" -eq 0 ] || tail -20 "$log"
	[ "$status" -eq 0 ] || fail "tests/$1.rs succeeds" "exit status $status"
}
