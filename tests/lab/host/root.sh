# shellcheck shell=bash
# The guest's root file system in memory. While the guest waits for this machine, its virtual clock races; so everything
# that a scenario needs is in archives that the emulator loads before the first instruction.

# This machine's programs that the scenarios use. A program that is missing ends the preparation, and a command that is
# not in this list fails its scenario (guest/main).
readonly ROOT_PROGRAMS=(
	bash sh dash awk base64 basename busybox cat chmod chrt cmp comm cp cut date diff dirname echo env expr false find grep head id kill
	ln ls mkdir mkfifo mktemp mount mv nice nproc nsenter od paste printf ps pwd readlink realpath rm rmdir script sed seq
	setpriv sleep sort stat stdbuf strace sync sysctl tail taskset tee test timeout touch tr true umount uname uniq unshare
	wc xargs
	ip tc bridge nft wg openvpn tcpdump conntrack openssl dnsmasq
)
# Programs that only some tests use, which name them as missing.
readonly ROOT_OPTIONAL_PROGRAMS=(script strace ps)
# Files and folders that these programs read.
readonly ROOT_FILES=(
	/etc/passwd /etc/group /etc/nsswitch.conf /etc/services /etc/protocols /etc/host.conf /etc/hosts /etc/ld.so.cache
	/etc/iproute2 /usr/share/iproute2 /usr/lib/iproute2 /etc/ssl/openssl.cnf /usr/lib/ssl/openssl.cnf /usr/lib/locale/C.utf8
	/usr/lib/x86_64-linux-gnu/ossl-modules /lib/x86_64-linux-gnu/libnss_files.so.2 /lib/x86_64-linux-gnu/libnss_dns.so.2
	/usr/share/zoneinfo/Europe/Berlin /usr/share/zoneinfo/UTC
)

# prepare_root DIR: prepares the archive of this machine's programs in DIR and sets ROOT_ARCHIVE to its path.
prepare_root() {
	local stage
	ROOT_ARCHIVE=$1/programs.cpio
	if [ "$ROOT_ARCHIVE" -nt "$LAB/host/root.sh" ] && ! programs_changed "$ROOT_ARCHIVE"; then
		return
	fi
	say "building the guest's root from this machine's programs"
	mkdir -p "$1"
	stage=$(mktemp -d)
	stage_programs "$stage" || die "building the guest's root failed; see above"
	pack_root "$stage" > "$ROOT_ARCHIVE.new"
	mv "$ROOT_ARCHIVE.new" "$ROOT_ARCHIVE"
	rm -rf "$stage"
}

# programs_changed ARCHIVE: whether a program was installed or updated after the archive was built.
programs_changed() {
	local name path
	for name in "${ROOT_PROGRAMS[@]}"; do
		path=$(program_path "$name") || continue
		# The time of the change of the inode: packages keep the older time of the contents.
		[ "$(stat -Lc %Z "$path")" -le "$(stat -c %Y "$1")" ] || return 0
	done
	return 1
}

# program_path NAME: prints where this machine has the program.
program_path() { PATH="/usr/sbin:/usr/bin:/sbin:/bin:$PATH" type -P "$1"; }

# stage_programs TO: copies programs, their libraries and their files to the folder TO.
stage_programs() {
	local to=$1 name path link
	mkdir -p "$to"/{etc,run,tmp,root,proc,sys,dev,var/tmp,usr/bin,usr/sbin,usr/lib,usr/lib64}
	for link in bin sbin lib lib64; do
		if [ -L "/$link" ]; then ln -s "usr/$link" "$to/$link"; else mkdir -p "$to/$link"; fi
	done
	for name in "${ROOT_PROGRAMS[@]}"; do
		if ! path=$(program_path "$name"); then
			[[ " ${ROOT_OPTIONAL_PROGRAMS[*]} " != *" $name "* ]] || continue
			echo "lab: the guest needs the program $name, which this machine lacks" >&2
			return 1
		fi
		stage_program "$to" "$path"
	done
	# Namespaces with a resolver of their own mount it over this file.
	: > "$to/etc/resolv.conf"
	for path in "${ROOT_FILES[@]}"; do
		[ ! -e "$path" ] || stage_file "$to" "$path"
	done
}

# stage_program TO PATH: copies a program with the libraries that it is linked to.
stage_program() {
	local library
	stage_file "$1" "$2"
	ldd "$2" 2> /dev/null | grep -oE '/[^ ]+' | while read -r library; do
		[ -e "$1$library" ] || stage_file "$1" "$library"
	done
}

# stage_file TO PATH: copies a file or a folder to the same path below TO, with what symbolic links lead to.
stage_file() {
	mkdir -p "$1$(dirname "$2")"
	cp -RL --preserve=mode,timestamps "$2" "$1$(dirname "$2")/"
}

# pack_common TO: packs what every scenario needs to TO: the project's programs, the scripts and the traces. All scenarios
# of a run have the same, even if somebody edits a script meanwhile.
pack_common() {
	local stage
	stage=$(mktemp -d)
	stage_own_programs "$stage" "$TARGET/release/millpond" "$TARGET/host/millpond-world"
	stage_file "$stage" "$LAB"
	mkdir -p "$stage$TRACES"
	cp -L "$TRACES"/* "$stage$TRACES/"
	pack_root "$stage" > "$1"
	rm -rf "$stage"
}

# pack_scenario SCENARIO FOLDER: packs what only this scenario needs to FOLDER/scenario.cpio, and FOLDER/request as
# OUT/request. OUT has nothing else in the guest, which puts the results there.
pack_scenario() {
	local stage
	stage=$(mktemp -d)
	mkdir -p "$stage$OUT/$1"
	case $1 in
	kernel)
		stage_own_programs "$stage" "$OUT"/kernel-tests/*
		stage_file "$stage" "$ROOT/files"
		;;
	leaks-without-guard) stage_own_programs "$stage" "$TARGET/without-guard/release/millpond" ;;
	esac
	[ -z "${IGMPPROXY-}" ] || stage_program "$stage" "$IGMPPROXY"
	cp "$2/request" "$stage$OUT/request"
	pack_root "$stage" > "$2/scenario.cpio"
	rm -rf "$stage"
}

# stage_own_programs TO PROGRAM...: copies programs without their debug information.
stage_own_programs() {
	local to=$1 program
	shift
	for program in "$@"; do
		stage_program "$to" "$program"
		strip --strip-debug "$to$program"
	done
}

# pack_root FOLDER: prints the folder as an archive that depends on nothing but names and contents. The times of files and
# their order on the disk would reach the guest's memory, and change the run.
pack_root() (
	cd "$1" || exit
	find . -exec touch -hd @0 {} +
	find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0
)
