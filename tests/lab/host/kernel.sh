# shellcheck shell=bash
# Unpacks (without installing) a distribution kernel with every feature that millpond needs, and builds its initramfs.

# Modules that the guest loads. Dependencies are added automatically, and built-in modules are left out.
readonly MODULES=(
	virtio_pci virtio_net 9pnet_virtio 9p overlay
	tun veth bridge br_netfilter 8021q macvlan dummy ifb nlmon vxlan wireguard
	sch_htb sch_prio sch_netem sch_fq sch_etf sch_tbf sch_fq_codel sch_ingress sch_cake
	cls_u32 cls_fw cls_basic cls_matchall cls_flower act_mirred act_skbedit act_gact
	nf_tables nf_conntrack nf_conntrack_netlink nf_flow_table nf_flow_table_inet
	nft_ct nft_nat nft_masq nft_redir nft_chain_nat nft_reject_inet nft_fib_inet nft_limit nft_log nft_quota
	nft_flow_offload nft_tproxy nft_socket nft_dup_netdev nft_fwd_netdev nft_numgen nft_hash nft_connlimit
	nft_meta_bridge
)

# prepare_kernel DIR: prepares both in DIR and sets KERNEL and INITRD to their paths.
prepare_kernel() {
	local dir=$1 release
	mkdir -p "$dir"
	unpack_kernel "$dir"
	release=$(basename "$(find "$dir/lib/modules" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -1)")
	KERNEL=$dir/boot/vmlinuz-$release
	INITRD=$dir/initramfs-$release.gz
	[ -s "$KERNEL" ] || die "unpacking the guest kernel left no $KERNEL; remove $dir and run again"
	if ! [ "$INITRD" -nt "$LAB/guest/init" ] || ! [ "$INITRD" -nt "$LAB/host/kernel.sh" ]; then
		say "building the initramfs for $release"
		build_initramfs "$dir" "$release" "$INITRD"
	fi
	say "guest kernel $release"
}

unpack_kernel() {
	local dir=$1 package
	[ -e "$dir/unpacked" ] && return
	package=$(kernel_package)
	if [ -z "$package" ]; then
		say "refreshing the package lists"
		apt-get -qq update || die "refreshing the package lists failed; is the package mirror reachable?"
		package=$(kernel_package)
	fi
	[ -n "$package" ] || die "apt offers no linux-image package; set LAB_KERNEL_PACKAGE to the name of one"
	say "downloading $package"
	download "$dir" "$package"
	# Ubuntu has separate packages for the modules.
	if [[ $package == linux-image-*-generic ]]; then
		download "$dir" "${package/linux-image-/linux-modules-}"
		download "$dir" "${package/linux-image-/linux-modules-extra-}"
	fi
	[ -d "$dir/lib/modules" ] || ln -s usr/lib "$dir/lib"
	touch "$dir/unpacked"
}

# Prints the package's name: the newest 6.12 (the kernel of OpenWrt 25.12), else the distribution's current kernel.
kernel_package() {
	local name
	if [ -n "${LAB_KERNEL_PACKAGE-}" ]; then
		echo "$LAB_KERNEL_PACKAGE"
		return
	fi
	name=$(apt-cache pkgnames linux-image-6.12 | grep -E '^linux-image-6\.12\.[0-9]+.*-amd64$' |
		grep -Ev -e '-(cloud|rt)-' | sort -V | tail -1)
	[ -n "$name" ] || name=$(apt-cache depends --no-recommends --no-suggests linux-image-amd64 linux-image-generic 2> /dev/null |
		sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
	echo "$name"
}

# apt_get ARGS...: runs apt-get, and if that fails, refreshes the package lists and runs it again.
apt_get() {
	apt-get -qq "$@" 2> /dev/null || { apt-get -qq update && apt-get -qq "$@"; }
}

# download DIR PACKAGE: downloads a package and unpacks it to DIR.
download() {
	local dir=$1 package=$2
	(cd "$dir" && apt_get download "$package" > /dev/null) ||
		die "downloading $package failed; is the package mirror reachable?"
	dpkg -x "$dir/$package"_*.deb "$dir" || die "unpacking $package failed; remove $dir and run again"
	rm -f "$dir/$package"_*.deb
}

build_initramfs() {
	local dir=$1 release=$2 initrd=$3 stage
	stage=$(mktemp -d)
	mkdir -p "$stage"/lab/modules
	static_busybox "$dir" "$stage/lab/busybox"
	cp "$LAB/guest/init" "$stage/init"
	chmod 755 "$stage/init"
	stage_modules "$dir" "$release" "$stage/lab/modules" "${MODULES[@]}"
	pack_initramfs "$stage" > "$initrd.new"
	mv "$initrd.new" "$initrd"
	rm -rf "$stage"
}

# stage_modules DIR RELEASE TO MODULE...: copies the modules and their dependencies to TO, uncompressed, and writes the
# order of loading to TO/order. BusyBox handles neither compression nor dependencies.
stage_modules() {
	local dir=$1 release=$2 to=$3 module file
	shift 3
	PATH="$PATH:/usr/sbin:/sbin"
	depmod -b "$dir" "$release"
	for module in "$@"; do
		modprobe -d "$dir" -S "$release" --show-depends "$module" 2> /dev/null || echo "missing $module" >&2
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' > "$to/files"
	while read -r file; do
		module=$(basename "$file")
		module=${module%%.*}
		unpack_module "$file" > "$to/$module.ko"
		drop_signature "$to/$module.ko"
		echo "$module" >> "$to/order"
	done < "$to/files"
	rm "$to/files"
	[ -s "$to/order" ] || die "there are no modules of kernel $release in $dir; remove $dir and run again"
}

# pack_initramfs FOLDER: prints the folder as an initramfs.
pack_initramfs() { (cd "$1" && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1; }

# drop_signature FILE: removes a module's signature. Checking those of all modules takes an emulated processor as long as
# all the rest of the boot, twice. At the end of the file are the signature, a header of 12 bytes whose last four are the
# signature's length, and 28 bytes of text (kernel: include/linux/module_signature.h).
drop_signature() {
	local signature
	if tail -c 28 "$1" | grep -q '^~Module signature appended~$'; then
		signature=$(tail -c 32 "$1" | od -An -tu4 --endian=big -N4)
		truncate --size="-$((signature + 12 + 28))" "$1"
	fi
}

unpack_module() {
	case $1 in
	*.xz) xz -dc "$1" ;;
	*.zst) zstd -qdc "$1" ;;
	*.gz) gzip -dc "$1" ;;
	*) cat "$1" ;;
	esac
}

# static_busybox DIR TO: copies a static BusyBox to TO: this machine's, or else the distribution's, unpacked in DIR.
static_busybox() {
	local own
	own=$(command -v busybox || true)
	if [ -z "$own" ] || ldd "$own" > /dev/null 2>&1; then
		download "$1" busybox-static
		own=$(find "$1" -name busybox -type f -perm -u+x | head -1)
	fi
	cp -L "$own" "$2"
}

# prepare_igmpproxy DIR: sets IGMPPROXY to the path of igmpproxy: this machine's, or else the distribution's, unpacked in
# DIR. It is not installed, because its package starts a service.
prepare_igmpproxy() {
	IGMPPROXY=$(PATH="$PATH:/usr/sbin:/sbin" command -v igmpproxy || true)
	[ -z "$IGMPPROXY" ] || return 0
	IGMPPROXY=$1/usr/sbin/igmpproxy
	[ -x "$IGMPPROXY" ] && return
	mkdir -p "$1"
	say "downloading igmpproxy"
	download "$1" igmpproxy
}
