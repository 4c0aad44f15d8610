//! Requests from people and programs, over the control socket and ubus, and the answers.

pub mod answer;
#[cfg(feature = "endpoint")]
pub mod metrics;
pub mod reply;
pub mod request;
pub mod request_error;
pub mod socket;
pub mod status;
pub mod ubus;
