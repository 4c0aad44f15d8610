//! The event loop's part of ubus: calls, handled in gaps between cells, and events.

use log::info;

use crate::daemon::control::answer;
use crate::daemon::control::reply::{Answer, Requester};
use crate::daemon::control::ubus::Presence;
use crate::daemon::dataplane::liveness::State;
use crate::daemon::event_loop::{EventLoop, LoopFlow};
use crate::daemon::problem::{Code, Problem};
use crate::units::Nanos;

impl EventLoop {
    /// Runs due ubus work (connecting, continuing, time-outs) or a due list request, in a gap between cells.
    pub(super) fn poll_ubus(&mut self, now: Nanos) {
        let ubus_is_due = self.ubus.due().is_some_and(|due| due <= now);
        let list_is_due = self.listing.due().is_some_and(|due| due <= now);
        if !(ubus_is_due || list_is_due) || !self.has_gap(now) {
            return;
        }
        if ubus_is_due {
            self.ubus.handle_timeout(&self.poll, now);
            self.note_presence();
        } else {
            self.start_listing(now);
        }
    }

    /// Handles a ubus call, if a complete one has arrived.
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

    /// Sends the ubus event of a changed state.
    pub(super) fn announce_state(&mut self, before: State, now: Nanos) {
        let event = answer::table(|top| {
            top.text("state", self.state_since.state.name());
            top.text("before", before.name());
            top.texts("problems", self.problems.iter().map(|problem| problem.code.name()));
        });
        self.ubus.announce("state", &event, &self.poll, now);
    }

    /// Logs once when ubus appears or disappears. A host without ubus has no problem.
    fn note_presence(&mut self) {
        let presence = self.ubus.presence();
        if *presence == self.presence {
            return;
        }
        let is_new = std::mem::discriminant(presence) != std::mem::discriminant(&self.presence);
        self.presence = presence.clone();
        self.problems.retain(|problem| problem.code != Code::Ubus);
        match &self.presence {
            Presence::Unknown => {}
            Presence::Absent => info!("no ubus broker found; answering on the control socket only"),
            Presence::Published => info!("registered the ubus object millpond"),
            Presence::Lost(why) => {
                let problem = Problem::new(Code::Ubus, format!("ubus: {why}"));
                // Reconnecting never stops and may fail in several ways. Only the first failure is logged.
                if is_new { self.note(problem) } else { self.problems.push(problem) }
            }
        }
    }
}
