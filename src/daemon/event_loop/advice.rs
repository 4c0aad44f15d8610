//! Feeds the rate advisor's virtual shapers with packets, in the gaps between cells.

use log::warn;

use crate::config::model::{Policy, Role};
use crate::daemon::advice::{Direction, ObservedPacket, PassiveMonitor, RateAdvisor};
use crate::daemon::event_loop::{EventLoop, MIN_IDLE_GAP, PASSIVE_MONITOR};
use crate::sys::{random, timer};
use crate::units::Nanos;

/// One packet goes through all virtual shapers in less time than this.
const MAX_PACKET_WORK: Nanos = Nanos::from_millis(1);

/// Period at which the monitor refreshes its list of LAN interfaces.
const INTERFACE_REFRESH_PERIOD: Nanos = Nanos::from_secs(60);

/// The advisor, and the monitor of devices that are not shaped.
#[derive(Default)]
pub struct AdviceState {
    advisor: Option<RateAdvisor>,
    passive_monitor: Option<PassiveMonitor>,
    next_interface_refresh: Nanos,
}

impl AdviceState {
    /// Records a packet of `bytes` bytes from or to the device with that number.
    pub fn note(&mut self, at: Nanos, bytes: usize, device: u8, direction: Direction) {
        if let Some(advisor) = &mut self.advisor {
            advisor.note(ObservedPacket { at, bytes: bytes as u16, device, direction });
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
}

impl EventLoop {
    /// Updates advisor and monitor to the settings in force.
    pub(super) fn update_advisor(&mut self, now: Nanos) {
        let (Some(settings), Some(size)) = (&self.settings, self.size) else { return };
        if let Some(passive_monitor) = self.advice.passive_monitor.take() {
            _ = self.poll.remove(&passive_monitor);
        }
        if settings.role != Role::Router {
            self.advice.advisor = None;
            return;
        }
        if !self.advice.advisor.as_ref().is_some_and(|advisor| advisor.fits(settings, size)) {
            // The seed is not secret: without randomness from the kernel a constant will do.
            let seed = random::seed().map_or(1, |seed| seed.iter().fold(1, |sum, byte| sum << 1 ^ u64::from(*byte)));
            self.advice.advisor = Some(RateAdvisor::new(settings, size, seed, now));
        }
        let opened = PassiveMonitor::open(settings, |device| device.watch && device.policy == Policy::Direct);
        let opened = opened.and_then(|passive_monitor| {
            passive_monitor.iter().try_for_each(|passive_monitor| self.poll.add(passive_monitor, PASSIVE_MONITOR))?;
            Ok(passive_monitor)
        });
        match opened {
            Ok(passive_monitor) => self.advice.passive_monitor = passive_monitor,
            Err(error) => warn!("watching devices that are not shaped: {error}; advice covers only shaped devices"),
        }
    }

    /// Reads packets of devices that are only watched.
    pub(super) fn handle_observed_packets(&mut self) {
        let AdviceState { advisor: Some(advisor), passive_monitor: Some(passive_monitor), .. } = &mut self.advice
        else {
            return;
        };
        if let Err(error) = passive_monitor.receive_batch(advisor) {
            warn!("watching devices that are not shaped: {error}; advice covers only shaped devices");
            _ = self.poll.remove(passive_monitor);
            self.advice.passive_monitor = None;
        }
    }

    /// Runs the virtual shapers until shortly before the next departure.
    pub(super) fn run_advisor(&mut self) {
        let Some(advisor) = &mut self.advice.advisor else { return };
        let until = self.departures.next().map(|next| next.saturating_since(MAX_PACKET_WORK));
        advisor.run_pending(|| until.is_none_or(|until| timer::now() < until));
    }

    /// Advances the virtual shapers to `now`, if there is time before the next departure. Runs once a second.
    pub(super) fn advance_advice(&mut self, now: Nanos) {
        if self.departures.next().is_some_and(|next| next < now + MIN_IDLE_GAP) {
            return;
        }
        let AdviceState { advisor, passive_monitor, next_interface_refresh } = &mut self.advice;
        advisor.iter_mut().for_each(|advisor| advisor.advance(now));
        if let Some(passive_monitor) = passive_monitor.as_mut().filter(|_| now >= *next_interface_refresh) {
            *next_interface_refresh = now + INTERFACE_REFRESH_PERIOD;
            passive_monitor.refresh_interfaces();
        }
    }
}
