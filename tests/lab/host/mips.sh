# shellcheck shell=bash
# A MIPS router as a separate emulated machine: Debian's kernel for the Malta board on a 24KEc with 128 MB, with the
# program from the package. Virtual cables connect it to the guest, which runs the rest of the world. A cable is UDP
# between the two emulators, one frame per datagram, so neither end blocks the other, as on a real cable.

readonly MIPS_TARGET=mipsel-unknown-linux-musl MIPS_ARCHITECTURE=mipsel_24kc
# The last release with packages for this processor.
readonly MIPS_RELEASE=bookworm
readonly MIPS_PACKAGES=(busybox iproute2 nftables)
# Modules that the router loads. Dependencies are added automatically.
readonly MIPS_MODULES=(
	virtio_pci virtio_net tun bridge br_netfilter wireguard sch_htb sch_prio
	nf_tables nf_conntrack nf_conntrack_netlink nf_flow_table_inet nft_flow_offload
	nft_ct nft_nat nft_masq nft_redir nft_chain_nat nft_reject_inet nft_fib_inet nft_limit nft_log nft_quota nft_socket
)
# The router's address for commands, on its third cable.
# shellcheck disable=SC2034 # read by tests/lab/run
readonly MIPS_ADDRESS=169.254.77.1
# The ends have the MAC addresses 02:00:00:00:0M:0N: M is the machine (router 1, guest 2), N the position in this list.
readonly MIPS_CABLES=(wan lan control)

# prepare_mips DIR: sets MIPS_KERNEL and MIPS_INITRD, or returns 1 with the reason in MIPS_LACKS.
# shellcheck disable=SC2034 # read by tests/lab/run
prepare_mips() {
	local dir=$1 release
	mkdir -p "$dir"
	if ! qemu-system-mipsel -M none -netdev help 2>&1 | grep -x dgram > /dev/null; then
		MIPS_LACKS="QEMU cannot connect two machines by datagrams; install 7.2 or later"
		return 1
	fi
	unpack_mips "$dir" || return 1
	say "building the package for $MIPS_TARGET"
	"$ROOT/cross/packages" "$MIPS_TARGET" || die "building the package for $MIPS_TARGET failed"
	MIPS_PACKAGE=$(find "$ROOT/target/packages/opkg/$MIPS_ARCHITECTURE" -name 'millpond_*.ipk' | head -1)
	release=$(basename "$(find "$dir/lib/modules" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -1)")
	MIPS_KERNEL=$dir/boot/vmlinuz-$release
	MIPS_INITRD=$dir/initramfs
	if ! [ "$dir/base-$release" -nt "$LAB/host/mips.sh" ] || ! [ "$dir/base-$release" -nt "$LAB/mips/init" ] ||
		! [ "$dir/base-$release" -nt "$LAB/mips/serve" ]; then
		say "building the MIPS router's root for $release"
		mips_root "$dir" "$release" "$dir/base-$release"
	fi
	# The kernel accepts several concatenated archives.
	mips_package "$dir/base-$release" > "$MIPS_INITRD"
	say "MIPS kernel $release"
}

# unpack_mips DIR: unpacks kernel and programs from Debian's archive for mipsel, without installing them.
# shellcheck disable=SC2034 # tests/lab/run reads MIPS_LACKS
unpack_mips() {
	local dir=$1 archive options=() kernel package
	[ ! -e "$dir/unpacked" ] || return 0
	archive=$(debian_archive)
	if [ -z "$archive" ]; then
		MIPS_LACKS="apt has no Debian archive for the MIPS kernel; set LAB_DEBIAN_ARCHIVE to the URL of one"
		return 1
	fi
	say "fetching the MIPS kernel and its programs"
	mkdir -p "$dir"/apt/{lists,cache/archives}/partial
	echo "deb [arch=mipsel $(debian_keyring)] $archive $MIPS_RELEASE main" > "$dir/apt/sources.list"
	options=(-qq -o APT::Architecture=mipsel -o APT::Architectures::=mipsel -o Acquire::Languages=none
		-o Dir::Etc::SourceList="$dir/apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$dir/apt/lists"
		-o Dir::Cache="$dir/apt/cache" -o Dir::State::status=/dev/null -o Debug::NoLocking=1 -o APT::Sandbox::User=root)
	kernel=$(apt-get "${options[@]}" update > "$dir/apt/log" 2>&1 &&
		apt-cache "${options[@]}" pkgnames linux-image- | grep -E '^linux-image-[0-9].*-4kc-malta$' | sort -V | tail -1)
	if [ -z "$kernel" ]; then
		MIPS_LACKS="reading the index of Debian $MIPS_RELEASE for mipsel at $archive failed: $(tail -1 "$dir/apt/log")"
		return 1
	fi
	if ! apt-get "${options[@]}" install -y --download-only --no-install-recommends "${MIPS_PACKAGES[@]}" >> "$dir/apt/log" 2>&1 ||
		! (cd "$dir/apt/cache/archives" && apt-get "${options[@]}" download "$kernel") >> "$dir/apt/log" 2>&1; then
		MIPS_LACKS="fetching $kernel and ${MIPS_PACKAGES[*]} failed: $(tail -1 "$dir/apt/log")"
		return 1
	fi
	for package in "$dir"/apt/cache/archives/*.deb; do
		dpkg -x "$package" "$dir"
	done
	rm -r "$dir/apt"
	touch "$dir/unpacked"
}

# Prints the URL of the archive: LAB_DEBIAN_ARCHIVE, else that of this machine's packages if it is Debian's.
debian_archive() {
	if [ -n "${LAB_DEBIAN_ARCHIVE-}" ]; then
		echo "$LAB_DEBIAN_ARCHIVE"
		return
	fi
	# shellcheck disable=SC2016 # expanded by apt
	apt_sources() { apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' 2> /dev/null; }
	[ -n "$(apt_sources)" ] || apt-get -qq update || true
	apt_sources | sed -n 's/^Debian|Debian|//p' | head -1
}

debian_keyring() {
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	[ ! -e "$keyring" ] || echo "signed-by=$keyring"
}

# mips_root DIR RELEASE TO: packs the router's root to TO, without the files of the package.
mips_root() {
	local dir=$1 release=$2 to=$3 stage
	stage=$(mktemp -d)
	mkdir -p "$stage"/{bin,lib,modules,proc,sys,dev,run,tmp,etc,root,usr/sbin}
	cp "$LAB/mips/init" "$stage/init"
	cp "$LAB/mips/serve" "$stage/bin/serve"
	chmod 755 "$stage/init" "$stage/bin/serve"
	copy_with_libraries "$dir" "$stage" bin/busybox bin/ip usr/sbin/nft
	cp -L "$dir/lib/ld.so.1" "$stage/lib/"
	stage_modules "$dir" "$release" "$stage/modules" "${MIPS_MODULES[@]}"
	pack_initramfs "$stage" > "$to.new"
	mv "$to.new" "$to"
	rm -rf "$stage"
}

# copy_with_libraries DIR STAGE FILE...: copies the files and all libraries that they need, directly or indirectly.
copy_with_libraries() {
	local dir=$1 stage=$2 file library missing
	shift 2
	for file in "$@"; do
		cp -L "$dir/$file" "$stage/$file"
	done
	while true; do
		missing=$(find "$stage" -type f -perm -u+x -exec readelf -d {} + 2> /dev/null |
			sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u |
			while read -r library; do [ -e "$stage/lib/$library" ] || echo "$library"; done)
		[ -n "$missing" ] || break
		for library in $missing; do
			file=$(find "$dir/lib" "$dir/usr/lib" -name "$library" | head -1)
			[ -n "$file" ] || die "$library for the MIPS router is not in $dir; remove $dir and run again"
			install -m 755 "$file" "$stage/lib/$library"
		done
	done
}

# mips_package BASE: prints the complete initramfs: BASE and the files of the package.
mips_package() {
	local stage
	stage=$(mktemp -d)
	tar -xzf "$MIPS_PACKAGE" -O ./data.tar.gz | tar -xz -C "$stage" || die "unpacking $MIPS_PACKAGE failed"
	printf '{"package_bytes": %s, "installed_bytes": %s}\n' "$(stat -c %s "$MIPS_PACKAGE")" \
		"$(find "$stage" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')" > "$OUT/mips/package.json"
	cat "$1"
	pack_initramfs "$stage"
	rm -rf "$stage"
}

# run_mips OUT SECONDS: boots the router, then the guest, which runs the scenario. Returns the guest's exit status.
run_mips() {
	local out=$1 seconds=$2 ports router status=0 before=()
	mapfile -t ports < <(free_ports $((2 * ${#MIPS_CABLES[@]})))
	mapfile -t router < <(cable_options 1 0)
	# shellcheck disable=SC2034 # read by boot_guest
	mapfile -t GUEST_CABLES < <(cable_options 2 1)
	[ "$(id -u)" -ne 0 ] || before=("${HIGH_PRIORITY[@]}")
	mips_counter "$out/mips"
	# The emulator's timers and its emulated processor are two threads. They now and then race for the processor's
	# registers, and an interrupt is lost. After a lost clock interrupt the clock stops until its counter wraps, 27 s
	# later. On one host processor, with the timers' thread at the higher priority, the two cannot race.
	before+=(taskset --cpu-list "$(last_processor)")
	# Without a graphics card (-vga none): the board has interrupts for four slots only.
	say "starting the MIPS router (emulated, $([ ${#MIPS_COUNTER[@]} -gt 0 ] || echo "not ")counting instructions)"
	"${before[@]}" \
		qemu-system-mipsel -M malta -cpu 24KEc -m 128 -no-reboot -display none -monitor none -serial stdio -nic none \
		-kernel "$MIPS_KERNEL" -initrd "$MIPS_INITRD" -append "console=ttyS0 loglevel=4 panic=-1" \
		-vga none "${router[@]}" ${MIPS_COUNTER[@]+"${MIPS_COUNTER[@]}"} \
		< /dev/null > "$out/mips/console.log" 2>&1 &
	MIPS_ROUTER=$!
	# shellcheck disable=SC2064 # expanded now
	trap "kill $MIPS_ROUTER" EXIT
	prioritise_timers "$MIPS_ROUTER"
	kill -0 "$MIPS_ROUTER" 2> /dev/null || die "starting the MIPS router failed: $(tail -1 "$out/mips/console.log")"
	run_guest "$LAB/guest/main" "$out" "$seconds" || status=$?
	kill "$MIPS_ROUTER" 2> /dev/null || true
	wait "$MIPS_ROUTER" || true
	return "$status"
}

# Prints the highest number of a processor that this process may use.
last_processor() { sed -nE 's/^Cpus_allowed_list:\s*(.*[-,])?([0-9]+)$/\2/p' /proc/self/status; }

# cable_options MACHINE FIRST: prints the emulator's options, one per line, for the machine's ends of all cables. Each
# cable uses two consecutive ports; FIRST (0 or 1) is the machine's own one.
cable_options() {
	local place cable
	for place in "${!MIPS_CABLES[@]}"; do
		cable=${MIPS_CABLES[place]}
		printf '%s\n' -netdev "dgram,id=$cable,$(port local $((2 * place + $2))),$(port remote $((2 * place + 1 - $2)))" \
			-device "virtio-net-pci,netdev=$cable,romfile=,mac=02:00:00:00:0$1:0$((place + 1))"
	done
}

port() { echo "$1.type=inet,$1.host=127.0.0.1,$1.port=${ports[$2]}"; }

# free_ports COUNT: prints unused UDP ports below the kernel's ephemeral range.
free_ports() {
	local left=$1 port=$((20000 + RANDOM % 8000))
	while [ "$left" -gt 0 ]; do
		port=$((port + 1))
		if ! grep -q "$(printf ':%04X ' "$port")" /proc/net/udp; then
			echo "$port"
			left=$((left - 1))
		fi
	done
}

# mips_counter OUT: sets MIPS_COUNTER to the options with which the emulator counts instructions into OUT/instructions,
# or to none if it cannot. A plugin must be built for the version of the emulator's plugin interface.
mips_counter() {
	local version plugin=$1/count.so
	MIPS_COUNTER=()
	rm -f "$1/instructions"
	for version in 1 2 3 4 5 6; do
		cc -O2 -shared -fPIC -fvisibility=hidden "-DPLUGIN_VERSION=$version" -o "$plugin" "$LAB/mips/count.c" 2> /dev/null || return 0
		if timeout 10 qemu-system-mipsel -M none -display none -monitor stdio -plugin "$plugin,into=$1/instructions" \
			<<< quit > /dev/null 2>&1; then
			MIPS_COUNTER=(-plugin "$plugin,into=$1/instructions")
			return
		fi
	done
}
