# shellcheck shell=bash
# Verdicts: those of the scenarios, and those of "millpond-lab" on the provider's captures.

# judge STATUS SCENARIO...: prints every failed and skipped check and the totals, and succeeds if nothing failed.
judge() {
	local status=$1 scenario verdicts
	shift
	verdicts=$(mktemp)
	for scenario in "$@"; do
		if [ -s "$OUT/$scenario/checks" ]; then
			awk -F '\t' -v scenario="$scenario" '{ print $1 " " scenario ": " $2 ($3 == "" ? "" : " (" $3 ")") }' \
				"$OUT/$scenario/checks" >> "$verdicts"
		else
			echo "FAIL $scenario: the scenario did not run" >> "$verdicts"
		fi
		case $scenario in
		trains) judge_captures "$scenario" flat-line "$OUT/$scenario" "$verdicts" --law gamma ;;
		flat-line) judge_captures "$scenario" "$scenario" "$OUT/$scenario" "$verdicts" ;;
		adversary)
			judge_captures "$scenario" "$scenario" "$OUT/$scenario" "$verdicts"
			print_bounds "$OUT/$scenario"
			;;
		leaks | everyday) judge_captures "$scenario" leaks "$OUT/$scenario" "$verdicts" ;;
		leaks-without-guard) judge_captures "$scenario" leaks "$OUT/$scenario" "$verdicts" --without-guard ;;
		mips) judge_machine "$scenario" "$verdicts" ;;
		endpoint)
			judge_captures endpoint flat-line "$OUT/endpoint/lines" "$verdicts" --law gamma
			judge_endpoint_load "$verdicts"
			;;
		tunnels)
			checks_json "$scenario" > "$OUT/$scenario.json"
			judge_captures "$scenario" flat-line "$OUT/$scenario/openvpn" "$verdicts" --law gamma
			judge_captures "$scenario" flat-line "$OUT/$scenario/interface" "$verdicts" --law gamma
			;;
		*)
			# A scenario with measurements writes its own results.
			if [ -s "$OUT/$scenario/results.json" ]; then
				cp "$OUT/$scenario/results.json" "$OUT/$scenario.json"
			else
				checks_json "$scenario" > "$OUT/$scenario.json"
			fi
			;;
		esac
	done
	[ "$status" -eq 0 ] ||
		echo "FAIL laboratory: exited with status $status; see target/lab/console.log" >> "$verdicts"
	grep -v '^PASS' "$verdicts" | sed 's/^/lab: /' || true
	printf '%d passed, %d failed, %d skipped\n' "$(count PASS "$verdicts")" "$(count FAIL "$verdicts")" "$(count SKIP "$verdicts")"
	status=$(count FAIL "$verdicts")
	rm "$verdicts"
	[ "$status" -eq 0 ]
}

count() { grep -c "^$1" "$2" || true; }

# print_bounds FOLDER: prints what the best possible test could do with the router's lateness under each condition. The
# laws without a smooth density have no bound.
print_bounds() {
	local idle other
	for idle in "$1"/{gamma,normal}/idle.lateness.json; do
		[ -e "$idle" ] || continue
		for other in "${idle%/*}"/*.lateness.json; do
			[ "$other" != "$idle" ] || continue
			printf '\n'
			"$TARGET/host/millpond-lab" bound "$idle" "$other" || true
		done
	done
}

# judge_machine SCENARIO VERDICTS: judges the captures unless the scenario was skipped.
judge_machine() {
	if grep -qs '^SKIP' "$OUT/$1/checks"; then
		checks_json "$1" > "$OUT/$1.json"
	else
		judge_captures "$1" flat-line "$OUT/$1" "$2" --law gamma
	fi
}

# judge_endpoint_load VERDICTS: passes if every home was served. The load itself, in endpoint.json, is not judged.
judge_endpoint_load() {
	local status=0
	"$LAB/endpoint_load" --short || status=$?
	case $status in
	0) echo "PASS endpoint: 1, 10, 100 and 1000 homes are all served" >> "$1" ;;
	77) echo "SKIP endpoint: 1, 10, 100 and 1000 homes are all served: needs root" >> "$1" ;;
	*) echo "FAIL endpoint: 1, 10, 100 and 1000 homes are all served" >> "$1" ;;
	esac
}

# judge_captures SCENARIO COMMAND FOLDER VERDICTS ARGS...: runs "millpond-lab COMMAND", whose lines begin with ok, FAIL
# or skip, and adds them to VERDICTS. The command also writes FOLDER.json.
judge_captures() {
	local lines scenario=$1 command=$2 folder=$3 verdicts=$4 status=0
	shift 4
	say "judging the provider's captures: ${folder#"$OUT/"}"
	lines=$("$TARGET/host/millpond-lab" "$command" "$folder" "$@" 2>&1) || status=$?
	# Without the command's own totals, because judge counts its lines.
	lines=$(grep -vE '^[0-9]+ passed, ' <<< "$lines" || true)
	printf '%s\n' "$lines"
	sed -nE "s/^(ok|PASS) +/PASS $scenario: /p; s/^FAIL +/FAIL $scenario: /p; s/^(skip|SKIP) +/SKIP $scenario: /p" \
		<<< "$lines" >> "$verdicts"
	if [ "$status" -ne 0 ] && ! grep -q '^FAIL' <<< "$lines"; then
		echo "FAIL $scenario: judging its captures exited with status $status" >> "$verdicts"
	fi
}

# checks_json SCENARIO: prints its checks as JSON.
checks_json() {
	[ -s "$OUT/$1/checks" ] || return 0
	awk -F '\t' -v scenario="$1" '
		function quoted(text) { gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); gsub(/[\001-\037]/, " ", text); return "\"" text "\"" }
		BEGIN { printf "{\"scenario\": %s, \"checks\": [", quoted(scenario) }
		{ printf "%s\n  {\"result\": %s, \"name\": %s, \"text\": %s}", (NR > 1 ? "," : ""), quoted(tolower($1)), quoted($2), quoted($3) }
		END { print "\n]}" }' "$OUT/$1/checks"
}
