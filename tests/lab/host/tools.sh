# shellcheck shell=bash
# Programs that the laboratory calls, and the Debian packages that have them.

# need PROGRAM=PACKAGE...: installs what is missing when it may, else says what to install.
need() {
	local pair missing=()
	for pair in "$@"; do
		PATH="$PATH:/usr/sbin:/sbin" command -v "${pair%%=*}" > /dev/null || missing+=("${pair#*=}")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
		die "these packages are missing: ${missing[*]}; install them and run again"
	fi
	say "installing ${missing[*]}"
	apt_get install -y --no-install-recommends "${missing[@]}" > /dev/null ||
		die "installing ${missing[*]} failed; is the package mirror reachable?"
}

# apt_get ARGS: once, and after a refresh of the package lists if that failed.
apt_get() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" 2> /dev/null ||
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"; }
}

world_tools() {
	need ip=iproute2 tc=iproute2 nft=nftables wg=wireguard-tools tcpdump=tcpdump openssl=openssl
}

guest_tools() {
	need qemu-system-x86_64=qemu-system-x86 cpio=cpio depmod=kmod xz=xz-utils zstd=zstd apt-cache=apt gzip=gzip
}
