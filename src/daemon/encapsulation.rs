//! The overhead that a tunnel adds to a cell, by tunnel type and kind of interface.

use crate::config::model::{Settings, Tunnel};
use crate::daemon::error::Error;
use crate::daemon::reconcile::openvpn;
use crate::plan::tunnel::Carrier;
use crate::plan::{DesiredError, Facts};
use crate::wire::size::{Encapsulation, IpVersion};

/// GRE without key, checksum or sequence number (RFC 2784) in IPv4.
const GRE_OVERHEAD: usize = 20 + 4;
/// IPv4 in IPv4 (RFC 2003).
const IPIP_OVERHEAD: usize = 20;

/// The encapsulation of the configured tunnel. On an endpoint it only sizes the ceiling of the queue. Homes may
/// connect over either IP version; IPv4, the more common one, is assumed.
///
/// # Errors [`Error::Unfit`] if the overhead of the attached interface is unknown, [`DesiredError::NoInterface`] if
/// that interface is missing, and [`Error::Profile`] if the OpenVPN profile is unusable.
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
                    "tunnel.overhead: millpond does not know the overhead of interface {interface} (kind {kind}): \
                     set it to the bytes that the tunnel adds to a packet, outer IP header included"
                ))
            })
        }
    }
}

fn of_kind(carrier: &Carrier) -> Option<Encapsulation> {
    match carrier.kind.as_str() {
        "wireguard" => Some(Encapsulation::wireguard(if carrier.outer_ipv6 { IpVersion::V6 } else { IpVersion::V4 })),
        // `tun` belongs to a userspace program, usually OpenVPN. The others are OpenVPN in the kernel: `ovpn-dco` is
        // the module from outside the kernel tree, `ovpn` the one inside it.
        "tun" | "ovpn-dco" | "ovpn" => Some(Encapsulation::openvpn(IpVersion::V4)),
        "gre" => Some(Encapsulation::plain(GRE_OVERHEAD)),
        "ipip" => Some(Encapsulation::plain(IPIP_OVERHEAD)),
        _ => None,
    }
}
