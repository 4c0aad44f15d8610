//! Feeds the rate advisor with packets, and runs its virtual shapers in the gaps between cells.

use std::path::Path;

use log::warn;

use super::saved::ObservationFile;
use super::{ObservedPacket, PassiveMonitor, RateAdvisor};
use crate::config::model::{Policy, Role, Settings};
use crate::daemon::token::Token;
use crate::sys::epoll::Poll;
use crate::sys::{random, timer};
use crate::units::{Chance, Nanos};
use crate::wire::size::Encapsulation;

/// The advisor's smallest part of work takes less time than this.
const MAX_PACKET_WORK: Nanos = Nanos::from_millis(1);

/// Period at which the monitor refreshes its list of LAN interfaces.
const INTERFACE_REFRESH_PERIOD: Nanos = Nanos::from_secs(60);

/// The advisor, and the monitor of devices that are not shaped.
pub struct AdviceFeed {
    advisor: Option<RateAdvisor>,
    file: ObservationFile,
    passive_monitor: Option<PassiveMonitor>,
    next_interface_refresh: Nanos,
    linger: Option<Chance>,
}

impl AdviceFeed {
    /// Nothing observed yet. What was observed before is in a file beside the data usage, which is at `usage_file`.
    pub fn new(usage_file: &Path, now: Nanos) -> AdviceFeed {
        let file = ObservationFile::beside(usage_file, now);
        AdviceFeed { advisor: None, file, passive_monitor: None, next_interface_refresh: Nanos::ZERO, linger: None }
    }

    /// The probability `linger` of bursts that fitted what had been watched before the last start.
    pub fn linger(&self) -> Option<Chance> {
        self.linger
    }

    /// Records a packet from or to a device.
    pub fn note(&mut self, packet: ObservedPacket) {
        if let Some(advisor) = &mut self.advisor {
            advisor.note(packet);
        }
    }

    /// Drops the advisor's data, because the numbers now mean other devices.
    pub fn clear(&mut self) {
        self.advisor = None;
    }

    /// The advisor; `None` on an endpoint, and on a router before its tunnel is up.
    pub fn advisor(&self) -> Option<&RateAdvisor> {
        self.advisor.as_ref()
    }

    /// Updates advisor and monitor to the settings in force, with the tunnel's encapsulation.
    pub fn update(&mut self, settings: &Settings, encapsulation: Encapsulation, poll: &Poll, now: Nanos) {
        if let Some(passive_monitor) = self.passive_monitor.take() {
            _ = poll.remove(&passive_monitor);
        }
        if settings.role != Role::Router {
            self.advisor = None;
            return;
        }
        if !self.advisor.as_ref().is_some_and(|advisor| advisor.fits(settings, encapsulation)) {
            // The seed is not secret: without randomness from the kernel a constant will do.
            let seed = random::seed().map_or(1, |seed| seed.iter().fold(1, |sum, byte| sum << 1 ^ u64::from(*byte)));
            let size = encapsulation.largest_cell(settings.shape.cell_bytes.into());
            let fresh = || {
                let mut advisor = RateAdvisor::new(settings, encapsulation, seed, now);
                size.into_iter().for_each(|size| advisor.watch_needs(settings, size, now));
                advisor
            };
            let mut advisor = fresh();
            if !self.file.read_into(&mut advisor) {
                advisor = fresh();
            }
            // What the provider may see changes only here: at a start, and with other devices.
            self.linger = advisor.needs.linger();
            self.advisor = Some(advisor);
        }
        if let (Some(advisor), Some(size)) =
            (&mut self.advisor, encapsulation.largest_cell(settings.shape.cell_bytes.into()))
        {
            advisor.watch_needs(settings, size, now);
        }
        let opened = PassiveMonitor::open(settings, |device| device.watch && device.policy == Policy::Direct);
        let opened = opened.and_then(|passive_monitor| {
            let token = Token::PassiveMonitor.into();
            passive_monitor.iter().try_for_each(|passive_monitor| poll.add(passive_monitor, token))?;
            Ok(passive_monitor)
        });
        match opened {
            Ok(passive_monitor) => self.passive_monitor = passive_monitor,
            Err(error) => warn!("watching devices that are not shaped: {error}; advice covers only shaped devices"),
        }
    }

    /// Reads packets of devices that are only watched.
    pub fn handle_packets(&mut self, poll: &Poll) {
        let AdviceFeed { advisor: Some(advisor), passive_monitor: Some(passive_monitor), .. } = self else { return };
        if let Err(error) = passive_monitor.receive_batch(advisor) {
            warn!("watching devices that are not shaped: {error}; advice covers only shaped devices");
            _ = poll.remove(passive_monitor);
            self.passive_monitor = None;
        }
    }

    /// Runs the virtual shapers up to `now`, as far as the time until shortly before the next departure allows.
    pub fn run(&mut self, next_departure: Option<Nanos>, now: Nanos) {
        let Some(advisor) = &mut self.advisor else { return };
        let until = next_departure.map(|next| next.saturating_since(MAX_PACKET_WORK));
        advisor.run_pending(now, || until.is_none_or(|until| timer::now() < until));
    }

    /// Refreshes the monitor, and writes down what was observed if that is due. To be called about once a second, in a
    /// gap between cells.
    pub fn handle_tick(&mut self, now: Nanos) {
        if let Some(passive_monitor) = self.passive_monitor.as_mut().filter(|_| now >= self.next_interface_refresh) {
            self.next_interface_refresh = now + INTERFACE_REFRESH_PERIOD;
            passive_monitor.refresh_interfaces();
        }
        self.file.reap();
        if let Some(advisor) = self.advisor.as_mut().filter(|_| self.file.is_due(now)) {
            self.file.start_write(advisor, now);
        }
    }

    /// Writes down what was observed, if that is due.
    pub fn close(&mut self, now: Nanos) -> std::io::Result<()> {
        let due = self.advisor.as_mut().filter(|_| self.file.is_due(now));
        due.map_or(Ok(()), |advisor| self.file.write(advisor, now))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Direction;
    use super::*;
    use crate::config::example;
    use crate::wire::size::IpVersion;

    fn packet(second: u64) -> ObservedPacket {
        ObservedPacket {
            at: Nanos::from_secs(second),
            bytes: 100,
            device: crate::units::DeviceId(1),
            direction: Direction::Up,
        }
    }

    /// The feed of a router.
    fn feed() -> AdviceFeed {
        let encapsulation = Encapsulation::wireguard(IpVersion::V4);
        AdviceFeed {
            advisor: Some(RateAdvisor::new(&example::router(), encapsulation, 7, Nanos::ZERO)),
            ..AdviceFeed::new(Path::new("/nonexistent/usage"), Nanos::ZERO)
        }
    }

    #[test]
    fn packets_reach_the_virtual_shapers_only_between_departures() {
        let mut feed = feed();
        feed.note(packet(1));
        feed.run(Some(Nanos::ZERO), Nanos::ZERO);
        assert!(feed.advisor().is_some_and(RateAdvisor::has_pending), "a cell is about to leave");
        feed.run(None, Nanos::ZERO);
        assert!(!feed.advisor().is_some_and(RateAdvisor::has_pending));
    }

    #[test]
    fn without_an_advisor_nothing_is_kept() {
        let mut feed = feed();
        feed.clear();
        feed.note(packet(1));
        feed.run(None, Nanos::ZERO);
        feed.handle_tick(Nanos::from_secs(2));
        assert!(feed.advisor().is_none());
    }
}
