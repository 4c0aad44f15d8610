# shellcheck shell=bash
# Boots the guest, shows its console, and returns its exit status.

# The guest needs exact timing, so it gets a high priority if that is permitted. The scheduling class is set too: a
# shell in SCHED_IDLE would pass that class on, and niceness has no effect in it.
readonly HIGH_PRIORITY=(chrt --other 0 nice -n -10)

# run_guest MAIN OUT SECONDS: runs MAIN OUT in the guest for at most SECONDS. Returns its exit status, or 124 if it
# hangs. GUEST_CABLES are QEMU options that connect the guest to other machines; GUEST_OPTIONS go to its kernel.
run_guest() {
	local status=0
	boot_guest "$@" || status=$?
	if panicked_at_boot "$2"; then
		say "the emulated kernel panicked while booting; trying again"
		status=0
		boot_guest "$@" || status=$?
	fi
	return "$status"
}

# panicked_at_boot OUT: whether the kernel panicked before the first scenario. QEMU's emulated processors now and then
# fail when the kernel patches its own text.
panicked_at_boot() {
	[ ! -s "$1/status" ] && grep -q 'Kernel panic' "$1/console.log" && ! grep -q 'scenario ' "$1/console.log"
}

boot_guest() {
	local main=$1 out=$2 seconds=$3 accel=tcg,thread=multi cpu=max
	prepare_kernel "$OUT/guest-kernel"
	kvm_works && accel=kvm cpu=host
	say "starting the guest (${accel%%,*}, at most $seconds s)"
	rm -f "$out/status"
	local before=()
	[ "$(id -u)" -ne 0 ] || before=("${HIGH_PRIORITY[@]}")
	supervise "$out" "$seconds" ${before[@]+"${before[@]}"} \
		qemu-system-x86_64 -M q35 -accel "$accel" -cpu "$cpu" -smp 2 -m 768 -nic none -no-reboot \
		-display none -monitor none -serial stdio -kernel "$KERNEL" -initrd "$INITRD" ${GUEST_CABLES[@]+"${GUEST_CABLES[@]}"} \
		-append "console=ttyS0 loglevel=4 panic=-1 tsc=reliable mitigations=off ${GUEST_OPTIONS-} lab.main=$main lab.out=$out" \
		-virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
		-virtfs "local,path=$out,mount_tag=out,security_model=none,multidevs=remap"
}

# /dev/kvm may exist without working (nested virtualisation). This boots the kernel with it once for each boot of this
# machine, and caches the result.
kvm_works() {
	[ -w /dev/kvm ] || return 1
	local cache=$OUT/guest-kernel/kvm boot
	boot=$(cat /proc/sys/kernel/random/boot_id)
	if ! grep -qs "^$boot " "$cache"; then
		say "testing KVM"
		if timeout 10 qemu-system-x86_64 -M q35 -accel kvm -cpu host -smp 2 -m 256 -nic none -no-reboot -display none \
			-monitor none -serial stdio -kernel "$KERNEL" -initrd "$INITRD" \
			-append "console=ttyS0 loglevel=4 panic=-1 lab.probe" < /dev/null 2>&1 | grep '^guest: alive' > /dev/null; then
			echo "$boot yes" > "$cache"
		else
			echo "$boot no" > "$cache"
		fi
	fi
	grep -q "^$boot yes" "$cache"
}
