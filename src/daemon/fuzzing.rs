//! The daemon's readers of what other programs write, for fuzzing. Each states what must hold for any input.

use crate::config::model::{Billing, CapPeriod};
use crate::daemon::control::request::{Format, Request, call, line};
use crate::daemon::control::ubus::session::{BusSession, Event};
use crate::daemon::devices::leases;
use crate::daemon::reconcile::lookup;
use crate::daemon::reconcile::report::ReconcileReport;
use crate::daemon::reconcile::saved_sysctls::SavedSysctls;
use crate::daemon::schedule::calendar::{BillingPeriod, LocalZone};

/// No reader keeps more than a few frames of the broker's.
const MAX_BUFFERED_BYTES: usize = 1 << 20;

/// Feeds bytes from the broker to a connection as its socket would, and answers the calls.
///
/// # Panics
/// If the connection stops to read, keeps too much, or reads a call differently once it is written and read again.
pub fn bus(bytes: &[u8]) {
    let mut session = BusSession::new(1);
    let mut rest = bytes;
    while !rest.is_empty() {
        let wanted = session.wanted_bytes();
        assert!(wanted > 0, "a connection always wants more");
        let (now, later) = rest.split_at(wanted.min(rest.len()));
        rest = later;
        match session.receive(now) {
            Ok(Some(Event::Call(caller, Ok(request)))) => {
                check_call(request);
                session.answer(&caller, Ok(&[]));
            }
            Ok(Some(Event::Call(caller, Err(error)))) => session.answer(&caller, Err(&error)),
            Ok(_) => {}
            Err(_) => return,
        }
        assert!(session.output().len() < MAX_BUFFERED_BYTES);
        session.sent(session.output().len());
    }
}

/// Parses a call of the object's method.
///
/// # Panics
/// If the call differs once it is written and read again.
pub fn call(method: &str, arguments: &[u8]) {
    if let Ok(request) = call::parse(method, arguments) {
        check_call(request);
    }
}

fn check_call(request: Request) {
    let (method, arguments) = call::write(request).expect("a call has a method");
    assert_eq!(call::parse(method, arguments.contents()), Ok(request));
}

/// Parses a line of the control socket.
///
/// # Panics
/// If the request differs once it is written and read again.
pub fn request_line(text: &str) {
    if let Ok(request) = line::parse(text) {
        assert!(!matches!(request, Request::Status(Format::Values)), "a line cannot ask for values");
        let again = line::write(request);
        assert_eq!(line::parse(&again), Ok(request), "{again}");
    }
}

/// Reads a rule of a time zone, or a file with one, and asks it for times of many years.
///
/// # Panics
/// If a local time is out of range.
pub fn zone(data: &[u8]) {
    let rule = std::str::from_utf8(data).ok().and_then(|text| LocalZone::from_posix(text).ok());
    for zone in rule.into_iter().chain(LocalZone::from_file(data)) {
        for years in 0..60 {
            let unix_s = 1_735_689_600 + years * 31_557_600 / 3;
            let time = zone.local(unix_s);
            assert!(time.weekday < 7 && time.minute < 1_440 && (1..=31).contains(&time.month_day), "{time:?}");
            for (period, day) in [(CapPeriod::Day, 1), (CapPeriod::Week, 7), (CapPeriod::Month, 28)] {
                _ = BillingPeriod::at(&zone, unix_s, &Billing { period, day, step_down: None });
            }
        }
    }
}

/// Reads a file with leases, the output of a forked process, and the sysctls that a killed daemon has left.
pub fn text_files(text: &str) {
    _ = leases::parse(text);
    _ = lookup::parse_addresses(text);
    _ = SavedSysctls::from_text(text);
    _ = ReconcileReport::from_text(text).to_text();
}
