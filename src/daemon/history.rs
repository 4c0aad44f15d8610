//! The rates at home and on the wire over the last day, in fixed memory: 16 320 bytes of samples.

use serde::Serialize;

use crate::daemon::dataplane::totals::{DelayTotals, Totals};
use crate::units::Nanos;

/// The resolutions: 1 s for 5 minutes, 10 s for an hour, 240 s for a day. Each sample is the mean of `every` samples of
/// the resolution before.
const RESOLUTIONS: [Resolution; 3] = [
    Resolution { every: 1, samples: 300 },
    Resolution { every: 10, samples: 360 },
    Resolution { every: 24, samples: 360 },
];
/// The first resolution, in seconds.
const FIRST_RESOLUTION_S: u32 = 1;

/// The shortest and longest span of a request, in seconds.
const MIN_SPAN_S: u32 = 60;
const MAX_SPAN_S: u32 = 86_400;

struct Resolution {
    every: u32,
    samples: usize,
}

/// The answer to `history`. The arrays are rates in bytes per second, oldest first, with at most 360 numbers each,
/// fewer if the daemon has run for less time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(any(test, feature = "lab"), derive(serde::Deserialize))]
pub struct HistoryAnswer {
    /// How far back, in seconds.
    pub seconds: u32,
    /// The time of each number, in seconds.
    pub resolution_s: u32,
    /// Sent by the devices.
    pub home_upload_bytes_per_s: Vec<u32>,
    /// Received by the devices.
    pub home_download_bytes_per_s: Vec<u32>,
    /// Home to endpoint on the wire, all headers included.
    pub wire_upload_bytes_per_s: Vec<u32>,
    /// Endpoint to home on the wire, all headers included.
    pub wire_download_bytes_per_s: Vec<u32>,
}

/// Rates in bytes per second, in the order of [`Totals`].
type Sample = [u32; 4];

/// Totals since the daemon started, and past rates.
pub struct History {
    rings: [Ring; 3],
    /// The engines' counters at the last sample; a new engine starts at zero.
    counters: Totals,
    sampled_at: Nanos,
    totals: Totals,
    /// The delay totals at the end of each of the last seconds, oldest first.
    delays: [DelayTotals; DELAY_SAMPLES],
}

/// Number of delay totals kept, one per second: the first and the last enclose 10 s.
const DELAY_SAMPLES: usize = 11;

struct Ring {
    samples: Vec<Sample>,
    capacity: usize,
    /// Where the next sample goes.
    next: usize,
    /// The sum of the samples that will make up the next one, and their number.
    sum: [u64; 4],
    summed: u32,
}

impl History {
    /// An empty history. Allocates all its memory.
    pub fn new(now: Nanos) -> History {
        let rings = RESOLUTIONS.map(|resolution| Ring::new(resolution.samples));
        let delays = [DelayTotals::default(); DELAY_SAMPLES];
        History { rings, counters: Totals::default(), sampled_at: now, totals: Totals::default(), delays }
    }

    /// Records the counters at `now`. Call it about once a second.
    pub fn sample(&mut self, counters: Totals, delays: DelayTotals, now: Nanos) {
        let elapsed = now.saturating_since(self.sampled_at).0;
        if elapsed == 0 {
            return;
        }
        let (before, after) = (self.counters.values(), counters.values());
        let mut sample = [0; 4];
        for (at, sample) in sample.iter_mut().enumerate() {
            // A counter that decreased belongs to a new engine.
            let delta = after[at].checked_sub(before[at]).unwrap_or(after[at]);
            self.totals.add(at, delta);
            *sample = (u128::from(delta) * 1_000_000_000 / u128::from(elapsed)).min(u128::from(u32::MAX)) as u32;
        }
        self.counters = counters;
        self.sampled_at = now;
        self.delays.rotate_left(1);
        self.delays[DELAY_SAMPLES - 1] = delays;
        let mut sample = Some(sample);
        for (ring, resolution) in self.rings.iter_mut().zip(&RESOLUTIONS) {
            sample = sample.and_then(|sample| ring.accumulate(sample, resolution.every));
        }
    }

    /// Mean delay of the packets of the last 10 s; `None` if there were none.
    pub fn delay(&self) -> Option<Nanos> {
        let (before, after) = (self.delays[0], self.delays[DELAY_SAMPLES - 1]);
        let count = after.count.checked_sub(before.count)?;
        after.sum.checked_sub(before.sum)?.checked_div(count).map(Nanos)
    }

    /// The totals since the daemon started.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The rates of the last `seconds` (clamped to 60..=86 400), at the finest resolution that covers them.
    pub fn answer(&self, seconds: u32) -> HistoryAnswer {
        let seconds = seconds.clamp(MIN_SPAN_S, MAX_SPAN_S);
        let mut resolution_s = FIRST_RESOLUTION_S;
        let mut selected = &self.rings[0];
        for (ring, resolution) in self.rings.iter().zip(&RESOLUTIONS) {
            resolution_s *= resolution.every;
            selected = ring;
            if resolution.samples as u32 * resolution_s >= seconds {
                break;
            }
        }
        let rates = |at: usize| {
            selected.latest((seconds / resolution_s) as usize).map(|sample| sample[at]).collect::<Vec<u32>>()
        };
        HistoryAnswer {
            seconds,
            resolution_s,
            home_upload_bytes_per_s: rates(0),
            home_download_bytes_per_s: rates(1),
            wire_upload_bytes_per_s: rates(2),
            wire_download_bytes_per_s: rates(3),
        }
    }
}

impl Ring {
    fn new(capacity: usize) -> Ring {
        Ring { samples: Vec::with_capacity(capacity), capacity, next: 0, sum: [0; 4], summed: 0 }
    }

    /// Adds a sample of the previous resolution. Returns a sample of this resolution when it is complete.
    fn accumulate(&mut self, sample: Sample, every: u32) -> Option<Sample> {
        self.sum.iter_mut().zip(sample).for_each(|(sum, value)| *sum += u64::from(value));
        self.summed += 1;
        if self.summed < every {
            return None;
        }
        let mean = self.sum.map(|sum| (sum / u64::from(every)) as u32);
        (self.sum, self.summed) = ([0; 4], 0);
        match self.samples.get_mut(self.next) {
            Some(slot) => *slot = mean,
            None => self.samples.push(mean),
        }
        self.next = (self.next + 1) % self.capacity;
        Some(mean)
    }

    /// The last `count` samples, or all if there are fewer, oldest first.
    fn latest(&self, count: usize) -> impl Iterator<Item = &Sample> {
        let (newer, older) = self.samples.split_at(self.next.min(self.samples.len()));
        let skipped = self.samples.len().saturating_sub(count);
        older.iter().chain(newer).skip(skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seconds: u64, upload: impl Fn(u64) -> u64) -> History {
        let mut history = History::new(Nanos::ZERO);
        let mut counters = Totals::default();
        for second in 1..=seconds {
            counters.home_upload += upload(second);
            counters.wire_upload += 20_000;
            history.sample(counters, DelayTotals::default(), Nanos::from_secs(second));
        }
        history
    }

    fn array(history: &History, seconds: u32, of: fn(HistoryAnswer) -> Vec<u32>) -> (u32, Vec<u32>) {
        let answer = history.answer(seconds);
        (answer.resolution_s, of(answer))
    }

    fn upload(answer: HistoryAnswer) -> Vec<u32> {
        answer.home_upload_bytes_per_s
    }

    #[test]
    fn each_span_gets_the_finest_resolution_that_covers_it() {
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
            let (found, wire) = array(&history, seconds, |answer| answer.wire_upload_bytes_per_s);
            assert_eq!((found, wire.len()), (resolution, count), "{seconds}");
            assert!(wire.iter().all(|rate| *rate == 20_000));
        }
        assert_eq!(array(&history, 3600, upload).1, [450; 360], "means of uneven samples");
        let (_, seconds) = array(&history, 60, upload);
        assert_eq!(seconds[seconds.len() - 2..], [900, 0], "the newest come last");
    }

    #[test]
    fn a_new_daemon_has_short_arrays() {
        assert_eq!(array(&run(25, |_| 7), 300, upload).1, [7; 25]);
        assert!(array(&run(25, |_| 7), 86_400, upload).1.is_empty());
    }

    #[test]
    fn a_new_engine_does_not_reduce_the_totals() {
        let mut history = run(10, |_| 100);
        history.sample(Totals { home_upload: 30, ..Totals::default() }, DelayTotals::default(), Nanos::from_secs(11));
        assert_eq!(history.totals().home_upload, 1030);
        assert_eq!(array(&history, 60, upload).1.last(), Some(&30));
    }

    #[test]
    fn the_current_delay_covers_the_last_ten_seconds() {
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
        let bytes: usize = history.rings.iter().map(|ring| ring.samples.capacity() * size_of::<Sample>()).sum();
        assert_eq!(bytes, 16_320);
    }
}
