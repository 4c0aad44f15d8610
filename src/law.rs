//! The laws: how the intervals between departures are made (design: "Law").

use std::fmt;

/// How the intervals between departures are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Law {
    /// Gamma distribution: mean T, shape 1/spread².
    #[default]
    Gamma,
    /// Normal distribution, redrawn until positive; the paper's figure 7.
    Normal,
    /// Always T.
    Constant,
    /// The paper's own way: cells of both kinds stand ready in the PRIO bands and HTB paces them.
    Kernel,
}

impl Law {
    /// All laws, in the order of the documentation.
    pub const ALL: [Law; 4] = [Law::Gamma, Law::Normal, Law::Constant, Law::Kernel];

    /// The name in settings and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Law::Gamma => "gamma",
            Law::Normal => "normal",
            Law::Constant => "constant",
            Law::Kernel => "kernel",
        }
    }

    /// The law of that name.
    pub fn from_name(name: &str) -> Option<Law> {
        Law::ALL.into_iter().find(|law| law.name() == name)
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
