# shellcheck shell=bash
# The home of the scenario "leaks" goes through more of what everyday brings: habits of servers and providers, a clock
# that is wrong at boot, devices that change, and programs that other people install. Judged as "leaks" is.

# shellcheck source=/dev/null
. "$LAB/scenarios/leaks.sh"

allowance() { echo 600; }

# shellcheck disable=SC2034 # read by leaks.sh and home.sh
EVENTS=(
	boot_with_guard_file_only daemon_start
	server_moved_and_name_is_stale server_moved_unseen wan_down_20_s_and_new_address policy_routing_reloaded_ten_times
	captive_portal clock_of_1970_at_start
	resolver_of_a_television device_changes_interface second_router_in_shaped_network second_router_in_lan
)
# shellcheck disable=SC2034 # read by settings_home
IPV6_IN_TUNNEL=1
