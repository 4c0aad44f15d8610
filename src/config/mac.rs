//! Ethernet addresses.

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Parses the notation that [`Mac`] prints and that the kernel's tools use.
    pub fn from_text(text: &str) -> Option<Mac> {
        let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok());
        let mac = [(); 6].map(|()| bytes.next().flatten());
        let [Some(a), Some(b), Some(c), Some(d), Some(e), Some(f)] = mac else { return None };
        bytes.next().is_none().then_some(Mac([a, b, c, d, e, f]))
    }

    /// Whether the locally administered bit is set, as in phones' randomised addresses.
    pub fn is_locally_administered(self) -> bool {
        self.0[0] & 0x02 != 0
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
