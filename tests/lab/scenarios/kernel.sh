# shellcheck shell=bash
# Runs the tests of KERNEL_TESTS (plan, apply, the guard and the system calls) on a kernel with every feature.

allowance() { echo 1500; }

scenario() {
	local name
	for name in $KERNEL_TESTS; do
		run_tests "$name" "$KERNEL_TEST_DIR/$name"
	done
}

# run_tests NAME PROGRAM: runs a test program; each of its tests becomes a check, skipped ones a second one.
run_tests() {
	local line log=$OUT/$SCENARIO/$1.log status=0
	RUST_BACKTRACE=0 "$2" --test-threads=1 --show-output 2>&1 | tee "$log" | while read -r line; do
		case $line in
		test\ *\ ok) pass "$(cut -d' ' -f2 <<< "$line")" ;;
		skipped\ *) skip "$(cut -d' ' -f2 <<< "${line%%:*}")" "${line#*: }" ;;
		test\ *\ FAILED) fail "$(cut -d' ' -f2 <<< "$line")" ;;
		esac
	done
	status=${PIPESTATUS[0]}
	[ "$status" -eq 0 ] || tail -20 "$log"
	[ "$status" -eq 0 ] || fail "tests/$1.rs succeeds" "exit status $status"
}
