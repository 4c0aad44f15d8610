//! The hashes by which traces are found again.

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// An FNV-1a hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash(pub u64);

impl Hash {
    /// The hash of nothing, for traces of one sort.
    pub fn new(sort: u8) -> Hash {
        Hash(FNV_OFFSET).with(&[sort])
    }

    /// The hash with more bytes.
    pub fn with(self, bytes: &[u8]) -> Hash {
        Hash(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)))
    }
}

/// Length of the pieces of a packet that are compared. Eight bytes of chance would do; twice as many leave room to tell
/// chance from the common texts and tables of protocols.
pub(super) const WINDOW: usize = 16;

const BASE: u32 = 0x0100_0193;
/// `BASE` to the power of [`WINDOW`].
const BASE_TO_WINDOW: u32 = {
    let (mut power, mut i) = (1u32, 0);
    while i < WINDOW {
        power = power.wrapping_mul(BASE);
        i += 1;
    }
    power
};

/// Calls `each` with every window of `bytes` and a hash of it that costs two multiplications, until it returns
/// something.
pub(super) fn find_window<'a, T>(bytes: &'a [u8], mut each: impl FnMut(u32, &'a [u8]) -> Option<T>) -> Option<T> {
    let mut rolling = rolling_hash(bytes.get(..WINDOW)?);
    for (window, next) in bytes.windows(WINDOW).zip(bytes.get(WINDOW..)?.iter().map(Some).chain([None])) {
        if let Some(found) = each(rolling, window) {
            return Some(found);
        }
        let gone = u32::from(window[0]).wrapping_mul(BASE_TO_WINDOW);
        rolling = rolling.wrapping_mul(BASE).wrapping_add(next.map_or(0, |byte| u32::from(*byte))).wrapping_sub(gone);
    }
    None
}

/// The hash that [`find_window`] gives a window.
pub(super) fn rolling_hash(window: &[u8]) -> u32 {
    window.iter().fold(0, |hash: u32, byte| hash.wrapping_mul(BASE).wrapping_add(u32::from(*byte)))
}

/// Whether the bytes of a window are so diverse that only one sender can have made them: keys, nonces, ciphertext. Many
/// senders make the same zeros, counters, tables of cipher suites, host names and header lines. A text counts if it has
/// many digits, as serial numbers and tokens do; versions of programs have fewer.
pub(super) fn is_telling(window: &[u8]) -> bool {
    // 16 random bytes have fewer values once in a hundred times.
    const MIN_DISTINCT: u32 = 14;
    // Random bytes have as many printable ones in a row twice in a hundred times.
    const TEXT: usize = 6;
    const MIN_DIGITS: u32 = 7;
    let distinct = |values: &mut dyn Iterator<Item = u8>| {
        let mut seen = [0u32; 8];
        values.for_each(|value| seen[usize::from(value >> 5)] |= 1 << (value & 31));
        seen.iter().map(|word| word.count_ones()).sum::<u32>()
    };
    let mut steps = window.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    let is_text = window.windows(TEXT).any(|run| run.iter().all(|byte| matches!(byte, b' '..=b'~')));
    let digits = distinct(&mut window.iter().copied().filter(u8::is_ascii_digit));
    distinct(&mut window.iter().copied()) >= MIN_DISTINCT
        && distinct(&mut steps) + 2 >= MIN_DISTINCT
        && (!is_text || digits >= MIN_DIGITS)
}
