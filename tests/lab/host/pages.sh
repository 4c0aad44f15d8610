# shellcheck shell=bash
# The scenario "pages": the guest serves LuCI's pages, and this machine's browser drives them with the tests of tests/luci.

# Where they are served in the guest, and to whom.
# shellcheck disable=SC2034 # read by the request
readonly PAGES_PORT=8080 PAGES_PASSWORD=millpond

# run_pages OUT SECONDS: in QEMU always, whose user network leads from a port of this machine's to the guest.
run_pages() {
	local out=$1 seconds=$2 status=0 port browser network
	"$ROOT/tests/tools/setup" luci || die "installing the browser failed"
	port=$(node -e 'const server = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })')
	browse "$port" "$out/pages" "$seconds" > "$out/pages/browser.log" 2>&1 &
	browser=$!
	network=user,id=pages,restrict=on,hostfwd=tcp:127.0.0.1:$port-:$PAGES_PORT
	GUEST_CABLES=(-netdev "$network" -device "virtio-net-pci,netdev=pages")
	run_guest "$LAB/guest/main" "$out" "$seconds" || status=$?
	GUEST_CABLES=()
	[ -e "$out/pages/done" ] || kill "$browser" 2> /dev/null || true
	wait "$browser" || true
	cat "$out/pages/browser.log"
	# "SKIP NAME: WHY", and the others without a reason.
	sed -nE 's/^(PASS|FAIL) (.*)$/\1\t\2\t/p; s/^SKIP ([^:]*): (.*)$/SKIP\t\1\t\2/p' "$out/pages/browser.log" >> "$out/pages/checks"
	return "$status"
}

# browse PORT FOLDER SECONDS: once somebody answers there.
browse() {
	local end=$((SECONDS + $3))
	until node -e 'fetch(process.argv[1], { signal: AbortSignal.timeout(5000) }).then(() => process.exit(0), () => process.exit(1))' "http://127.0.0.1:$1/"; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "FAIL nobody serves the pages"
			break
		fi
		sleep 2
	done
	LUCI_URL=http://127.0.0.1:$1 LUCI_PASSWORD=$PAGES_PASSWORD nice -n 5 "$ROOT/tests/luci/run" || true
	touch "$2/done"
}
