# shellcheck shell=bash
# The scenario leaks with a build without the guard. It must be found leaking, or else the scenario leaks proves
# nothing. Some of the events are enough for that.

# shellcheck source=/dev/null
. "$LAB/scenarios/leaks.sh"

readonly SOME_EVENTS=(sigterm_and_start sigkill reload_good_file reload_broken_file wan_down_and_up fw4_reload mpwg0_deleted
	mp0_deleted rules_deleted
	transparent_proxy redirecting_proxy http_proxy_on_router socks_proxy_on_router
	stale_ipv4_source stale_ipv6_source forged_source_ping ttl_of_1 igmp_join vxlan_in_bridge
	lan_down_and_up lan_address_changed lan_prefix_changed
	foreign_table_by_rule foreign_table_by_mark refusals_by_foreign_table upgrade)
# shellcheck disable=SC2034 # read by leaks.sh and daemon.sh; MILLPOND_WITHOUT_GUARD is unset while the host reads allowance
MILLPOND=${MILLPOND_WITHOUT_GUARD-} ONLY=${ONLY:-${SOME_EVENTS[*]}}
