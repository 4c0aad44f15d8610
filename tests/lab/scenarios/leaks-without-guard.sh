# shellcheck shell=bash
# The scenario leaks with a build that lacks the guard: were that not found leaking, the other would prove nothing. A part
# of the events is enough for that.

# shellcheck source=/dev/null
. "$LAB/scenarios/leaks.sh"

readonly ENOUGH=(sigterm_and_start sigkill reload_good_file reload_broken_file wan_down_and_up fw4_reload mpwg0_deleted
	mp0_deleted rules_deleted upgrade)
# shellcheck disable=SC2034 # what the world starts and goes through, unset where only the allowance is asked for
MILLPOND=${MILLPOND_WITHOUT_GUARD-} ONLY=${ONLY:-${ENOUGH[*]}}
