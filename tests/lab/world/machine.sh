# shellcheck shell=bash
# The router as a separate machine, booted by host/mips.sh. MACHINE is its address. Commands go to tests/lab/mips/serve
# on it, through a control cable that is not part of the world.

# The router's firewall accepts everything from the control cable.
# shellcheck disable=SC2034 # read by firewall.sh
[ -z "$MACHINE" ] || FW4_LAN='"br-lan", "control"'

# at_machine COMMAND...: runs the command there and returns its status. Passes standard input on if it is a pipe or a
# file. Standard error goes to the machine's console.
at_machine() {
	local reply
	reply=$({
		quoted "$@" | base64 -w 0
		echo
		if [ -p /dev/stdin ] || [ -f /dev/stdin ]; then cat; fi
	} | timeout 60 busybox nc "$MACHINE" 7) || return 255
	printf '%s\n' "${reply%$'\n'*}" | sed '$ { /^$/ d }'
	return "${reply##*$'\n'}"
}

# quoted WORD...: prints the words quoted for any shell.
quoted() {
	local word
	for word in "$@"; do
		printf "'%s' " "${word//\'/\'\\\'\'}"
	done
}

# Names this machine's ends of the cables cable1 (WAN), cable2 (LAN) and cable3 (commands), which no interface of the
# world is called.
machine_cables() {
	local number
	for number in 1 2 3; do
		[ -e "/sys/class/net/cable$number" ] ||
			ip link set "$(grep -lix "02:00:00:00:02:0$number" /sys/class/net/*/address | cut -d / -f 5)" name "cable$number"
	done
}

# Connects the cables and waits for the machine. Then makes WORK and MILLPOND valid paths on it too.
machine_up() {
	ip link set cable1 netns isp name home
	ip link set cable2 netns switch
	switch | ip -n switch -batch -
	ip address replace 169.254.77.2/30 dev cable3
	ip link set cable3 up
	say "waiting for the router to boot"
	await 120 "the router to boot" at_machine true
	at_machine mkdir -p "$WORK" "${MILLPOND%/*}"
	# shellcheck disable=SC2016 # expanded by the shell there
	at_machine sh -c 'ln -sf "$(command -v millpond)" "$1"' - "$MILLPOND"
}

# Prints the "ip" commands of the switch that replaces the router's LAN ports.
switch() {
	local device
	echo "link add ports type bridge"
	for device in "${DEVICES[@]}"; do echo "link set lan${device##* } master ports up"; done
	echo "link set cable2 master ports up"
	echo "link set ports up"
}

# machine_daemon COMMAND...: starts the router's daemon and prints its process number. Log and exit status are in WORK
# there.
machine_daemon() {
	at_machine sh -c "cat > $WORK/router.uci" < "$WORK/router.uci"
	# shellcheck disable=SC2016 # expanded by the shell there
	at_machine sh -c 'cd "$1" && shift && rm -f status
		(sh -c "echo \$\$ > pid; exec \"\$@\"" - "$@" > router.log 2>&1; echo $? > status) < /dev/null > /dev/null &
		until [ -s pid ]; do usleep 10000; done; cat pid; rm pid' - "$WORK" "$@"
}

machine_daemon_succeeded() { [ "$(at_machine cat "$WORK/status")" = 0 ]; }

# machine_clock: prints the uptime there and here. An emulated board measures the speed of its clock while it boots, and
# may get it wrong on a busy host.
machine_clock() { echo "$(at_machine cut -d ' ' -f 1 /proc/uptime) $(cut -d ' ' -f 1 /proc/uptime)"; }

# machine_counts open|close DIR: writes the instructions that the machine executed in the window, and the cells that it
# sent and received, to DIR/instructions.json. Reading the status takes instructions too; they are kept out of the
# window.
machine_counts() {
	local cells instructions
	if [ ! -s "$OUT/$SCENARIO/instructions" ]; then
		return
	fi
	if [ "$1" = open ]; then
		cells=$(machine_cells)
		echo "$cells $(machine_instructions)" > "$WORK/counts"
	else
		instructions=$(machine_instructions)
		echo "$(cat "$WORK/counts") $(machine_cells) $instructions" | awk '{
			printf "{\"cells\": %d, \"program\": %.0f, \"machine\": %.0f}\n", $4 - $1, $5 - $2, $6 - $3 }' > "$2/instructions.json"
	fi
}

machine_instructions() { od -A n -t u8 "$OUT/$SCENARIO/instructions" | xargs; }

machine_cells() {
	status_of router | grep -oE '"cells_(data|cover|received)":[0-9]+' | awk -F : '{ sum += $2 } END { print sum }'
}
