# shellcheck shell=bash disable=SC2154 # tests/packages/run sets root, work, out and HOST_ARCH
# Installs packages into a small BusyBox system, as opkg and dpkg do. tests/packages/run sources this file.

# unpack_ipk FILE FOLDER: unpacks FILE, and its two archives to FOLDER/data and FOLDER/control.
unpack_ipk() {
	local part
	mkdir -p "$2/data" "$2/control"
	tar -xzf "$1" -C "$2"
	[ "$(cat "$2/debian-binary")" = 2.0 ]
	for part in data control; do
		tar -xzpf "$2/$part.tar.gz" -C "$2/$part"
	done
}

# busybox_root ROOT: makes a root folder with BusyBox.
busybox_root() {
	mkdir -p "$1"/{bin,dev,etc/init.d,lib,tmp,usr/bin,var/run}
	cp "$(command -v busybox)" "$1/bin/busybox"
	chroot "$1" /bin/busybox --install -s /bin
	: > "$1/dev/null"
}

# install_recorder ROOT PROGRAM [COMMANDS]: installs a program that records its calls, with PKG_UPGRADE, in
# ROOT/tmp/calls and then runs COMMANDS.
install_recorder() {
	mkdir -p "$(dirname "$1/$2")"
	cat > "$1/$2" << RECORD
#!/bin/sh
echo "\$(basename "\$0") \$*\${PKG_UPGRADE:+ (upgrade)}" >> /tmp/calls
${3-}
RECORD
	chmod 755 "$1/$2"
}

# assert_calls ROOT CALL...: requires that exactly these calls were recorded, in this order; then clears the record.
assert_calls() {
	local system=$1
	shift
	touch "$system/tmp/calls"
	diff <([ $# -eq 0 ] || printf '%s\n' "$@") "$system/tmp/calls"
	rm "$system/tmp/calls"
}

# openwrt_functions ROOT: installs a small lib/functions.sh. Like OpenWrt's, it runs the package's own script and
# enables, starts or stops the package's service.
openwrt_functions() {
	cat > "$1/lib/functions.sh" << 'FUNCTIONS'
own_script() {
	[ ! -f "/usr/lib/opkg/info/$1" ] || (. "/usr/lib/opkg/info/$1")
}
default_postinst() {
	own_script "$(basename "${1%.*}").postinst-pkg"
	for once in /etc/uci-defaults/*; do
		[ ! -f "$once" ] || ! (. "$once") || rm "$once"
	done
	[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/millpond enable
	/etc/init.d/millpond start
}
default_prerm() {
	own_script "$(basename "${1%.*}").prerm-pkg"
	[ "$PKG_UPGRADE" = 1 ] || /etc/init.d/millpond disable
	/etc/init.d/millpond stop
}
FUNCTIONS
}

# An upgrade must keep the guard. A removal must delete the guard while the program is still installed.
opkg_scripts() {
	local system=$work/openwrt info=usr/lib/opkg/info script
	unpack_ipk "$out/opkg/$HOST_ARCH"/millpond_*.ipk "$work/host"
	busybox_root "$system"
	openwrt_functions "$system"
	cp -a "$work/host/data/." "$system/"
	chroot "$system" /usr/bin/millpond check
	mkdir -p "$system/$info"
	for script in "$work/host/control"/*; do
		cp -p "$script" "$system/$info/millpond.$(basename "$script")"
	done
	install_recorder "$system" etc/init.d/millpond
	install_recorder "$system" usr/share/millpond/firewall
	# A daemon that needs three attempts to end.
	# shellcheck disable=SC2016 # expanded by the recorder
	install_recorder "$system" usr/bin/millpond '[ "$(grep -c flush /tmp/calls)" -ge 3 ] || exit 69'

	chroot "$system" "/$info/millpond.postinst" configure
	assert_calls "$system" 'firewall add' 'millpond enable' 'millpond start'
	PKG_UPGRADE=1 chroot "$system" "/$info/millpond.prerm" upgrade
	assert_calls "$system" 'millpond stop (upgrade)'
	# apk has not stopped the old program.
	PKG_UPGRADE=1 chroot "$system" "/$info/millpond.postinst" configure
	assert_calls "$system" 'millpond running (upgrade)' 'millpond restart (upgrade)' 'millpond start (upgrade)'
	chroot "$system" "/$info/millpond.prerm" remove
	# The service removes the rules when it stops.
	assert_calls "$system" 'millpond disable' 'millpond stop'
	[ -e "$system/var/run/millpond.removal" ]
	rm "$system/var/run/millpond.removal"
	# apk runs the package's own script last.
	mv "$system/$info/millpond.prerm-pkg" "$system/prerm"
	chroot "$system" /prerm
	assert_calls "$system" 'millpond flush' 'millpond flush' 'millpond flush' 'firewall remove'
	[ ! -e "$system/var/run/millpond.removal" ]
	mv "$system/prerm" "$system/$info/millpond.prerm-pkg"
	# While an image is being built, the script must run nothing.
	IPKG_INSTROOT=/ chroot "$system" "/$info/millpond.prerm-pkg"
	assert_calls "$system"
}

debian_scripts() {
	local system=$work/debian package
	package=$(echo "$root/$out"/debian/millpond_*_amd64.deb)
	busybox_root "$system"
	mkdir -p "$system"/var/lib/dpkg/{info,updates,triggers} "$system/var/log"
	touch "$system"/var/lib/dpkg/{status,available}
	find "$system" -path "$system/var/lib/dpkg" -prune -o -type f -print | sort > "$work/before"

	dpkg_in "$system" --install "$package"
	chroot "$system" /usr/bin/millpond check
	[ "$(stat -c %a "$system/etc/config/millpond")" = 600 ]
	zcat "$system/usr/share/man/man1/millpond.1.gz" | grep 'millpond endpoint add-home' > /dev/null
	zcat "$system/usr/share/man/man5/millpond.5.gz" | grep 'max_download' > /dev/null
	echo '# mine' >> "$system/etc/config/millpond"

	install_recorder "$system" usr/bin/millpond
	dpkg_in "$system" --install "$package"
	assert_calls "$system"
	grep -q '^# mine' "$system/etc/config/millpond"

	install_recorder "$system" usr/bin/millpond
	mkdir -p "$system/etc/millpond"
	touch "$system/etc/millpond/guard.nft"
	dpkg_in "$system" --remove millpond
	assert_calls "$system" 'millpond flush'
	[ -e "$system/etc/config/millpond" ]
	[ ! -e "$system/usr/bin/millpond" ]
	dpkg_in "$system" --purge millpond
	find "$system" -path "$system/var/lib/dpkg" -prune -o -type f ! -path '*/var/log/*' -print | sort | diff "$work/before" -
	[ ! -e "$system/etc/millpond" ]
}

# dpkg_in ROOT ARGUMENT...: runs dpkg on ROOT, without its dependencies and its requirements of PATH.
dpkg_in() {
	local system=$1
	shift
	DEBIAN_FRONTEND=noninteractive dpkg --root="$system" --force-depends --force-confold --force-bad-path "$@"
}
