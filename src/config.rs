//! Settings: UCI text -> sections -> validated model.
//!
//! Every error of a file is reported in one pass, as `section.option: problem (got X, want Y)`.

pub mod address_pool;
mod base64;
mod burst;
pub mod edit;
// Integration tests link a library without `test`; on an emulated router processor also without features.
mod cap_period;
#[cfg(any(test, debug_assertions, feature = "lab"))]
pub mod example;
pub mod home_network;
mod host_port;
pub mod join;
mod key;
mod mac;
pub mod model;
mod own_policy;
mod parse;
pub mod printable;
mod problem;
mod router_service;
pub mod uci;

pub use parse::{KeyFiles, Parsed, parse, parse_with};
pub use problem::{SettingsProblem, Severity};
