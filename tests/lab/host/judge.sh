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
		flat-line | adversary) judge_captures "$scenario" "$scenario" "$OUT/$scenario" "$verdicts" ;;
		leaks) judge_captures leaks leaks "$OUT/leaks" "$verdicts" ;;
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

# judge_machine SCENARIO VERDICTS: where it was skipped, there is nothing to judge.
judge_machine() {
	if grep -qs '^SKIP' "$OUT/$1/checks"; then
		checks_json "$1" > "$OUT/$1.json"
	else
		judge_captures "$1" flat-line "$OUT/$1" "$2" --law gamma
	fi
}

# judge_endpoint_load VERDICTS: whether every home was served. The speed, in endpoint.json, is for readers alone.
judge_endpoint_load() {
	local status=0
	"$LAB/endpoint_load" || status=$?
	case $status in
	0) echo "PASS endpoint: every home of 1, 10, 100 and 1000 is served" >> "$1" ;;
	77) echo "SKIP endpoint: every home of 1, 10, 100 and 1000 is served: not root" >> "$1" ;;
	*) echo "FAIL endpoint: every home of 1, 10, 100 and 1000 is served" >> "$1" ;;
	esac
}

# judge_captures SCENARIO COMMAND FOLDER VERDICTS ARGS...: lines of "millpond-lab COMMAND" begin with ok, FAIL or skip; it
# writes FOLDER.json.
judge_captures() {
	local lines scenario=$1 command=$2 folder=$3 verdicts=$4 status=0
	shift 4
	say "judging what the provider saw: ${folder#"$OUT/"}"
	lines=$("$TARGET/host/millpond-lab" "$command" "$folder" "$@" 2>&1) || status=$?
	# Its own sum is part of the one below.
	lines=$(grep -vE '^[0-9]+ passed, ' <<< "$lines" || true)
	printf '%s\n' "$lines"
	sed -nE "s/^(ok|PASS) +/PASS $scenario: /p; s/^FAIL +/FAIL $scenario: /p; s/^(skip|SKIP) +/SKIP $scenario: /p" \
		<<< "$lines" >> "$verdicts"
	if [ "$status" -ne 0 ] && ! grep -q '^FAIL' <<< "$lines"; then
		echo "FAIL $scenario: judging ended with status $status" >> "$verdicts"
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
