//! WireGuard and the path, as far as a session notices them: keys that end, handshakes that renew them, outages.

use std::collections::VecDeque;

use millpond::units::Nanos;
use millpond::wire::MAX_PACKET_BYTES;

/// WireGuard renews keys after this time (`REKEY_AFTER_TIME`) and sends nothing with older ones (`REJECT_AFTER_TIME`).
const REKEY_AFTER: Nanos = Nanos::from_secs(120);
const REJECT_AFTER: Nanos = Nanos::from_secs(180);
/// A handshake without an answer is repeated after this time (`REKEY_TIMEOUT`).
const REKEY_TIMEOUT: Nanos = Nanos::from_secs(5);
/// One way.
const PATH_DELAY: Nanos = Nanos::from_millis(20);

/// More cells than are ever under way, so that their memory does not grow.
const CELLS: usize = 256;

/// The tunnel between the two ends.
#[derive(Default)]
pub struct Tunnel {
    /// The last handshake.
    keys: Option<Nanos>,
    /// The same in seconds of Unix time; 0 for none.
    pub handshake_s: u64,
    pub handshakes: u64,
    /// When a handshake that nobody has answered is repeated.
    retry: Option<Nanos>,
    pub is_down: bool,
    /// Cells under way, from the router and from the endpoint.
    pub under_way: [VecDeque<(Nanos, Vec<u8>)>; 2],
    spare: Vec<Vec<u8>>,
    /// Cells that an outage or a standstill took, from the router and from the endpoint.
    pub lost: [u64; 2],
    /// The cells handed out by [`Tunnel::pop`].
    pub carried: [u64; 2],
}

impl Tunnel {
    /// A tunnel without keys.
    pub fn new() -> Tunnel {
        let spare = (0..CELLS).map(|_| Vec::with_capacity(MAX_PACKET_BYTES)).collect();
        Tunnel {
            spare,
            under_way: [VecDeque::with_capacity(CELLS), VecDeque::with_capacity(CELLS)],
            ..Tunnel::default()
        }
    }

    /// Takes a cell from the router (0) or from the endpoint (1).
    pub fn send(&mut self, from: usize, cell: &[u8], now: Nanos, unix_s: i64) {
        let age = self.keys.map(|keys| now.saturating_since(keys));
        // The router began all handshakes, so it renews them.
        if from == 0 && age.is_none_or(|age| age >= REKEY_AFTER) && self.retry.is_none() {
            self.retry = Some(now);
            self.poll_handshake(now, unix_s);
        }
        let has_keys = self.keys.is_some_and(|keys| now.saturating_since(keys) < REJECT_AFTER);
        if self.is_down || !has_keys {
            self.lost[from] += 1;
            return;
        }
        let mut copy = self.spare.pop().expect("few cells are under way");
        copy.clear();
        copy.extend_from_slice(cell);
        self.under_way[from].push_back((now + PATH_DELAY, copy));
    }

    /// Repeats a handshake that has had no answer. To be called about once a second.
    pub fn poll_handshake(&mut self, now: Nanos, unix_s: i64) {
        match self.retry {
            Some(retry) if now >= retry && self.is_down => self.retry = Some(now + REKEY_TIMEOUT),
            Some(retry) if now >= retry => {
                (self.keys, self.handshake_s, self.retry) = (Some(now), unix_s as u64, None);
                self.handshakes += 1;
            }
            _ => {}
        }
    }

    /// Forgets the keys, as for another peer.
    pub fn forget_keys(&mut self) {
        (self.keys, self.handshake_s, self.retry) = (None, 0, None);
    }

    /// When the next cell from that end arrives.
    pub fn arrival(&self, from: usize) -> Nanos {
        self.under_way[from].front().map_or(Nanos(u64::MAX), |(at, _)| *at)
    }

    /// The cell from that end that arrives now. To be given back by [`Tunnel::recycle`].
    pub fn pop(&mut self, from: usize) -> Vec<u8> {
        self.carried[from] += 1;
        self.under_way[from].pop_front().expect("a cell is under way").1
    }

    pub fn recycle(&mut self, cell: Vec<u8>) {
        self.spare.push(cell);
    }
}
