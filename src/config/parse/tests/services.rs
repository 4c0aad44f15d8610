//! Services of the router.

use super::*;

#[test]
fn router_services_are_a_protocol_and_a_port() {
    let with =
        |service: &str| router_with("enabled", &format!("option enabled '1'\n\tlist router_service '{service}'"));
    let services = with("udp/65535").settings.expect("settings").router_services;
    assert_eq!(services, [RouterService { protocol: Protocol::Udp, port: 65535 }]);
    for wrong in ["8883", "tcp/0", "tcp/65536", "sctp/1", "tcp/http", "tcp:80", "/80"] {
        let parsed = with(wrong);
        assert_eq!(parsed.problems.len(), 1, "{wrong}: {:?}", lines(&parsed));
        assert!(parsed.problems[0].text.contains("such as tcp/8883"), "{:?}", lines(&parsed));
    }
}
