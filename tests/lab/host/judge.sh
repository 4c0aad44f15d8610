# shellcheck shell=bash
# Verdicts: those of the world itself, and those of "millpond-lab" on what the provider captured.

# judge STATUS SCENARIO...: prints the sum, and returns whether nothing failed.
judge() {
	local status=$1 scenario verdicts
	shift
	verdicts=$(mktemp)
	for scenario in "$@"; do
		if [ -s "$OUT/$scenario/checks" ]; then
			cut -f 1 "$OUT/$scenario/checks" >> "$verdicts"
		fi
		case $scenario in
		flat-line) judge_captures "$scenario" "$verdicts" ;;
		*) checks_json "$scenario" > "$OUT/$scenario.json" ;;
		esac
		[ -s "$OUT/$scenario/checks" ] || {
			say "FAIL $scenario: it did not run"
			echo FAIL >> "$verdicts"
		}
	done
	if [ "$status" -ne 0 ]; then
		say "FAIL the laboratory ended with status $status; its console is in $OUT/console.log"
		echo FAIL >> "$verdicts"
	fi
	printf '%d passed, %d failed, %d skipped\n' "$(count PASS "$verdicts")" "$(count FAIL "$verdicts")" "$(count SKIP "$verdicts")"
	status=$(count FAIL "$verdicts")
	rm "$verdicts"
	[ "$status" -eq 0 ]
}

count() { grep -c "^$1" "$2" || true; }

# judge_captures SCENARIO VERDICTS: millpond-lab's lines begin with PASS, FAIL or SKIP; it writes OUT/SCENARIO.json.
judge_captures() {
	local lines status=0
	say "judging what the provider saw"
	lines=$("$TARGET/lab/millpond-lab" "$1" "$OUT/$1") || status=$?
	printf '%s\n' "$lines"
	grep -oiE '^ *(pass|fail|skip)' <<< "$lines" | tr -d ' ' | tr '[:lower:]' '[:upper:]' >> "$2" || true
	if [ "$status" -ne 0 ] && ! grep -qiE '^ *fail' <<< "$lines"; then
		say "FAIL $1: judging ended with status $status"
		echo FAIL >> "$2"
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
