//! What has happened at home and what the wire showed of it, for a day, in fixed memory: 16 320 bytes of samples.

use super::answer::Object;
use crate::units::Nanos;

/// Each level keeps the means of so many samples of the one before: 1 s for 5 minutes, 10 s for an hour, 240 s for a day.
const LEVELS: [Resolution; 3] = [
    Resolution { every: 1, samples: 300 },
    Resolution { every: 10, samples: 360 },
    Resolution { every: 24, samples: 360 },
];
/// One sample of the first level, in seconds.
const FIRST_RESOLUTION_S: u32 = 1;

/// The least and the most that may be asked for, in seconds.
const SHORTEST_S: u32 = 60;
const LONGEST_S: u32 = 86_400;

struct Resolution {
    every: u32,
    samples: usize,
}

/// What has passed so far, in bytes, since some beginning. The wire's include every header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// From the devices.
    pub home_upload: u64,
    /// To the devices.
    pub home_download: u64,
    /// Home to endpoint, on the wire.
    pub wire_upload: u64,
    /// Endpoint to home, on the wire.
    pub wire_download: u64,
}

/// DelayTotals of the devices' packets so far: how many, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayTotals {
    /// How many packets.
    pub count: u64,
    /// All their delays together, in nanoseconds.
    pub sum: u64,
}

/// Rates in bytes per second, in the order of [`Totals`].
type Sample = [u32; 4];

/// Totals since the daemon began, and rates in the past.
pub struct History {
    levels: [Ring; 3],
    /// At the last sample, as the engines count; they begin anew now and then.
    counted: Totals,
    sampled: Nanos,
    totals: Totals,
    /// As counted at the end of each of the last seconds.
    delays: [DelayTotals; RECENT],
}

/// What is "now" in delays, in samples.
const RECENT: usize = 11;

struct Ring {
    samples: Vec<Sample>,
    capacity: usize,
    /// Where the next sample goes.
    next: usize,
    /// Those of the level before that make up the next one.
    sum: [u64; 4],
    summed: u32,
}

impl History {
    /// Nothing yet. All memory is taken now.
    pub fn new(now: Nanos) -> History {
        let levels = LEVELS.map(|level| Ring::new(level.samples));
        let delays = [DelayTotals::default(); RECENT];
        History { levels, counted: Totals::default(), sampled: now, totals: Totals::default(), delays }
    }

    /// Takes the counters as they are `now`; to be called about once a second.
    pub fn sample(&mut self, counted: Totals, delays: DelayTotals, now: Nanos) {
        let elapsed = now.saturating_since(self.sampled).0;
        if elapsed == 0 {
            return;
        }
        let (before, after) = (self.counted.values(), counted.values());
        let mut sample = [0; 4];
        for (at, sample) in sample.iter_mut().enumerate() {
            // Fewer than before: the engine is a new one.
            let more = after[at].checked_sub(before[at]).unwrap_or(after[at]);
            self.totals.add(at, more);
            *sample = (u128::from(more) * 1_000_000_000 / u128::from(elapsed)).min(u128::from(u32::MAX)) as u32;
        }
        self.counted = counted;
        self.sampled = now;
        self.delays.rotate_left(1);
        self.delays[RECENT - 1] = delays;
        let mut sample = Some(sample);
        for (ring, level) in self.levels.iter_mut().zip(&LEVELS) {
            sample = sample.and_then(|sample| ring.gather(sample, level.every));
        }
    }

    /// Mean delay of the packets of the last 10 s; `None` where there were none.
    pub fn delay(&self) -> Option<Nanos> {
        let (before, after) = (self.delays[0], self.delays[RECENT - 1]);
        let count = after.count.checked_sub(before.count)?;
        after.sum.checked_sub(before.sum)?.checked_div(count).map(Nanos)
    }

    /// What has passed since the daemon began.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The last `seconds`, 60 to 86 400 of them, as arrays of rates, oldest first, at the finest resolution that reaches
    /// so far back: at most 360 numbers each, fewer where the daemon has not run so long.
    pub fn put(&self, seconds: u32, top: &mut Object<'_>) {
        let seconds = seconds.clamp(SHORTEST_S, LONGEST_S);
        let mut resolution = FIRST_RESOLUTION_S;
        let mut chosen = &self.levels[0];
        for (ring, level) in self.levels.iter().zip(&LEVELS) {
            resolution *= level.every;
            chosen = ring;
            if level.samples as u32 * resolution >= seconds {
                break;
            }
        }
        let wanted = (seconds / resolution) as usize;
        top.number("seconds", seconds.into());
        top.number("resolution_s", resolution.into());
        for (at, key) in KEYS.into_iter().enumerate() {
            top.numbers(key, chosen.latest(wanted).map(|sample| sample[at].into()));
        }
    }
}

const KEYS: [&str; 4] =
    ["home_upload_bytes_per_s", "home_download_bytes_per_s", "wire_upload_bytes_per_s", "wire_download_bytes_per_s"];

impl Totals {
    fn values(&self) -> [u64; 4] {
        [self.home_upload, self.home_download, self.wire_upload, self.wire_download]
    }

    fn add(&mut self, at: usize, more: u64) {
        let Totals { home_upload, home_download, wire_upload, wire_download } = self;
        *[home_upload, home_download, wire_upload, wire_download][at] += more;
    }
}

impl Ring {
    fn new(capacity: usize) -> Ring {
        Ring { samples: Vec::with_capacity(capacity), capacity, next: 0, sum: [0; 4], summed: 0 }
    }

    /// Takes a sample of the level before; gives one of this level's once it is complete.
    fn gather(&mut self, sample: Sample, every: u32) -> Option<Sample> {
        self.sum.iter_mut().zip(sample).for_each(|(sum, value)| *sum += u64::from(value));
        self.summed += 1;
        if self.summed < every {
            return None;
        }
        let mean = self.sum.map(|sum| (sum / u64::from(every)) as u32);
        (self.sum, self.summed) = ([0; 4], 0);
        match self.samples.get_mut(self.next) {
            Some(place) => *place = mean,
            None => self.samples.push(mean),
        }
        self.next = (self.next + 1) % self.capacity;
        Some(mean)
    }

    /// The last `wanted` samples or as many as there are, oldest first.
    fn latest(&self, wanted: usize) -> impl Iterator<Item = &Sample> {
        let (newer, older) = self.samples.split_at(self.next.min(self.samples.len()));
        let skipped = self.samples.len().saturating_sub(wanted);
        older.iter().chain(newer).skip(skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer;
    use super::*;

    fn run(seconds: u64, upload: impl Fn(u64) -> u64) -> History {
        let mut history = History::new(Nanos::ZERO);
        let mut counted = Totals::default();
        for second in 1..=seconds {
            counted.home_upload += upload(second);
            counted.wire_upload += 20_000;
            history.sample(counted, DelayTotals::default(), Nanos::from_secs(second));
        }
        history
    }

    fn array(history: &History, seconds: u32, key: &str) -> (u32, Vec<u64>) {
        let text = answer::json(|top| history.put(seconds, top));
        let after = |key: &str| text.split(&format!("\"{key}\":")).nth(1).unwrap().to_owned();
        let list = after(key);
        let list = list.trim_start_matches('[').split(']').next().unwrap();
        let numbers = list.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().unwrap()).collect();
        (after("resolution_s").split(',').next().unwrap().parse().unwrap(), numbers)
    }

    #[test]
    fn each_span_has_the_finest_resolution_that_reaches_so_far() {
        let history = run(90_000, |second| second % 10 * 100);
        for (seconds, resolution, count) in [
            (0, 1, 60),
            (60, 1, 60),
            (300, 1, 300),
            (301, 10, 30),
            (3600, 10, 360),
            (3601, 240, 15),
            (u32::MAX, 240, 360),
        ] {
            let (found, wire) = array(&history, seconds, "wire_upload_bytes_per_s");
            assert_eq!((found, wire.len()), (resolution, count), "{seconds}");
            assert!(wire.iter().all(|rate| *rate == 20_000));
        }
        assert_eq!(array(&history, 3600, "home_upload_bytes_per_s").1, [450; 360], "means of what was uneven");
        let (_, seconds) = array(&history, 60, "home_upload_bytes_per_s");
        assert_eq!(seconds[seconds.len() - 2..], [900, 0], "the newest come last");
    }

    #[test]
    fn a_young_daemon_has_short_arrays() {
        assert_eq!(array(&run(25, |_| 7), 300, "home_upload_bytes_per_s").1, [7; 25]);
        assert!(array(&run(25, |_| 7), 86_400, "home_upload_bytes_per_s").1.is_empty());
    }

    #[test]
    fn an_engine_that_begins_anew_takes_nothing_back() {
        let mut history = run(10, |_| 100);
        history.sample(Totals { home_upload: 30, ..Totals::default() }, DelayTotals::default(), Nanos::from_secs(11));
        assert_eq!(history.totals().home_upload, 1030);
        assert_eq!(array(&history, 60, "home_upload_bytes_per_s").1.last(), Some(&30));
    }

    #[test]
    fn the_delay_now_is_that_of_the_last_ten_seconds() {
        let mut history = History::new(Nanos::ZERO);
        let mut delays = DelayTotals::default();
        for second in 1..=100 {
            let delay = if second <= 50 { 5_000 } else { 100 };
            delays = DelayTotals { count: delays.count + 2, sum: delays.sum + 2 * delay };
            history.sample(Totals::default(), delays, Nanos::from_secs(second));
        }
        assert_eq!(history.delay(), Some(Nanos(100)));
        (101..=110).for_each(|second| history.sample(Totals::default(), delays, Nanos::from_secs(second)));
        assert_eq!(history.delay(), None);
    }

    #[test]
    fn memory_is_fixed() {
        let history = run(90_000, |_| 1);
        let bytes: usize = history.levels.iter().map(|ring| ring.samples.capacity() * size_of::<Sample>()).sum();
        assert_eq!(bytes, 16_320);
    }
}
