//! `option self`: this machine itself.

use super::super::parse;
use super::{ROUTER, lines, router_text, router_with};
use crate::config::model::Policy;

#[test]
fn this_machine_is_a_device() {
    let settings = router_with("mac", "option self '1'").settings.expect("good settings");
    assert!(settings.devices[0].is_self && settings.devices[0].macs.is_empty());
    assert_eq!(settings.own_policy(), Some(Policy::Shape));
    let text = router_text("mac", "option self '1'\n\toption policy 'direct'");
    assert_eq!(parse(text.as_bytes()).settings.expect("good settings").own_policy(), None);
    assert_eq!(parse(ROUTER.as_bytes()).settings.expect("good settings").own_policy(), None);
    // A device without any choice is still an error.
    assert!(router_with("mac", "option self '0'").settings.is_none());
}

#[test]
fn what_cannot_be_this_machine_is_refused() {
    let refused = |text: &str, why: &str| {
        let parsed = parse(text.as_bytes());
        assert!(
            parsed.settings.is_none() && lines(&parsed).iter().any(|line| line.contains(why)),
            "{:?}",
            lines(&parsed)
        );
    };
    let text = router_text("mac", "option self '1'");
    refused(&(text.clone() + "\nconfig device\n\toption self '1'\n"), "another section is this machine already");
    refused(&text.replace("option self '1'", "option self 'perhaps'"), "self");
    let openvpn =
        text.replace("option type 'wireguard'", "option type 'openvpn'\n\toption profile '/etc/millpond/x.ovpn'");
    refused(&openvpn, "want tunnel.type wireguard");
}
