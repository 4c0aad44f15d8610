//! The loop's part of ubus: calls when there is time for them, and news.

use log::info;

use super::super::answer;
use super::super::liveness::State;
use super::super::problem::{Code, Problem};
use super::super::request::{Answer, Requester};
use super::super::ubus::Presence;
use super::{EventLoop, LoopFlow};
use crate::units::Nanos;

impl EventLoop {
    /// Connects, goes on or gives up where that is due, in a gap between cells.
    pub(super) fn poll_ubus(&mut self, now: Nanos) {
        let call = self.ubus.due().is_some_and(|due| due <= now);
        let list = self.listing.due().is_some_and(|due| due <= now);
        if !(call || list) || !self.has_gap(now) {
            return;
        }
        if call {
            self.ubus.turn(&self.poll, now);
            self.note_presence();
        } else {
            self.begin_listing(now);
        }
    }

    /// Takes a call, if one has come whole.
    pub(super) fn handle_ubus(&mut self, now: Nanos) -> LoopFlow {
        let call = self.ubus.handle(&self.poll, now);
        self.note_presence();
        match call {
            Some((caller, Ok(request))) => self.serve(request, Requester::Ubus(caller), now),
            Some((caller, Err(refusal))) => {
                self.answer(Requester::Ubus(caller), Answer::Refused(refusal), now);
                LoopFlow::Continue
            }
            None => LoopFlow::Continue,
        }
    }

    /// Tells those who listen that the state is another.
    pub(super) fn announce_state(&mut self, before: State, now: Nanos) {
        let news = answer::table(|top| {
            top.text("state", self.state_since.state.name());
            top.text("before", before.name());
            top.texts("problems", self.problems.iter().map(|problem| problem.code.name()));
        });
        self.ubus.announce("state", &news, &self.poll, now);
    }

    /// Says it once when ubus comes or goes. Where there never was any, it is nobody's problem.
    fn note_presence(&mut self) {
        let presence = self.ubus.presence();
        if *presence == self.presence {
            return;
        }
        let first = std::mem::discriminant(presence) != std::mem::discriminant(&self.presence);
        self.presence = presence.clone();
        self.problems.retain(|problem| problem.code != Code::Ubus);
        match &self.presence {
            Presence::Unknown => {}
            Presence::Absent => info!("no ubus here: millpond answers on its control socket only"),
            Presence::Published => info!("on ubus as millpond"),
            Presence::Lost(why) => {
                let problem = Problem::new(Code::Ubus, format!("ubus: {why}"));
                // It is tried again for ever, and may fail in several ways meanwhile.
                if first { self.note(problem) } else { self.problems.push(problem) }
            }
        }
    }
}
