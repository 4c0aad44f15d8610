//! Which devices does a home have? The paper's section 5.1, and what is stronger.
//!
//! Three sources: the vendor part of the Ethernet address ([`oui`]), the names that a device looks up ([`dns`]), and
//! the shape of its traffic ([`shape`]), which stays when everything is encrypted.

mod corpus;
pub mod dns;
mod evaluate;
mod figures;
mod identity;
mod names;
mod observe;
pub mod oui;
mod report;
pub mod shape;

#[cfg(test)]
mod tests;

pub use corpus::{Corpus, DeviceCapture};
pub use evaluate::{
    CrossValidation, Evaluation, EvaluationConfig, Method, SAMPLE_SECONDS, Split, WINDOW_SECONDS, evaluate,
};
pub use figures::draw;
pub use identity::{Candidate, HostIdentity, identify};
pub use names::{AddressEvaluation, NameEvaluation, by_address, by_names};
pub use observe::{CaptureSummary, ObservedHost, observe};
pub use report::{print_evaluation, print_identities};
