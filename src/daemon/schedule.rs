//! What depends on the wall clock: the scheduled level, and the data usage of the billing period.

pub mod calendar;
pub mod data_usage;
