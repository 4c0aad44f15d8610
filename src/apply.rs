//! Brings a kernel to the desired state: plan, run, verify, and roll back if an operation fails.

use std::fmt;

use crate::plan::nft::TableText;
use crate::plan::{Desired, Op, Snapshot, plan, plan_guard};

/// The target of a plan: the running kernel, or a model of a kernel in tests.
pub trait Kernel {
    /// Reads millpond's objects from the kernel.
    fn snapshot(&mut self) -> Result<Snapshot, OpError>;

    /// Runs `op` completely, or fails and changes nothing.
    fn run(&mut self, op: &Op) -> Result<(), OpError>;
}

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpError {
    /// The operation that was tried, as [`Op`] prints it.
    pub action: String,
    /// Why it failed and, if there is a remedy, which.
    pub cause: Cause,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The reason in words.
    pub text: String,
    /// OpenWrt's name of the package that provides the missing part.
    pub package: Option<&'static str>,
}

impl Cause {
    /// A part is missing; `package` provides it.
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

/// Why the kernel is not in the desired state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyError {
    /// The first failure.
    pub failure: ApplyFailure,
    /// The rollback operations that failed, in the order in which they ran; empty if the kernel is as it was before.
    pub not_rolled_back: Vec<OpError>,
}

impl ApplyError {
    /// The package whose absence caused the failure.
    pub fn package(&self) -> Option<&'static str> {
        match &self.failure {
            ApplyFailure::Op(error) => error.cause.package,
            ApplyFailure::Unverified(_) => None,
        }
    }
}

/// The first failure of [`apply`] or [`apply_guard`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyFailure {
    /// An operation failed, or the snapshot could not be read.
    Op(OpError),
    /// Every operation succeeded, but the kernel still lacks the results of these.
    Unverified(Vec<String>),
}

impl fmt::Display for ApplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            ApplyFailure::Op(error) => write!(f, "{error}")?,
            ApplyFailure::Unverified(missing) => {
                write!(f, "the kernel accepted every operation but still needs: {}", missing.join("; "))?;
            }
        }
        for (i, error) in self.not_rolled_back.iter().enumerate() {
            f.write_str(if i == 0 { "; not rolled back: " } else { ", " })?;
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApplyError {}

/// What a successful run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The state before the run.
    pub before: Snapshot,
    /// The operations that were run, in order.
    pub ops: Vec<Op>,
}

/// Brings `kernel` to the state `desired` and verifies it by reading the kernel again. Rolls everything back if an
/// operation or the verification fails. The guard's table is separate: see [`apply_guard`].
pub fn apply(kernel: &mut impl Kernel, desired: &Desired) -> Result<Applied, ApplyError> {
    let before = kernel.snapshot().map_err(ApplyError::of_first_operation)?;
    let ops = plan(desired, &before);
    let mut journal = Vec::with_capacity(ops.len());
    for op in &ops {
        if let Err(error) = kernel.run(op) {
            return Err(roll_back(kernel, ApplyFailure::Op(error), journal));
        }
        journal.push(op.inverse(&before));
    }
    let lasting = desired.without_endpoints();
    match verify(kernel, &ops, |after| plan(&lasting, after)) {
        Ok(()) => Ok(Applied { before, ops }),
        Err(failure) => Err(roll_back(kernel, failure, journal)),
    }
}

/// Installs the guard's table `wanted`, or removes it for `None`, and verifies the result by reading the kernel again.
/// One operation does all of it or nothing. A table that was installed but reads back differently stays in place: a
/// guard that cannot be verified is better than no guard.
pub fn apply_guard(kernel: &mut impl Kernel, wanted: Option<&TableText>) -> Result<Applied, ApplyError> {
    let before = kernel.snapshot().map_err(ApplyError::of_first_operation)?;
    let ops = plan_guard(wanted, &before);
    for op in &ops {
        kernel.run(op).map_err(ApplyError::of_first_operation)?;
    }
    match verify(kernel, &ops, |after| plan_guard(wanted, after)) {
        Ok(()) => Ok(Applied { before, ops }),
        Err(failure) => Err(ApplyError { failure, not_rolled_back: Vec::new() }),
    }
}

/// Checks by a new snapshot that no operation is needed after `done`.
fn verify(
    kernel: &mut impl Kernel,
    done: &[Op],
    plan_after: impl Fn(&Snapshot) -> Vec<Op>,
) -> Result<(), ApplyFailure> {
    if done.is_empty() {
        return Ok(());
    }
    let after = kernel.snapshot().map_err(ApplyFailure::Op)?;
    let missing: Vec<String> = plan_after(&after).iter().map(Op::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(ApplyFailure::Unverified(missing)) }
}

impl ApplyError {
    /// The error of a first operation: there is nothing to roll back.
    pub fn of_first_operation(error: OpError) -> ApplyError {
        ApplyError { failure: ApplyFailure::Op(error), not_rolled_back: Vec::new() }
    }
}

/// Runs the inverses, those of the last operation first. A failed inverse does not end the rollback: each one that
/// succeeds brings the kernel nearer to its state before.
fn roll_back(kernel: &mut impl Kernel, failure: ApplyFailure, journal: Vec<Vec<Op>>) -> ApplyError {
    let inverses = journal.iter().rev().flatten();
    let not_rolled_back = inverses.filter_map(|op| kernel.run(op).err()).collect();
    ApplyError { failure, not_rolled_back }
}
