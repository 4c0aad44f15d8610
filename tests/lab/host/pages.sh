# shellcheck shell=bash
# The scenario "pages": the guest serves the LuCI pages, and tests/luci tests them with a browser on this machine.

# Port and password of the pages in the guest.
# shellcheck disable=SC2034 # read by print_request
readonly PAGES_PORT=8080 PAGES_PASSWORD=millpond

# run_pages OUT SECONDS: always runs in QEMU, whose user network forwards a port of this machine to the guest.
run_pages() {
	local out=$1 seconds=$2 status=0 port browser network
	"$ROOT/tests/tools/setup" luci || die "installing the browser failed"
	port=$(node -e 'const server = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(server.address().port); server.close(); })')
	run_browser_tests "$port" "$out/pages" "$seconds" > "$out/pages/browser.log" 2>&1 &
	browser=$!
	network=user,id=pages,restrict=on,hostfwd=tcp:127.0.0.1:$port-:$PAGES_PORT
	GUEST_CABLES=(-netdev "$network" -device "virtio-net-pci,netdev=pages")
	run_guest "$LAB/guest/main" "$out" "$seconds" || status=$?
	GUEST_CABLES=()
	[ -e "$out/pages/done" ] || kill "$browser" 2> /dev/null || true
	wait "$browser" || true
	cat "$out/pages/browser.log"
	# SKIP lines have a reason ("SKIP NAME: WHY"), the others have none.
	sed -nE 's/^(PASS|FAIL) (.*)$/\1\t\2\t/p; s/^SKIP ([^:]*): (.*)$/SKIP\t\1\t\2/p' "$out/pages/browser.log" >> "$out/pages/checks"
	return "$status"
}

# run_browser_tests PORT FOLDER SECONDS: waits up to SECONDS for the server, then runs the tests and creates
# FOLDER/done.
run_browser_tests() {
	local end=$((SECONDS + $3))
	until node -e 'fetch(process.argv[1], { signal: AbortSignal.timeout(5000) }).then(() => process.exit(0), () => process.exit(1))' "http://127.0.0.1:$1/"; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "FAIL the guest serves the pages"
			break
		fi
		sleep 2
	done
	LUCI_URL=http://127.0.0.1:$1 LUCI_PASSWORD=$PAGES_PASSWORD nice -n 5 "$ROOT/tests/luci/run" || true
	touch "$2/done"
}
