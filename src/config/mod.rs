//! Settings: UCI text -> sections -> validated model.
//!
//! Every error of a file is reported in one pass, as `section.option: problem (got X, want Y)`.

pub mod model;
