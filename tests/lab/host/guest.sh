# shellcheck shell=bash
# Boots the guest, shows its console, and brings its exit status home.

# A guest has moments to keep: it goes before whatever else this machine does, where that is permitted. Of a shell in the
# class SCHED_IDLE it would inherit the class, in which niceness says nothing.
readonly FIRST=(chrt --other 0 nice -n -10)

# run_guest MAIN OUT SECONDS: runs MAIN OUT in the guest, for at most SECONDS; its exit status, 124 if it hangs. The guest
# is joined to other machines by GUEST_CABLES, and its kernel gets GUEST_OPTIONS.
run_guest() {
	local status=0
	boot_guest "$@" || status=$?
	if died_booting "$2"; then
		say "the emulated kernel died as it booted: once more"
		status=0
		boot_guest "$@" || status=$?
	fi
	return "$status"
}

# died_booting OUT: an emulator's processors now and then trip over the kernel's patching of its own text.
died_booting() {
	[ ! -s "$1/status" ] && grep -q 'Kernel panic' "$1/console.log" && ! grep -q 'scenario ' "$1/console.log"
}

boot_guest() {
	local main=$1 out=$2 seconds=$3 accel=tcg,thread=multi cpu=max
	prepare_kernel "$ROOT/target/lab/kernel"
	kvm_works && accel=kvm cpu=host
	say "starting the guest (${accel%%,*}, at most $seconds s)"
	rm -f "$out/status"
	local before=()
	[ "$(id -u)" -ne 0 ] || before=("${FIRST[@]}")
	supervise "$out" "$seconds" ${before[@]+"${before[@]}"} \
		qemu-system-x86_64 -M q35 -accel "$accel" -cpu "$cpu" -smp 2 -m 768 -nic none -no-reboot \
		-display none -monitor none -serial stdio -kernel "$KERNEL" -initrd "$INITRD" ${GUEST_CABLES[@]+"${GUEST_CABLES[@]}"} \
		-append "console=ttyS0 loglevel=4 panic=-1 tsc=reliable mitigations=off ${GUEST_OPTIONS-} lab.main=$main lab.out=$out" \
		-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
		-virtfs "local,path=$out,mount_tag=out,security_model=none,multidevs=remap"
}

# /dev/kvm may be there and not work (nested virtualisation): boot the kernel with it to see, once in this machine's life.
kvm_works() {
	[ -w /dev/kvm ] || return 1
	local memory=$ROOT/target/lab/kernel/kvm boot
	boot=$(cat /proc/sys/kernel/random/boot_id)
	if ! grep -qs "^$boot " "$memory"; then
		say "trying KVM"
		if timeout 10 qemu-system-x86_64 -M q35 -accel kvm -cpu host -smp 2 -m 256 -nic none -no-reboot -display none \
			-monitor none -serial stdio -kernel "$KERNEL" -initrd "$INITRD" \
			-append "console=ttyS0 loglevel=4 panic=-1 lab.probe" < /dev/null 2>&1 | grep -q '^guest: alive'; then
			echo "$boot yes" > "$memory"
		else
			echo "$boot no" > "$memory"
		fi
	fi
	grep -q "^$boot yes" "$memory"
}
