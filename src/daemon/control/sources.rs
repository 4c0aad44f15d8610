//! The components that answers are made from, and which answer is made from which.

use std::fmt;
use std::io;
#[cfg(feature = "endpoint")]
use std::net::Ipv4Addr;

use serde::Serialize;

use super::encode;
#[cfg(feature = "endpoint")]
use super::metrics::{Gauges, Metrics};
use super::reply::{Answer, Requester};
use super::request::{Format, Request};
use super::slow_answers::SlowAnswer;
use super::status::{StateAnswer, StatusAnswer, StatusView};
use crate::daemon::advice::answer::AdvisedAnswer;
use crate::daemon::advice::{Advice, AdviceFeed};
use crate::daemon::audit::Audits;
use crate::daemon::audit::answer::AuditedAnswer;
use crate::daemon::config_state::ConfigState;
use crate::daemon::devices;
use crate::daemon::health::Health;
use crate::daemon::history::History;
use crate::daemon::planes::Planes;
use crate::daemon::schedule::LevelClock;
#[cfg(feature = "endpoint")]
use crate::daemon::shards::Inspection;
use crate::daemon::wall_clock;
#[cfg(feature = "endpoint")]
use crate::sys::usage;
use crate::units::Nanos;

/// The components, read-only.
pub struct Sources<'a> {
    /// The settings in force, and as configured.
    pub config: &'a ConfigState,
    /// The sessions.
    pub plane: &'a Planes,
    /// The problems and the state.
    pub health: &'a Health,
    /// Past rates and totals.
    pub history: &'a History,
    /// The scheduled level and the data usage.
    pub schedule: &'a LevelClock,
    /// The running and the last audit.
    pub audits: &'a Audits,
    /// The rate advisor.
    pub advice: &'a AdviceFeed,
    /// The current time.
    pub now: Nanos,
}

impl Sources<'_> {
    /// The answer to a request that only reads and takes no time.
    pub fn answer(&self, request: Request, requester: &Requester) -> Answer {
        match request {
            Request::Status(Format::Text) => Answer::Text(self.status().to_string()),
            Request::Status(format) => requester.values(format, &self.status()),
            Request::State => requester.fact(&StateAnswer { state: self.health.state_since().state.name().into() }),
            Request::Audited => {
                requester.fact(&AuditedAnswer::new(self.audits.last().map(|(report, _)| report.passed())))
            }
            Request::History { seconds } => requester.values(Format::Values, &self.history.answer(seconds)),
            #[cfg(feature = "endpoint")]
            Request::Metrics { home } => {
                let metrics = self.metrics(home).map(|metrics| Answer::Text(metrics.to_string()));
                metrics.unwrap_or_else(|| Answer::refused("no home has that address"))
            }
            // The event loop serves these itself.
            Request::Devices(_) | Request::Advise(_) | Request::Advised { .. } | Request::Audit { .. } => not_here(),
            Request::Reload | Request::Renew => not_here(),
            #[cfg(feature = "endpoint")]
            Request::Lateness { .. } => not_here(),
        }
    }

    /// Makes the whole answer of a topic, which takes long.
    ///
    /// # Errors
    /// The neighbours or leases cannot be read, or there is nothing to answer.
    pub fn list(&self, topic: SlowAnswer, format: Format) -> io::Result<Vec<u8>> {
        match topic {
            SlowAnswer::Devices => {
                let plane = self.plane.local();
                let stats = plane.sessions().all().first().map(|session| session.engine().stats());
                let list = devices::list(self.config.in_force(), stats, plane.device_traffic())?;
                encode(format, &list.answer())
            }
            SlowAnswer::Advice => encode(format, &self.advice()?.answer()),
            SlowAnswer::Advised(level) => encode(format, &AdvisedAnswer::new(self.advice()?.advised(level))),
        }
    }

    fn advice(&self) -> io::Result<Advice<'_>> {
        let observed = self.config.in_force().zip(self.advice.advisor());
        let observed = observed.map(|(settings, advisor)| Advice::new(settings, advisor, self.now));
        let why = "no traffic observed: that needs a router whose tunnel is up (try --watch)";
        observed.ok_or_else(|| io::Error::other(why))
    }

    fn status(&self) -> StatusAnswer {
        let unix_s = wall_clock::unix_time_s();
        let sessions = &self.plane.reports();
        let burst = sessions.first().and_then(|session| session.bursts).zip(self.advice.advisor());
        let view = StatusView {
            settings: self.config.in_force(),
            sessions,
            burst: burst.zip(self.config.in_force()).and_then(|((report, advisor), settings)| {
                let rates = [settings.line.burst?.upload, report.granted];
                Some(advisor.bursts(&report.params, rates, report.is_bursting))
            }),
            problems: self.health.problems(),
            cell_bytes: self.plane.size().map(|size| (size.inner_bytes, size.wire_bytes)),
            state_since: self.health.state_since(),
            history: self.history,
            level_source: self.schedule.level_source(),
            wan: self.schedule.wan(),
            clock_is_set: wall_clock::is_set(unix_s),
            usage: self.config.configured().and_then(|configured| self.schedule.usage(configured, unix_s)),
            last_audit: self.audits.last(),
            audit_is_running: self.audits.is_running(),
            uptime: self.health.uptime(self.now),
            now: self.now,
        };
        view.answer()
    }

    #[cfg(feature = "endpoint")]
    fn metrics(&self, home: Option<Ipv4Addr>) -> Option<Metrics> {
        let Inspection { sessions, removed } = &self.plane.inspect();
        let gauges = Gauges {
            settings: self.config.in_force(),
            sessions,
            removed,
            problems: self.health.problems(),
            usage: usage::usage().ok(),
            uptime: self.health.uptime(self.now),
        };
        gauges.collect(home)
    }
}

fn not_here() -> Answer {
    Answer::refused("this request needs more than reading")
}

fn encode(format: Format, answer: &(impl Serialize + fmt::Display)) -> io::Result<Vec<u8>> {
    match format {
        Format::Text => Ok(answer.to_string().into_bytes()),
        Format::Json => encode::to_json(answer).map(|json| (json + "\n").into_bytes()),
        Format::Values => encode::to_table(answer).map(|table| table.contents().to_vec()),
    }
    .map_err(io::Error::other)
}
