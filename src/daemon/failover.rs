//! What a router tries when its endpoint is silent: the next server of its list, and the other of two keys.

mod backups;
mod join_key;
mod servers;
mod situation;

use self::backups::{BackupVisits, VisitStep};
use self::join_key::JoinKeyRollover;
use self::servers::ServerRotation;
pub use self::situation::Situation;
use crate::config::model::Settings;
use crate::daemon::action::Action;
use crate::units::Nanos;

/// Which server and which key a router tries next.
pub struct Failover {
    servers: ServerRotation,
    join_key: JoinKeyRollover,
    visits: BackupVisits,
    draw: fn() -> u16,
}

impl Failover {
    /// Starts the time-outs of the server and the key in use. `draw` makes random numbers.
    pub fn new(now: Nanos, draw: fn() -> u16) -> Failover {
        let (servers, join_key) = (ServerRotation::new(now, draw), JoinKeyRollover::new(now));
        Failover { servers, join_key, visits: BackupVisits::default(), draw }
    }

    /// Returns the change to another server or key, if one is due. To be called about once a second.
    pub fn handle_tick(&mut self, situation: &Situation<'_>, now: Nanos) -> Option<Action> {
        let changed = match self.visits.handle_tick(situation, &self.join_key, now) {
            VisitStep::Pass => self.servers.handle_tick(situation, now),
            VisitStep::Settle => {
                self.join_key.restart(now);
                return None;
            }
            VisitStep::Change(settings) => {
                self.servers = ServerRotation::new(now, self.draw);
                Some(*settings)
            }
        };
        let changed = match changed {
            Some(settings) => {
                self.join_key.restart(now);
                Some(settings)
            }
            None => self.join_key.handle_tick(situation, now),
        };
        changed.map(|settings| Action::ChangeSettings(Box::new(settings)))
    }

    /// Makes newly read settings keep the server and the key in use, if they still have them.
    pub fn retain(&mut self, read: &mut Settings, in_force: Option<&Settings>, now: Nanos) {
        servers::retain_server(read, in_force);
        if join_key::retain_key(read, in_force) {
            self.join_key = JoinKeyRollover::new(now);
            self.visits = BackupVisits::default();
        }
    }
}

#[cfg(test)]
mod tests;
