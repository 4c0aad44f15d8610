//! What a tunnel puts around a cell, by its type and by the interface's kind.

use super::error::Error;
use super::openvpn;
use crate::config::model::{Settings, Tunnel};
use crate::plan::tunnel::Carrier;
use crate::plan::{DesiredError, Facts};
use crate::wire::size::{Encapsulation, IpVersion};

/// GRE without key, checksum or sequence number (RFC 2784) in IPv4.
const GRE_OVERHEAD: usize = 20 + 4;
/// IPv4 in IPv4 (RFC 2003).
const IPIP_OVERHEAD: usize = 20;

/// What the settings' tunnel puts around a cell. An endpoint's homes come by either IP version; there it only sizes
/// the ceiling of the queue, and IPv4 is the more common.
pub fn encapsulation(settings: &Settings, facts: &Facts) -> Result<Encapsulation, Error> {
    let version = |ipv6| if ipv6 { IpVersion::V6 } else { IpVersion::V4 };
    match &settings.tunnel {
        Some(Tunnel::Wireguard(_)) | None => {
            Ok(Encapsulation::wireguard(version(facts.endpoint.is_some_and(|endpoint| endpoint.is_ipv6()))))
        }
        Some(Tunnel::Openvpn { .. }) => {
            let ipv6 = openvpn::profile(settings)?.is_some_and(|profile| profile.ipv6);
            Ok(Encapsulation::openvpn(version(ipv6)))
        }
        Some(Tunnel::Interface { overhead: Some(bytes), .. }) => Ok(Encapsulation::plain((*bytes).into())),
        Some(Tunnel::Interface { interface, .. }) => {
            let carrier = facts.carrier.as_ref().ok_or_else(|| DesiredError::NoInterface(interface.clone()))?;
            of_kind(carrier).ok_or_else(|| {
                let kind = &carrier.kind;
                Error::Unfit(format!(
                    "tunnel.overhead: what {interface}, of kind {kind}, puts around a packet is not known here: \
                     set overhead to that number of bytes, IP header included"
                ))
            })
        }
    }
}

fn of_kind(carrier: &Carrier) -> Option<Encapsulation> {
    match carrier.kind.as_str() {
        "wireguard" => Some(Encapsulation::wireguard(if carrier.outer_ipv6 { IpVersion::V6 } else { IpVersion::V4 })),
        // A program's own, OpenVPN's more often than not; and OpenVPN in the kernel, out of its tree and in it.
        "tun" | "ovpn-dco" | "ovpn" => Some(Encapsulation::openvpn(IpVersion::V4)),
        "gre" => Some(Encapsulation::plain(GRE_OVERHEAD)),
        "ipip" => Some(Encapsulation::plain(IPIP_OVERHEAD)),
        _ => None,
    }
}
