//! Statistics for the laboratory.

mod auc;
mod exact;
mod ks;
mod normal;
mod summary;

pub use auc::{Auc, area_under_curve};
pub use exact::{binomial_two_sided, hypergeometric_two_sided, variance_ratio_two_sided};
pub use ks::{KolmogorovSmirnov, kolmogorov_smirnov};
pub use normal::two_sided_p;
pub use summary::Summary;
