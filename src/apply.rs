//! Brings a kernel from what it holds to what is desired: plan, run, verify; and back again if anything fails.

use std::fmt;

use crate::plan::nft::TableText;
use crate::plan::{Desired, Op, Snapshot, plan, plan_guard};

/// What a plan is run against: the system's kernel, or a model of one.
pub trait Kernel {
    /// What it holds of ours.
    fn snapshot(&mut self) -> Result<Snapshot, OpError>;

    /// Does `op` whole, or fails and leaves everything as it was.
    fn run(&mut self, op: &Op) -> Result<(), OpError>;
}

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    /// What was tried, as [`Op`] prints it.
    pub action: String,
    /// Why it failed, and where there is something to do about it, what.
    pub cause: Cause,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// In words.
    pub text: String,
    /// OpenWrt's name of the packages that bring what is missing.
    pub package: Option<&'static str>,
}

impl Cause {
    /// Something is missing that this package brings.
    pub fn missing(text: impl Into<String>, package: &'static str) -> Cause {
        Cause { text: text.into(), package: Some(package) }
    }
}

impl<T: Into<String>> From<T> for Cause {
    fn from(text: T) -> Cause {
        Cause { text: text.into(), package: None }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.package.map_or(Ok(()), |package| write!(f, ": install {package}"))
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.cause)
    }
}

impl std::error::Error for OpError {}

/// Why the kernel does not hold what was desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    /// What went wrong first.
    pub failure: Failure,
    /// What could not be taken back, in the order in which it was tried; empty if all is as it was.
    pub remains: Vec<OpError>,
}

impl ApplyError {
    /// The package that would have made a difference.
    pub fn package(&self) -> Option<&'static str> {
        match &self.failure {
            Failure::Op(error) => error.cause.package,
            Failure::Unverified(_) => None,
        }
    }
}

/// What went wrong first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An operation, or the reading of what is there.
    Op(OpError),
    /// All operations went well, and yet these would be needed still.
    Unverified(Vec<String>),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            Failure::Op(error) => write!(f, "{error}")?,
            Failure::Unverified(missing) => {
                write!(f, "the kernel took every operation, yet lacks: {}", missing.join("; "))?;
            }
        }
        for (i, error) in self.remains.iter().enumerate() {
            f.write_str(if i == 0 { "; not taken back: " } else { ", " })?;
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApplyError {}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What was there before.
    pub before: Snapshot,
    /// What was run, in order.
    pub ops: Vec<Op>,
}

/// Makes `kernel` hold `desired`, and reads back that it does. On any failure, takes back what was done. The guard's
/// table is no part of it: see [`apply_guard`].
pub fn apply(kernel: &mut impl Kernel, desired: &Desired) -> Result<Applied, ApplyError> {
    let before = kernel.snapshot().map_err(ApplyError::before_anything)?;
    let ops = plan(desired, &before);
    let mut journal = Vec::with_capacity(ops.len());
    for op in &ops {
        if let Err(error) = kernel.run(op) {
            return Err(roll_back(kernel, Failure::Op(error), journal));
        }
        journal.push(op.inverse(&before));
    }
    match verify(kernel, &ops, |after| plan(desired, after)) {
        Ok(()) => Ok(Applied { before, ops }),
        Err(failure) => Err(roll_back(kernel, failure, journal)),
    }
}

/// Makes `kernel` hold the guard's table `wanted`, or none, and reads back that it does. One operation does it whole or
/// not at all. Where it went well and reads back otherwise, it stays: a guard that cannot be verified is better than
/// none.
pub fn apply_guard(kernel: &mut impl Kernel, wanted: Option<&TableText>) -> Result<Applied, ApplyError> {
    let before = kernel.snapshot().map_err(ApplyError::before_anything)?;
    let ops = plan_guard(wanted, &before);
    for op in &ops {
        kernel.run(op).map_err(ApplyError::before_anything)?;
    }
    match verify(kernel, &ops, |after| plan_guard(wanted, after)) {
        Ok(()) => Ok(Applied { before, ops }),
        Err(failure) => Err(ApplyError { failure, remains: Vec::new() }),
    }
}

/// Reads back that nothing is left to do after `done`.
fn verify(kernel: &mut impl Kernel, done: &[Op], left: impl Fn(&Snapshot) -> Vec<Op>) -> Result<(), Failure> {
    if done.is_empty() {
        return Ok(());
    }
    let after = kernel.snapshot().map_err(Failure::Op)?;
    let missing: Vec<String> = left(&after).iter().map(Op::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(Failure::Unverified(missing)) }
}

impl ApplyError {
    /// Of an operation that was the first.
    pub fn before_anything(error: OpError) -> ApplyError {
        ApplyError { failure: Failure::Op(error), remains: Vec::new() }
    }
}

/// Runs the inverses, the last operation's first. Goes on where one fails: the more that is back, the better.
fn roll_back(kernel: &mut impl Kernel, failure: Failure, journal: Vec<Vec<Op>>) -> ApplyError {
    let inverses = journal.iter().rev().flatten();
    let remains = inverses.filter_map(|op| kernel.run(op).err()).collect();
    ApplyError { failure, remains }
}
