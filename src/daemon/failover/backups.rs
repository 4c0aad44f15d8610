//! The end of a join text at the other endpoints. Each endpoint knows the home by the text's key until the router has
//! announced its own key there. So once the first endpoint knows the router's own key, the router visits the others
//! one after the other, and then returns. Until then, another router could use the text at those.

use log::info;

use super::join_key::JoinKeyRollover;
use super::servers::{put_first, servers};
use super::situation::Situation;
use crate::config::model::{HostPort, Settings, Tunnel};
use crate::units::Nanos;

/// After a switch, cells of the endpoint before may still count as an answer for this long.
const SETTLE_TIME: Nanos = Nanos::from_secs(3);
/// An endpoint that is silent under both keys for this long is left. Each key has ten seconds.
const SILENCE_TIMEOUT: Nanos = Nanos::from_secs(25);
/// An endpoint that answers, but does not accept the router's own key in this time, is left.
const VISIT_TIMEOUT: Nanos = Nanos::from_secs(60);

/// The visits to the other endpoints.
#[derive(Debug, Default)]
pub struct BackupVisits {
    /// Whether the visits for this join text have begun.
    begun: bool,
    /// The endpoint to return to, while the visits last.
    home: Option<HostPort>,
    /// The endpoints still to visit.
    pending: Vec<HostPort>,
    /// When the last switch came into force.
    arrived: Nanos,
    /// When cells last came.
    answered: Nanos,
}

/// What the visits ask for.
#[derive(Debug)]
pub enum VisitStep {
    /// Nothing: the other means of failover decide.
    Pass,
    /// Nothing may be concluded from the cells that come now.
    Settle,
    /// The next endpoint to visit, or the one to return to.
    Change(Box<Settings>),
}

impl BackupVisits {
    /// To be called about once a second.
    pub fn handle_tick(&mut self, situation: &Situation<'_>, key: &JoinKeyRollover, now: Nanos) -> VisitStep {
        let known = servers(situation.configured);
        let Some(current) = known.first().map(|server| &server.at) else { return VisitStep::Pass };
        if self.home.is_none() {
            if self.begun || !key.has_joined() || !key.is_accepted_by(current) || situation.is_changing {
                return VisitStep::Pass;
            }
            self.begun = true;
            self.pending = known[1..].iter().map(|server| server.at.clone()).collect();
            self.pending.retain(|at| !key.is_accepted_by(at));
            self.home = Some(current.clone()).filter(|_| !self.pending.is_empty());
            return self.next(situation.configured, key);
        }
        if situation.is_changing {
            (self.arrived, self.answered) = (now, now);
            return VisitStep::Pass;
        }
        let stay = now.saturating_since(self.arrived);
        if stay < SETTLE_TIME {
            return VisitStep::Settle;
        }
        if situation.is_up {
            self.answered = now;
        }
        let is_silent = now.saturating_since(self.answered) >= SILENCE_TIMEOUT;
        if key.is_accepted_by(current) {
            return self.next(situation.configured, key);
        }
        if is_silent || stay >= VISIT_TIMEOUT {
            info!("{current} does not accept this router's own key: the join text stays good there until it expires");
            return self.next(situation.configured, key);
        }
        VisitStep::Pass
    }

    /// The switch to the next endpoint that the settings still list.
    fn next(&mut self, configured: &Settings, key: &JoinKeyRollover) -> VisitStep {
        let known = servers(configured);
        let position = |at: &HostPort| known.iter().position(|server| server.at == *at);
        while let Some(at) = self.pending.pop().or_else(|| self.home.take()) {
            let Some(position) = position(&at) else { continue };
            let mut configured = configured.clone();
            put_first(&mut configured, position);
            if let Some(Tunnel::Wireguard(wireguard)) = &mut configured.tunnel {
                wireguard.tries_join_key = !key.is_accepted_by(&at);
            }
            match self.home {
                Some(_) => info!("switching to {at} to announce this router's own key there"),
                None => info!("switching back to {at}"),
            }
            return VisitStep::Change(Box::new(configured));
        }
        VisitStep::Pass
    }
}
