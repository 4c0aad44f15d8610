//! The few statistics that the laboratory needs.

mod ks;
mod normal;
mod summary;

pub use ks::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use normal::two_sided_p;
pub use summary::Summary;
