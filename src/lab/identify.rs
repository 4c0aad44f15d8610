//! Identifies the devices of a home: the paper's attack (section 5.1) and stronger ones.
//!
//! Three sources identify a device: the vendor prefix of its Ethernet address ([`oui`]), the DNS names that it looks up
//! ([`dns`]), and its traffic pattern ([`shape`]), which remains visible when everything is encrypted.

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
