# shellcheck shell=bash
# Verdicts: those of the world itself, and those of "millpond-lab" on what the provider captured.

# judge STATUS SCENARIO...: repeats what did not pass, prints the sum, and returns whether nothing failed.
judge() {
	local status=$1 scenario verdicts
	shift
	verdicts=$(mktemp)
	for scenario in "$@"; do
		if [ -s "$OUT/$scenario/checks" ]; then
			awk -F '\t' -v scenario="$scenario" '{ print $1 " " scenario ": " $2 ($3 == "" ? "" : " (" $3 ")") }' \
				"$OUT/$scenario/checks" >> "$verdicts"
		else
			echo "FAIL $scenario: it did not run" >> "$verdicts"
		fi
		case $scenario in
		flat-line | adversary) judge_captures "$scenario" "$verdicts" ;;
		*)
			# Some measure more than they check.
			if [ -s "$OUT/$scenario/results.json" ]; then
				cp "$OUT/$scenario/results.json" "$OUT/$scenario.json"
			else
				checks_json "$scenario" > "$OUT/$scenario.json"
			fi
			;;
		esac
	done
	[ "$status" -eq 0 ] ||
		echo "FAIL laboratory: ended with status $status; its console is in target/lab/console.log" >> "$verdicts"
	grep -v '^PASS' "$verdicts" | sed 's/^/lab: /' || true
	printf '%d passed, %d failed, %d skipped\n' "$(count PASS "$verdicts")" "$(count FAIL "$verdicts")" "$(count SKIP "$verdicts")"
	status=$(count FAIL "$verdicts")
	rm "$verdicts"
	[ "$status" -eq 0 ]
}

count() { grep -c "^$1" "$2" || true; }

# judge_captures SCENARIO VERDICTS: millpond-lab's lines begin with ok, FAIL or skip; it writes OUT/SCENARIO.json.
judge_captures() {
	local lines status=0
	say "judging what the provider saw"
	lines=$("$TARGET/host/millpond-lab" "$1" "$OUT/$1") || status=$?
	# Its own sum is part of the one below.
	lines=$(grep -vE '^[0-9]+ passed, ' <<< "$lines" || true)
	printf '%s\n' "$lines"
	sed -nE "s/^(ok|PASS) +/PASS $1: /p; s/^FAIL +/FAIL $1: /p; s/^(skip|SKIP) +/SKIP $1: /p" <<< "$lines" >> "$2"
	if [ "$status" -ne 0 ] && ! grep -q '^FAIL' <<< "$lines"; then
		echo "FAIL $1: judging ended with status $status" >> "$2"
	fi
}

checks_json() {
	[ -s "$OUT/$1/checks" ] || return 0
	awk -F '\t' -v scenario="$1" '
		function quoted(text) { gsub(/\\/, "\\\\", text); gsub(/"/, "\\\"", text); gsub(/[\001-\037]/, " ", text); return "\"" text "\"" }
		BEGIN { printf "{\"scenario\": %s, \"checks\": [", quoted(scenario) }
		{ printf "%s\n  {\"result\": %s, \"name\": %s, \"text\": %s}", (NR > 1 ? "," : ""), quoted(tolower($1)), quoted($2), quoted($3) }
		END { print "\n]}" }' "$OUT/$1/checks"
}
