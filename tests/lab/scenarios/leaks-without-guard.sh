# shellcheck shell=bash
# The scenario leaks with a build that lacks the guard: were that not found leaking, the other would prove nothing.

# shellcheck source=/dev/null
. "$LAB/scenarios/leaks.sh"

# shellcheck disable=SC2034 # what the world starts, unset where only the allowance is asked for
MILLPOND=${MILLPOND_WITHOUT_GUARD-}
