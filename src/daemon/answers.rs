//! The answers of a running daemon, as structs that are written as JSON or blobmsg. Programs for a computer can read
//! them back.

pub use crate::daemon::advice::AdvisedShape;
pub use crate::daemon::advice::answer::{
    AdviceAnswer, AdvisedAnswer, DeviceAdvice, LevelAdvice, StepAdvice, StepDelays,
};
pub use crate::daemon::advice::bursts::{BurstAnswer, BurstPrice};
pub use crate::daemon::audit::answer::{
    AuditAnswer, AuditFinding, AuditStarted, AuditedAnswer, QuoteAnswer, SizeCount, StatusAudit,
};
pub use crate::daemon::control::encode::{EncodeError, to_json, to_table};
pub use crate::daemon::control::status::{
    CellBytes, DeviceDelay, DropCounts, PeerAnswer, Percentiles, ProblemAnswer, PromiseAnswer, StateAnswer, StateEvent,
    StatusAnswer,
};
pub use crate::daemon::devices::answer::{DeviceAnswer, DevicesAnswer};
pub use crate::daemon::history::HistoryAnswer;
pub use crate::daemon::rounded::Rounded;
pub use crate::daemon::schedule::data_usage::UsageAnswer;
