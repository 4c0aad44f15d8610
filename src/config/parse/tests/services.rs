//! Services of the router, and what homes may reach behind an endpoint.

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

#[test]
fn exceptions_of_an_endpoint_are_addresses_and_networks() {
    let allow = |values: &[&str]| {
        let list: String = values.iter().map(|value| format!("\tlist allow '{value}'\n")).collect();
        parse(ENDPOINT.replace("\toption role 'endpoint'\n", &format!("\toption role 'endpoint'\n{list}")).as_bytes())
    };
    let valid = allow(&["10.9.0.5", "10.9.0.0/24", "fd00:9::/64", "0.0.0.0/0"]).settings.expect("settings").allow;
    let shown: Vec<String> = valid.iter().map(|(address, length)| format!("{address}/{length}")).collect();
    assert_eq!(shown, ["10.9.0.5/32", "10.9.0.0/24", "fd00:9::/64", "0.0.0.0/0"]);
    let wrong = allow(&["intranet", "10.9.0.0/33", "10.9.0.5/24", "fd00::9/64", "10.9.0.0/"]);
    let network = "want an address or a network such as 10.9.0.5 or 10.9.0.0/24";
    let first = "want the first address of the network";
    assert_eq!(
        lines(&wrong),
        [
            format!("f:8: main.allow: not an IP address (got 'intranet', {network})"),
            format!("f:9: main.allow: bad prefix length (got '10.9.0.0/33', {network})"),
            format!("f:10: main.allow: has host bits behind the prefix (got '10.9.0.5/24', {first})"),
            format!("f:11: main.allow: has host bits behind the prefix (got 'fd00::9/64', {first})"),
            format!("f:12: main.allow: bad prefix length (got '10.9.0.0/', {network})"),
        ]
    );
    let router = router_with("enabled", "\toption enabled '1'\n\tlist allow '10.9.0.5'");
    assert!(lines(&router).iter().any(|line| line.contains("main.allow: no effect with role 'router'")));
}
