# shellcheck shell=bash disable=SC2154 # tests/packages/run sets root, work and the functions
# Tests the container image of the endpoint: its bytes, in a plain chroot, and in a real container engine if this machine
# has one. tests/packages/run sources this file.

readonly IMAGE_TARGET=x86_64-unknown-linux-musl MAX_IMAGE_BYTES=40000000

image_tests() {
	local name="image: an engine runs it, keeps its settings in the volume, and names what it withholds"
	step "image: it is built for amd64" cross/image "$IMAGE_TARGET"
	image=$(echo target/image/millpond-endpoint_*_amd64.tar)
	step "image: it has at most 40 MB, and every digest is right" image_contents
	step "image: built again, it has the same bytes" image_reproducible
	as_root "image: nft and millpond run in a plain chroot, with settings in the volume" image_in_chroot
	if [ "$(id -u)" -ne 0 ]; then
		skip "$name" "needs root"
	elif ! command -v podman > /dev/null; then
		skip "$name" "podman is not installed"
	elif ! in_engine check > "$work/engine" 2>&1; then
		skip "$name" "podman runs no container here: $(tail -n 1 "$work/engine")"
	else
		step "$name" in_engine test "$PWD/$image"
	fi
}

in_engine() {
	unshare --net --mount --fork --kill-child tests/packages/engine "$work/containers" "$@"
}

image_contents() {
	[ "$(stat -c %s "$image")" -le "$MAX_IMAGE_BYTES" ]
	mkdir -p "$work/image" "$work/image-root"
	tar -xf "$image" -C "$work/image"
	python3 - "$work/image" << 'CHECK'
import hashlib, json, sys
folder = sys.argv[1]
digest = lambda name: hashlib.sha256(open(f"{folder}/{name}", "rb").read()).hexdigest()
image, = json.load(open(f"{folder}/manifest.json"))
assert image["Config"] == digest(image["Config"]) + ".json"
config = json.load(open(f"{folder}/{image['Config']}"))
assert config["rootfs"]["diff_ids"] == ["sha256:" + digest(layer) for layer in image["Layers"]]
assert config["architecture"] == "amd64" and config["config"]["StopSignal"] == "SIGTERM"
assert config["config"]["Volumes"] == {"/etc/millpond": {}} and config["config"]["Healthcheck"]["Test"][0] == "CMD"
CHECK
	tar -xpf "$work/image/layer.tar" -C "$work/image-root"
	cmp "$work/image-root/usr/bin/millpond" "target/cross/$IMAGE_TARGET/release/millpond"
	# No shell, and no program but these two.
	[ "$(cd "$work/image-root" && find . -path '*bin/*' -type f | sort | tr '\n' ' ')" = './usr/bin/millpond ./usr/sbin/nft ' ]
	# Nobody else reads the keys.
	[ "$(stat -c %a "$work/image-root/etc/millpond")" = 700 ]
}

image_reproducible() {
	mv "$image" "$work/first.tar"
	(umask 077 && cross/image "$IMAGE_TARGET")
	cmp "$work/first.tar" "$image"
}

# As an engine runs it, but with the tools of every Linux.
image_in_chroot() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	unshare --net --mount --fork --kill-child bash -euc '
		root=$1
		mount --bind "$root" "$root"
		mount -t proc proc "$root/proc"
		mkdir "$root/dev"
		mount --bind /dev "$root/dev"
		mount -t tmpfs tmpfs "$root/run"
		ip link set lo up
		inside=(env -i PATH=/usr/sbin:/usr/bin container=oci chroot "$root")
		"${inside[@]}" /usr/sbin/nft --version
		"${inside[@]}" /usr/bin/millpond endpoint init --host vpn.example.org --anyway
		[ "$(stat -c %a "$root/etc/millpond/millpond")" = 600 ]
		"${inside[@]}" /usr/bin/millpond run > "$root/log" 2>&1 &
		daemon=$!
		for try in $(seq 100); do
			[ ! -S "$root/run/millpond.sock" ] || break
			sleep 0.1
		done
		"${inside[@]}" /usr/bin/millpond endpoint add-home "maple street"
		"${inside[@]}" /usr/bin/millpond endpoint list-homes | grep "maple street" > /dev/null
		# Blocked if the kernel lacks WireGuard; then the health check fails, as it has to.
		health=0
		"${inside[@]}" /usr/bin/millpond endpoint health || health=$?
		[ "$health" = 0 ] || [ "$health" = 69 ]
		"${inside[@]}" /usr/bin/millpond status
		kill $daemon
		wait $daemon
		[ -s "$root/log" ]
	' bash "$work/image-root"
}
