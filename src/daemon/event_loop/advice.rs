//! The loop's part of the advice: packets to the virtual shapers, in the time between two cells.

use log::warn;

use super::super::advice::{Direction, ObservedPacket, PassiveMonitor, RateAdvisor};
use super::{EventLoop, MIN_IDLE_GAP, PASSIVE_MONITOR};
use crate::config::model::{Policy, Role};
use crate::sys::{random, timer};
use crate::units::Nanos;

/// A packet goes through all virtual shapers in less than this.
const WORK: Nanos = Nanos::from_millis(1);

/// From one look at the home's interfaces to the next.
const LOOK_AROUND: Nanos = Nanos::from_secs(60);

/// What is watched beside the line.
#[derive(Default)]
pub struct AdviceState {
    watch: Option<RateAdvisor>,
    passive_monitor: Option<PassiveMonitor>,
    /// When the home's interfaces are looked at again.
    next_look: Nanos,
}

impl AdviceState {
    /// Notes a packet of the device of that number.
    pub fn note(&mut self, at: Nanos, bytes: usize, device: u8, direction: Direction) {
        if let Some(watch) = &mut self.watch {
            watch.note(ObservedPacket { at, bytes: bytes as u16, device, direction });
        }
    }

    /// Begins anew, where numbers have come to mean other devices.
    pub fn clear(&mut self) {
        self.watch = None;
    }

    /// What has been watched, on a router.
    pub fn watch(&self) -> Option<&RateAdvisor> {
        self.watch.as_ref()
    }
}

impl EventLoop {
    /// Has the virtual shapers follow the settings in force.
    pub(super) fn begin_watching(&mut self, now: Nanos) {
        let (Some(settings), Some(size)) = (&self.settings, self.size) else { return };
        if let Some(passive_monitor) = self.advice.passive_monitor.take() {
            _ = self.poll.remove(&passive_monitor);
        }
        if settings.role != Role::Router {
            self.advice.watch = None;
            return;
        }
        if !self.advice.watch.as_ref().is_some_and(|watch| watch.fits(settings, size)) {
            // Nothing secret: where the kernel has no randomness, none is needed.
            let seed = random::seed().map_or(1, |seed| seed.iter().fold(1, |sum, byte| sum << 1 ^ u64::from(*byte)));
            self.advice.watch = Some(RateAdvisor::new(settings, size, seed, now));
        }
        let opened = PassiveMonitor::open(settings, |device| device.watch && device.policy == Policy::Direct);
        let watched = opened.and_then(|passive_monitor| {
            passive_monitor.iter().try_for_each(|passive_monitor| self.poll.add(passive_monitor, PASSIVE_MONITOR))?;
            Ok(passive_monitor)
        });
        match watched {
            Ok(passive_monitor) => self.advice.passive_monitor = passive_monitor,
            Err(error) => warn!("watching devices that are not shaped: {error}: advice is about the others alone"),
        }
    }

    /// Takes packets of devices that are only watched.
    pub(super) fn handle_observed_packets(&mut self) {
        let AdviceState { watch: Some(watch), passive_monitor: Some(passive_monitor), .. } = &mut self.advice else {
            return;
        };
        if let Err(error) = passive_monitor.take(watch) {
            warn!("watching devices that are not shaped: {error}: advice is about the others alone");
            _ = self.poll.remove(passive_monitor);
            self.advice.passive_monitor = None;
        }
    }

    /// Lets the virtual shapers work until the next cell is near.
    pub(super) fn work_on_advice(&mut self) {
        let Some(watch) = &mut self.advice.watch else { return };
        let until = self.departures.next().map(|next| next.saturating_since(WORK));
        watch.work(|| until.is_none_or(|until| timer::now() < until));
    }

    /// Once a second: counts what waits in virtual cells, where there is time.
    pub(super) fn advance_advice(&mut self, now: Nanos) {
        if self.departures.next().is_some_and(|next| next < now + MIN_IDLE_GAP) {
            return;
        }
        let AdviceState { watch, passive_monitor, next_look } = &mut self.advice;
        watch.iter_mut().for_each(|watch| watch.advance(now));
        if let Some(passive_monitor) = passive_monitor.as_mut().filter(|_| now >= *next_look) {
            *next_look = now + LOOK_AROUND;
            passive_monitor.look_around();
        }
    }
}
