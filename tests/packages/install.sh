# shellcheck shell=bash disable=SC2154 # root, work, out and HOST_ARCH are those of tests/packages/run
# Installs packages into a small system of BusyBox, as opkg and dpkg do. For sourcing by tests/packages/run.

# unpack_ipk FILE FOLDER: its parts, with the contents of the two archives in data and control.
unpack_ipk() {
	local part
	mkdir -p "$2/data" "$2/control"
	tar -xzf "$1" -C "$2"
	[ "$(cat "$2/debian-binary")" = 2.0 ]
	for part in data control; do
		tar -xzpf "$2/$part.tar.gz" -C "$2/$part"
	done
}

# A root folder with a shell in it.
busybox_root() {
	mkdir -p "$1"/{bin,dev,etc/init.d,lib,tmp,usr/bin}
	cp "$(command -v busybox)" "$1/bin/busybox"
	chroot "$1" /bin/busybox --install -s /bin
	: > "$1/dev/null"
}

# record ROOT PROGRAM [MORE]: puts a program there that notes its calls, with PKG_UPGRADE, in ROOT/tmp/calls, and does MORE.
record() {
	mkdir -p "$(dirname "$1/$2")"
	cat > "$1/$2" << RECORD
#!/bin/sh
echo "\$(basename "\$0") \$*\${PKG_UPGRADE:+ (upgrade)}" >> /tmp/calls
${3-}
RECORD
	chmod 755 "$1/$2"
}

# called ROOT CALL...: that these and no others were noted, in that order; then forgets them.
called() {
	local system=$1
	shift
	touch "$system/tmp/calls"
	diff <([ $# -eq 0 ] || printf '%s\n' "$@") "$system/tmp/calls"
	rm "$system/tmp/calls"
}

# OpenWrt's own functions.sh finds a package's services in its list of files, and calls the package's own script. So does
# this, as far as these packages need it.
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

# An upgrade must leave the guard alone, a removal must take it away while the program is still there.
opkg_life() {
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
	record "$system" etc/init.d/millpond
	record "$system" usr/share/millpond/firewall
	# The daemon takes its time to end.
	# shellcheck disable=SC2016 # for the stand-in's own shell
	record "$system" usr/bin/millpond '[ "$(grep -c flush /tmp/calls)" -ge 3 ] || exit 69'

	chroot "$system" "/$info/millpond.postinst" configure
	called "$system" 'firewall add' 'millpond enable' 'millpond start'
	PKG_UPGRADE=1 chroot "$system" "/$info/millpond.prerm" upgrade
	called "$system" 'millpond stop (upgrade)'
	PKG_UPGRADE=1 chroot "$system" "/$info/millpond.postinst" configure
	called "$system" 'millpond restart (upgrade)' 'millpond start (upgrade)'
	chroot "$system" "/$info/millpond.prerm" remove
	called "$system" 'millpond stop' 'millpond flush' 'millpond flush' 'millpond flush' 'firewall remove' \
		'millpond disable' 'millpond stop'
	# In an image being built nothing runs.
	IPKG_INSTROOT=/ chroot "$system" "/$info/millpond.prerm-pkg"
	called "$system"
}

debian_life() {
	local system=$work/debian package
	package=$(echo "$root/$out"/debian/millpond_*_amd64.deb)
	busybox_root "$system"
	mkdir -p "$system"/var/lib/dpkg/{info,updates,triggers} "$system/var/log"
	touch "$system"/var/lib/dpkg/{status,available}
	find "$system" -path "$system/var/lib/dpkg" -prune -o -type f -print | sort > "$work/before"

	dpkg_in "$system" --install "$package"
	chroot "$system" /usr/bin/millpond check
	[ "$(stat -c %a "$system/etc/config/millpond")" = 600 ]
	echo '# mine' >> "$system/etc/config/millpond"

	record "$system" usr/bin/millpond
	dpkg_in "$system" --install "$package"
	called "$system"
	grep -q '^# mine' "$system/etc/config/millpond"

	record "$system" usr/bin/millpond
	mkdir -p "$system/etc/millpond"
	touch "$system/etc/millpond/guard.nft"
	dpkg_in "$system" --remove millpond
	called "$system" 'millpond flush'
	[ -e "$system/etc/config/millpond" ]
	[ ! -e "$system/usr/bin/millpond" ]
	dpkg_in "$system" --purge millpond
	find "$system" -path "$system/var/lib/dpkg" -prune -o -type f ! -path '*/var/log/*' -print | sort | diff "$work/before" -
	[ ! -e "$system/etc/millpond" ]
}

# dpkg in a root of its own; what it depends on and who calls it does not matter there.
dpkg_in() {
	local system=$1
	shift
	DEBIAN_FRONTEND=noninteractive dpkg --root="$system" --force-depends --force-confold --force-bad-path "$@"
}
