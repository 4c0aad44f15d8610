//! What happens in the year, and what must hold.

use std::path::PathBuf;

use millpond::config::model::Level;
use millpond::core::Stats;
use millpond::units::Nanos;

use crate::calendar::{self, CLOCK_CHANGES, DAY_S, MAX_OFFSET_S, NIGHT_HOUR, Rates, START_S, VARIANTS};
use crate::counting_allocator::LIVE_BYTES;
use crate::expected_departures::Drift;
use crate::seeds;
use crate::timetable::{
    BURST_LENGTH_S, Event, OUTAGES, RECOVERY_S, RELOADS, SETTLE_S, USAGE_S, event, is_awake, reload_of,
};
use crate::world::{DOWN, UP, World};

/// The count of a period may miss the minute in which the period begins.
const USAGE_TOLERANCE_S: u64 = 70;
/// The level may lag behind a schedule for so long after both hosts stood still.
const WAKE_S: i64 = 5;
/// Both hosts have been up for three years: nanoseconds beyond 2^53, as far as a double counts exactly.
const UPTIME: Nanos = Nanos::from_secs(3 * 365 * 86_400);
/// Counters start at this many before 2^32.
const BEFORE_WRAP: u64 = 1_000;

/// Whether the time between events is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pauses {
    /// Every second is simulated.
    None,
    /// Both ends stand still where nothing happens.
    BetweenEvents,
}

/// Runs so many days and checks them.
pub fn run(days: i64, pauses: Pauses) {
    let seed = std::env::var("SOAK_SEED").map_or(20_270_101, |seed| seed.parse().expect("SOAK_SEED is a number"));
    report(format_args!("seed {seed}"));
    let folder = std::env::temp_dir().join(format!("millpond-soak-{}-{pauses:?}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the files of data usage");
    let rates = if pauses == Pauses::None { Rates::Medium } else { Rates::Low };
    let mut year = Year::start(seed, rates, folder.clone());
    let end = START_S + days * DAY_S;
    let mut day = 0;
    loop {
        let now = year.world.clocks().unix_s;
        if now >= end {
            break;
        }
        if now >= START_S + (day + 1) * DAY_S {
            day += 1;
            if day % 30 == 0 {
                report(format_args!("day {day}: {}", year.summary()));
            }
        }
        match pauses {
            Pauses::BetweenEvents if !is_awake(now) => {
                let next = (now..).find(|at| is_awake(*at) || *at >= end).expect("a next event");
                year.pause_until(next);
            }
            _ => year.run_second(),
        }
    }
    year.finish(days, pauses);
    std::fs::remove_dir_all(folder).expect("the folder is removed");
}

/// Prints a line. The harness may keep it, which is no growth of what is tested.
fn report(line: std::fmt::Arguments<'_>) {
    let before = LIVE_BYTES.get();
    println!("{line}");
    LIVE_BYTES.set(before);
}

struct Year {
    world: World,
    /// The end of what is happening now: nothing else is checked before.
    busy_until: i64,
    step: Step,
    reloads: u64,
    /// The level changes that the schedules ask for.
    expected_changes: u64,
    level: Level,
    /// When both hosts last began to run.
    woke: i64,
    /// Live memory after reloads of the first variant.
    live_bytes: Option<isize>,
    /// Bytes on the wire in a second at the highest level.
    most_bytes_per_s: u64,
    /// Bytes on the wire before the current billing period, and that period.
    before_period: u64,
    period: [i64; 2],
    counts: Counts,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    outages: u64,
    lost_in_outages: u64,
    lost_in_restarts: u64,
    /// Packets that a daemon dropped by its queue's limits.
    dropped: u64,
    checks_of_the_accounts: u64,
    checks_of_the_level: u64,
    checks_of_usage: u64,
    periods: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Devices send, nothing else happens.
    Normal,
    /// Waits until nothing is under way; then the event happens.
    Settling(Event),
    /// The path is down.
    Outage,
    /// Devices send, while the sessions begin again.
    Recovering(Event),
    /// Waits until nothing is under way; then what the event took is known.
    Settled(Event),
    /// A burst of packets.
    Burst,
}

impl Year {
    fn start(seed: u64, rates: Rates, folder: PathBuf) -> Year {
        let random = seeds::start(seed);
        seeds::set_near_wrap(true);
        let mut world = World::new(random, seed, rates, UPTIME, &folder);
        seeds::set_near_wrap(false);
        for end in &mut world.ends {
            end.daemon.count_from(counters(), [(1 << 32) - BEFORE_WRAP; 2]);
        }
        let period = calendar::billing_period(START_S);
        let settings = calendar::router(0, rates);
        let per_second = settings.levels.iter().map(|(_, shape)| (shape.upload.0 + shape.download.0) / 8);
        let most_bytes_per_s = per_second.max().unwrap_or(0);
        Year {
            world,
            busy_until: 0,
            step: Step::Normal,
            reloads: 0,
            expected_changes: 0,
            level: calendar::level(0, START_S),
            woke: START_S,
            live_bytes: None,
            most_bytes_per_s,
            before_period: 0,
            period,
            counts: Counts::default(),
        }
    }

    /// Runs one second, and what happens at its end.
    fn run_second(&mut self) {
        self.world.run_second();
        let now = self.world.clocks().unix_s;
        self.follow_period(now);
        if now % 30 == 0 {
            self.follow_level(now);
        }
        if let Some(number) = reload_of(now) {
            self.reload(number as usize, now);
        }
        self.step(now);
        let second = (now - START_S) % DAY_S;
        if second == USAGE_S {
            self.check_usage(now);
        }
    }

    fn pause_until(&mut self, unix_s: i64) {
        assert_eq!(self.step, Step::Normal, "an event has not ended at {unix_s}");
        self.world.pause_until(unix_s);
        self.woke = unix_s;
        // The packets that waited when the hosts stopped grow too old.
        self.step = Step::Recovering(Event::Outage);
        self.busy_until = unix_s + WAKE_S;
    }

    fn step(&mut self, now: i64) {
        if now < self.busy_until {
            return;
        }
        self.step = match self.step {
            Step::Normal => match event(now) {
                Some(event) => self.settle_for(Step::Settling(event), now),
                None => Step::Normal,
            },
            Step::Settling(event) => {
                assert_eq!(self.settle(), 0, "packets are lost without a reason at {now}");
                if self.counts.outages == 0 {
                    self.check_counters();
                }
                self.world.is_quiet = false;
                self.begin(event, now)
            }
            Step::Outage => {
                self.world.tunnel.is_down = false;
                self.counts.outages += 1;
                self.busy_until = now + RECOVERY_S;
                Step::Recovering(Event::Outage)
            }
            Step::Burst => self.settle_for(Step::Settled(Event::Burst), now),
            Step::Recovering(event) => {
                assert!(self.world.ends.iter().all(|end| end.daemon.is_up(self.world.now)), "no cells at {now}");
                self.settle_for(Step::Settled(event), now)
            }
            Step::Settled(event) => {
                let lost = self.settle();
                match event {
                    Event::Outage | Event::PeerChange => self.counts.lost_in_outages += lost,
                    Event::Restart(_) => self.counts.lost_in_restarts += lost,
                    Event::Burst => assert_eq!(lost, 0, "a burst loses only what the queue says"),
                }
                self.world.is_quiet = false;
                Step::Normal
            }
        };
    }

    fn begin(&mut self, event: Event, now: i64) -> Step {
        match event {
            Event::Outage => {
                let day = ((now - START_S) / DAY_S) as usize;
                self.world.tunnel.is_down = true;
                self.busy_until = now + OUTAGES[day % OUTAGES.len()];
                return Step::Outage;
            }
            Event::Burst => {
                self.world.is_burst = true;
                self.busy_until = now + BURST_LENGTH_S;
                return Step::Burst;
            }
            Event::Restart(end) => self.world.restart(end),
            Event::PeerChange => self.world.change_peer(),
        }
        self.busy_until = now + RECOVERY_S;
        Step::Recovering(event)
    }

    /// Lets the devices be quiet until nothing is under way.
    fn settle_for(&mut self, step: Step, now: i64) -> Step {
        (self.world.is_quiet, self.world.is_burst) = (true, false);
        self.busy_until = now + SETTLE_S;
        step
    }

    /// Settles both accounts; returns the packets that nothing accounts for.
    fn settle(&mut self) -> u64 {
        self.counts.checks_of_the_accounts += 1;
        let dropped = [UP, DOWN].map(|end| self.world.ends[end].dropped());
        self.counts.dropped = dropped.iter().sum();
        [UP, DOWN].into_iter().map(|from| self.world.accounts[from].settle(dropped[from])).sum()
    }

    fn reload(&mut self, number: usize, now: i64) {
        self.follow_level(now);
        let changes_clock = CLOCK_CHANGES.iter().any(|change| (now..now + 4 * DAY_S).contains(change));
        self.world.reload(if changes_clock { NIGHT_HOUR } else { number % VARIANTS });
        self.reloads += 1;
        self.level = calendar::level(self.world.variant, now);
        let (level, pace, _) = self.world.ends[UP].daemon.level();
        assert_eq!((level, pace), (self.level, self.world.ends[UP].daemon.departures().0), "after reload {number}");
        if self.world.variant == 0 && number >= 2 * VARIANTS {
            let live = LIVE_BYTES.get();
            let before = *self.live_bytes.get_or_insert(live);
            assert_eq!(live, before, "memory grows: after reload {number}");
        }
    }

    /// Compares the level with the schedule, except near its changes.
    fn follow_level(&mut self, now: i64) {
        let wanted = calendar::level(self.world.variant, now);
        if wanted != self.level {
            self.level = wanted;
            self.expected_changes += 1;
        }
        let is_settled = [-MAX_OFFSET_S, MAX_OFFSET_S]
            .iter()
            .all(|offset| calendar::level(self.world.variant, now + offset) == wanted);
        if is_settled && now - self.woke > WAKE_S {
            let (level, ..) = self.world.ends[UP].daemon.level();
            assert_eq!(level, wanted, "at {now} with settings {}", self.world.variant);
            self.counts.checks_of_the_level += 1;
        }
    }

    fn follow_period(&mut self, now: i64) {
        if now >= self.period[1] {
            self.period = calendar::billing_period(now);
            self.before_period = self.world.wire_bytes;
            self.counts.periods += 1;
        }
    }

    /// Before the first outage: every counter and the sequence numbers have passed 2^32, and only
    /// cells are lost that were under way when the hosts stood still.
    fn check_counters(&self) {
        for (end, other) in self.world.ends.iter().zip([1, 0]) {
            let stats = end.daemon.stats();
            let counters =
                [stats.cells_data, stats.cells_cover, stats.cells_received, stats.packets_in, stats.bytes_in];
            let wire_bytes = end.daemon.wire_bytes();
            for counter in counters.iter().chain([&stats.packets_out, &stats.bytes_out]).chain(&wire_bytes) {
                assert!(*counter > 1 << 32, "{counters:?} {wire_bytes:?}");
            }
            assert!(end.cells_since_start() > u64::from(seeds::BEFORE_WRAP), "the sequence numbers have wrapped");
            let drops = &stats.drops;
            let lost = self.world.tunnel.lost[other];
            assert_eq!((stats.cells_lost, drops.late_cell, drops.ancient_cell, drops.malformed_cell), (lost, 0, 0, 0));
            // All of the 8 thousand million cells before were 20 us late, all since on time.
            let late = stats.lateness.percentile(50.0);
            assert!((Nanos::from_micros(18)..Nanos::from_micros(22)).contains(&late), "{late:?}");
        }
    }

    fn check_usage(&mut self, now: i64) {
        let usage = self.world.ends[UP].daemon.usage(now).expect("the clock is set");
        assert_eq!(usage.period, self.period, "the billing period at {now}");
        let mut counted = self.world.wire_bytes - self.before_period;
        if self.counts.periods == 0 {
            counted += 2 * ((1 << 32) - BEFORE_WRAP);
        }
        let difference = usage.used_bytes.abs_diff(counted);
        assert!(
            difference < USAGE_TOLERANCE_S * self.most_bytes_per_s,
            "{} bytes used, {counted} counted at {now}",
            usage.used_bytes
        );
        self.counts.checks_of_usage += 1;
    }

    fn drift(&self) -> Drift {
        let mut drift = self.world.ends[UP].drift();
        drift.add(&self.world.ends[DOWN].drift());
        drift
    }

    fn summary(&self) -> String {
        let Counts { outages, dropped, lost_in_outages, lost_in_restarts, .. } = self.counts;
        let drift = self.drift();
        let world = &self.world;
        let [sent, delivered] =
            [world.accounts.iter().map(|l| l.sent).sum(), world.accounts.iter().map(|l| l.delivered).sum::<u64>()];
        format!(
            "{} intervals ({:.2} sigma from the rates), {} cells carried, {} packets sent, {} delivered, {dropped} \
             dropped by the queues, {lost_in_outages} lost in {outages} outages, {lost_in_restarts} in restarts, {} \
             handshakes, {} reloads, {} level changes, {} periods, {} bytes live",
            drift.intervals,
            drift.sigmas(),
            world.tunnel.carried.iter().sum::<u64>(),
            sent,
            delivered,
            world.tunnel.handshakes,
            self.reloads,
            world.level_changes,
            self.counts.periods,
            LIVE_BYTES.get(),
        )
    }

    fn finish(mut self, days: i64, pauses: Pauses) {
        println!("{days} days: {}", self.summary());
        let drift = self.drift();
        println!("{:?} {:?} {drift:?}", pauses, self.counts);
        assert!(drift.sigmas().abs() < 5.0, "the moments drift: {drift:?}");
        for end in &self.world.ends {
            // When an end begins to wait for a handshake, it drops the cell that it has built, with the buffer.
            assert!(end.allocations <= self.counts.outages, "packets and cells allocate nothing: {}", end.allocations);
        }
        self.settle();
        let Counts { outages, dropped, .. } = self.counts;
        let [up, down] = &self.world.accounts;
        assert!(up.delivered > 1_000 && down.delivered > 1_000 && dropped > 100 && outages > 0, "the home was busy");
        if days == 365 {
            assert_eq!((self.reloads, self.counts.periods), (RELOADS as u64, 11));
            assert!(self.live_bytes.is_some());
        }
        // How many of the changes a run with pauses sees depends on the pauses.
        if pauses == Pauses::None {
            assert_eq!(self.world.level_changes, self.expected_changes);
        }
    }
}

/// Counters shortly before 2^32, and histograms as full.
fn counters() -> Stats {
    const NEAR: u64 = (1 << 32) - BEFORE_WRAP;
    let mut stats = Stats::default();
    for _ in 0..1_000 {
        stats.delay.record(Nanos::from_millis(30));
        stats.lateness.record(Nanos::from_micros(20));
    }
    for _ in 0..23 {
        let same = stats.clone();
        stats.add(&same);
    }
    (stats.cells_data, stats.cells_cover, stats.cells_received) = (NEAR, NEAR, NEAR);
    (stats.packets_in, stats.packets_out, stats.bytes_in, stats.bytes_out) = (NEAR, NEAR, NEAR, NEAR);
    stats
}
