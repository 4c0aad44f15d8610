# shellcheck shell=bash
# tests/kernel.rs: plan, apply and the system calls against a kernel that has all parts.

allowance() { echo 180; }

scenario() {
	local line log=$OUT/$SCENARIO/kernel.log status=0
	RUST_BACKTRACE=0 "$KERNEL_TEST" --test-threads=1 > "$log" 2>&1 || status=$?
	while read -r line; do
		case $line in
		test\ *\ ok) pass "$(cut -d' ' -f2 <<< "$line")" ;;
		test\ *\ FAILED) fail "$(cut -d' ' -f2 <<< "$line")" ;;
		esac
	done < "$log"
	[ "$status" -eq 0 ] || tail -20 "$log"
	[ "$status" -eq 0 ] || fail "tests/kernel.rs ends well" "status $status"
}
