# shellcheck shell=bash
# Scenarios in virtual time: each in a guest of its own with one processor, whose clock counts instructions and jumps
# over idleness. As many guests run side by side as this machine has processors and memory for.

# An instruction takes 2^SHIFT ns.
declare -rA SHIFT_OF=([24kc]=2 [arm]=1 [x86]=0)
readonly GUEST_MIB=1536
# A host may take this many seconds for one of the world, and for the boot.
readonly HOST_SECONDS=8 BOOT_SECONDS=300
# Gives real-time priority to the first thread of a program.
readonly REAL_TIME=(chrt --reset-on-fork --fifo 10)

# run_virtual: runs SCENARIOS, those with the longest allowances first, and then REPEATED, if it is set, once more.
run_virtual() {
	local scenario lanes pids=() status=0
	LOCKS=$(mktemp -d)
	prepare_kernel "$OUT/guest-kernel"
	prepare_root "$OUT/guest-root"
	prepare_traces
	prepare_programs
	COMMON_ARCHIVE=$OUT/guest-root/common.cpio
	pack_common "$COMMON_ARCHIVE"
	counts_instructions || die "this QEMU cannot count instructions ($(qemu-system-x86_64 --version | head -1)); install one with TCG, as Debian's qemu-system-x86, or choose --realtime"
	lanes=$(lanes) || exit
	# shellcheck disable=SC2034 # read by supervise
	MAX_QUIET_SECONDS=1200
	say "virtual time, $SPEED: an instruction takes $((1 << SHIFT_OF[$SPEED])) ns; each measurement takes $WINDOW s; at most $lanes scenarios side by side"
	for scenario in $(longest_first); do
		await_lane "$lanes"
		run_virtual_scenario "$scenario" &
		pids+=($!)
	done
	if [ -n "$REPEATED" ]; then
		await_lane "$lanes"
		run_virtual_scenario "$REPEATED" again &
		pids+=($!)
	fi
	for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
	rm -r "$LOCKS"
	[ -z "$REPEATED" ] || compare_runs "$REPEATED"
	return "$status"
}

# world_date_of SCENARIO: prints when the world's clock starts. It is fixed, because a run must not depend on the day.
world_date_of() (
	world_date() { echo 2026-01-01T00:00:00; }
	# shellcheck source=/dev/null
	. "$LAB/scenarios/$1.sh"
	world_date
)

# await_lane LANES: waits until fewer guests run.
await_lane() { [ "$(jobs -pr | wc -l)" -lt "$1" ] || wait -n || true; }

# compare_runs SCENARIO: checks that the scenario's second run, in OUT/again, left the same files as the first.
compare_runs() {
	local difference result=PASS detail
	detail="the second run left $(find "$OUT/again" -type f | wc -l) files, all as the first"
	if ! difference=$(diff -r -x initramfs -I 'reboot: Power down' "$OUT/$1" "$OUT/again" 2>&1); then
		result=FAIL detail=$(head -1 <<< "$difference")
		can_have_real_time_priority || result=SKIP detail="two runs differ, as they may without permission for real-time priority"
	fi
	printf '%s\tthe same seed gives the same run\t%s\n' "$result" "$detail" >> "$OUT/$1/checks"
}

longest_first() {
	local scenario
	for scenario in "${SCENARIOS[@]}"; do echo "$(allowance_of "$scenario") $scenario"; done | sort -k1,1nr -s | cut -d' ' -f2
}

# counts_instructions: whether QEMU can derive the clock from counted instructions.
counts_instructions() {
	timeout 10 qemu-system-x86_64 -M none -accel tcg,thread=single -icount shift=1,sleep=off,align=off -display none \
		-monitor stdio <<< quit > /dev/null 2>&1
}

# lanes: prints how many guests may run side by side.
lanes() {
	local available fit
	available=$(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
	fit=$((available / GUEST_MIB))
	[ "$fit" -gt 0 ] || die "a guest needs $GUEST_MIB MiB of memory for its root, and $available MiB are free; close other programs, or choose --realtime"
	if [ -n "${LAB_LANES-}" ]; then
		[[ $LAB_LANES =~ ^[1-9][0-9]*$ ]] || die "LAB_LANES='$LAB_LANES' is no number of scenarios"
		echo "$LAB_LANES"
	else
		echo $((fit < $(nproc) ? fit : $(nproc)))
	fi
}

# run_virtual_scenario SCENARIO [FOLDER]: runs it in a guest. Whatever happens, the folder in OUT (by default of the
# scenario's name) has the console's log, and the results if the guest could still copy them.
run_virtual_scenario() {
	local scenario=$1 dir=$OUT/${2:-$1} allowed options status=0
	take_processor
	# shellcheck disable=SC2034 # read by print_request
	SCENARIOS=("$scenario")
	allowed=$(allowance_of "$scenario")
	options=$(kernel_options_of "$scenario")
	CLOCK=virtual print_request 0 '' "$scenario" > "$dir/request"
	pack_scenario "$scenario" "$dir"
	# The compressed archive comes last: the kernel wants the others at addresses that four divides.
	cat "$ROOT_ARCHIVE" "$COMMON_ARCHIVE" "$dir/scenario.cpio" "$INITRD" > "$dir/initramfs"
	rm "$dir/scenario.cpio"
	OUTPUT_PREFIX=${dir##*/} supervise "$dir" $((allowed * HOST_SECONDS + BOOT_SECONDS)) \
		"${ON_PROCESSOR[@]}" qemu-system-x86_64 -M q35 -accel tcg,thread=single -icount "shift=${SHIFT_OF[$SPEED]},sleep=off,align=off" \
		-cpu max,-rdrand,-rdseed -smp 1 -m "$GUEST_MIB" -seed "$SEED" -rtc "base=$(world_date_of "$scenario"),clock=vm" -nic none \
		-no-reboot -display none -monitor none -serial stdio -kernel "$KERNEL" -initrd "$dir/initramfs" \
		-append "console=ttyS0 loglevel=4 panic=-1 tsc=reliable mitigations=off $options lab.main=$LAB/guest/main lab.out=$OUT lab.results=$OUT/$scenario" \
		-virtfs "local,path=$dir,mount_tag=out,security_model=none,multidevs=remap" < /dev/null || status=$?
	rm -f "$dir/initramfs"
	[ "$status" -eq 0 ] ||
		printf 'FAIL\truns to its end\tstatus %s; see target/lab/%s/console.log\n' "$status" "$scenario" >> "$dir/checks"
	return "$status"
}

# take_processor: sets ON_PROCESSOR to the command that runs a guest on one of this machine's processors, if possible one
# that no other guest has until this shell ends.
# QEMU's first thread moves the clock over idleness, the second one is the guest's processor. Side by side, the first can
# move the clock after the second has halted and before it has counted its last instructions, and the clock goes too far
# (QEMU 7.2, icount_start_warp_timer). On one processor, and with the priority to interrupt the second, it cannot.
take_processor() {
	local processors processor free lock
	mapfile -t processors < <(processors)
	processor=${processors[BASHPID % ${#processors[@]}]}
	for free in "${processors[@]}"; do
		exec {lock}> "$LOCKS/$free"
		if flock --nonblock "$lock"; then
			processor=$free
			break
		fi
		exec {lock}>&-
	done
	ON_PROCESSOR=(taskset --cpu-list "$processor")
	! can_have_real_time_priority || ON_PROCESSOR+=("${REAL_TIME[@]}")
}

can_have_real_time_priority() { "${REAL_TIME[@]}" true 2> /dev/null; }

# Prints the numbers of the processors that this process may use, one per line.
processors() {
	local range
	for range in $(sed -n 's/^Cpus_allowed_list:\s*//p' /proc/self/status | tr , ' '); do
		seq "${range%-*}" "${range#*-}"
	done
}
