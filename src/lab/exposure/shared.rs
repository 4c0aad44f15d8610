//! The home's traffic as one link to the provider: behind a plain VPN (the paper's section 6.2) and shaped (section 7).

use super::HostExposure;
use crate::lab::activity::{Detector, Label, LabelledCapture, SampledTraffic, score_traffic};
use crate::lab::error::Error;
use crate::lab::simulate::{SimulationConfig, SimulationResult, simulate};
use crate::lab::trace::{HomeTrace, PacketRecord, Trace};
use crate::units::Nanos;

/// A device with a larger share of the traffic than this is as visible behind a VPN as without one.
const DOMINANT_SHARE: f64 = 0.8;
const MONTH_S: f64 = 30.44 * 86_400.0;

/// The home's link as the provider sees it.
pub struct LinkExposure {
    /// Its packets, in the detector's samples.
    pub traffic: SampledTraffic,
    /// For each host: how often its own traffic became active, how many of these times are visible on the link, and how
    /// many would be visible if they had happened at other times.
    pub uses: Vec<(usize, usize, f64)>,
    /// Index of the host with the most bytes, and its share of all bytes, 0..=1.
    pub largest: (usize, f64),
    /// Share of the active seconds in which exactly one host sends or receives, 0..=1.
    pub alone: f64,
}

impl LinkExposure {
    /// Whether one device dominates the traffic.
    pub fn is_dominated(&self) -> bool {
        self.largest.1 > DOMINANT_SHARE
    }

    /// Totals over all hosts: times active, how many of them are visible, and how many would be visible by chance.
    pub fn total(&self) -> (usize, usize, f64) {
        self.uses.iter().fold((0, 0, 0.0), |sum, own| (sum.0 + own.0, sum.1 + own.1, sum.2 + own.2))
    }
}

/// The shaped link and its costs.
pub struct ShapedExposure {
    /// What the provider sees.
    pub link: LinkExposure,
    /// Length in bytes of every packet on the link, from the IP header on.
    pub wire_bytes: usize,
    /// The simulated settings.
    pub config: SimulationConfig,
    /// Delays, cover and drops.
    pub result: SimulationResult,
    /// Bytes per month, both directions together.
    pub month_bytes: f64,
}

/// Sends the packets of all hosts through one tunnel without shaping.
pub(super) fn through_vpn(home: &HomeTrace, hosts: &[HostExposure], detector: &Detector) -> LinkExposure {
    let mut packets: Vec<PacketRecord> = home.devices.iter().flat_map(|trace| trace.packets.iter().copied()).collect();
    packets.sort();
    let trace = Trace { device: "home".to_owned(), packets };
    link_exposure(home, hosts, SampledTraffic::of(&trace, detector.sample), detector)
}

/// Sends the packets of all hosts through the real engines.
pub(super) fn shaped(
    home: &HomeTrace,
    hosts: &[HostExposure],
    config: &SimulationConfig,
    detector: &Detector,
) -> Result<ShapedExposure, Error> {
    let wire_bytes = config.cell()?.wire_bytes;
    // A week has tens of millions of cells, so they are not kept.
    let mut traffic = SampledTraffic::new(detector.sample);
    let result = simulate(home, config, |departure| {
        let bytes = wire_bytes as u16;
        traffic.add(&PacketRecord { time: departure.time, direction: departure.direction, bytes });
    })?;
    let month_bytes = (config.upload.0 + config.download.0) as f64 / 8.0 * MONTH_S;
    Ok(ShapedExposure {
        link: link_exposure(home, hosts, traffic, detector),
        wire_bytes,
        config: *config,
        result,
        month_bytes,
    })
}

fn link_exposure(
    home: &HomeTrace,
    hosts: &[HostExposure],
    traffic: SampledTraffic,
    detector: &Detector,
) -> LinkExposure {
    let total: u64 = hosts.iter().map(|host| host.bytes).sum();
    let largest = (0..hosts.len()).max_by_key(|&index| hosts[index].bytes).unwrap_or(0);
    let part = hosts.get(largest).map_or(0.0, |host| host.bytes as f64 / total.max(1) as f64);
    let mut case = LabelledCapture {
        name: "home".to_owned(),
        kind: "any",
        caveat: None,
        trace: Trace { device: "home".to_owned(), packets: Vec::new() },
        labels: Vec::new(),
        unscored_s: Vec::new(),
    };
    let mut uses = Vec::new();
    for host in hosts {
        let label = |start_s, end_s| Label { start_s, duration_s: end_s - start_s, what: String::new() };
        case.labels = host.onsets.iter().map(|onset| label(onset.start_s, onset.end_s)).collect();
        let result = score_traffic(&case, &traffic, detector);
        uses.push((result.labels, result.found, result.found_by_chance));
    }
    LinkExposure { traffic, uses, largest: (largest, part), alone: alone(home) }
}

fn alone(home: &HomeTrace) -> f64 {
    let second = Nanos::from_secs(1).0;
    let mut active = vec![0u8; (home.length.0 / second) as usize + 1];
    for trace in &home.devices {
        let mut last = None;
        for packet in &trace.packets {
            let at = (packet.time.0 / second) as usize;
            if last != Some(at) {
                active[at] = active[at].saturating_add(1);
                last = Some(at);
            }
        }
    }
    let any = active.iter().filter(|count| **count > 0).count();
    active.iter().filter(|count| **count == 1).count() as f64 / any.max(1) as f64
}
