//! What a tunnel puts around a cell, by its type and by the interface's kind.

use super::error::Error;
use super::openvpn;
use crate::config::model::{Settings, Tunnel};
use crate::plan::tunnel::Carrier;
use crate::plan::{DesiredError, Facts};
use crate::wire::size::{IpVersion, Wrapping};

/// GRE without key, checksum or sequence number (RFC 2784) in IPv4.
const GRE_OVERHEAD: usize = 20 + 4;
/// IPv4 in IPv4 (RFC 2003).
const IPIP_OVERHEAD: usize = 20;

/// What the settings' tunnel puts around a cell. An endpoint's homes come by either IP version; there it only sizes
/// the ceiling of the queue, and IPv4 is the more common.
pub fn wrapping(settings: &Settings, facts: &Facts) -> Result<Wrapping, Error> {
    let version = |ipv6| if ipv6 { IpVersion::V6 } else { IpVersion::V4 };
    match &settings.tunnel {
        Some(Tunnel::Wireguard(_)) | None => {
            Ok(Wrapping::wireguard(version(facts.endpoint.is_some_and(|endpoint| endpoint.is_ipv6()))))
        }
        Some(Tunnel::Openvpn { .. }) => {
            let ipv6 = openvpn::profile(settings)?.is_some_and(|profile| profile.ipv6);
            Ok(Wrapping::openvpn(version(ipv6)))
        }
        Some(Tunnel::Interface { overhead: Some(bytes), .. }) => Ok(Wrapping::plain((*bytes).into())),
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

fn of_kind(carrier: &Carrier) -> Option<Wrapping> {
    match carrier.kind.as_str() {
        "wireguard" => Some(Wrapping::wireguard(if carrier.outer_ipv6 { IpVersion::V6 } else { IpVersion::V4 })),
        // A program's own, OpenVPN's more often than not; and OpenVPN in the kernel, out of its tree and in it.
        "tun" | "ovpn-dco" | "ovpn" => Some(Wrapping::openvpn(IpVersion::V4)),
        "gre" => Some(Wrapping::plain(GRE_OVERHEAD)),
        "ipip" => Some(Wrapping::plain(IPIP_OVERHEAD)),
        _ => None,
    }
}
