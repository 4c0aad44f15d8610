//! Installs the guard in the kernel, and keeps the file from which it is loaded at boot.

use std::io;
use std::path::Path;

use log::{info, warn};

use super::{Host, from_op};
use crate::apply::{Applied, ApplyError, ApplyFailure, Kernel, apply_guard};
use crate::config::model::{Device, Mac, Settings};
use crate::daemon::error::Error;
use crate::plan::nft::{Learned, TableName, TableText};
use crate::plan::{
    Facts, Op, SHOWN_ADDRESSES, astray, bridge_guard, confined_sections, confirmed_elements, conflicts, guard_table,
    initial_elements, minimal_guard, persistent_elements, unknown_devices,
};
use crate::sys::fw4_zones::with_interfaces;
use crate::sys::guard_file;
use crate::sys::kernel::GuardOnly;
use crate::sys::owned_guard_copy::OwnedGuardCopy;
use crate::units::counted;

/// Installs a guard from the readable part of broken settings, merged with the guard already loaded.
pub fn install_provisional_guard(understood: &Settings, guard_file: &Path) -> Result<(), Error> {
    let mut host = Host::open(None)?;
    let settings = with_confined_by(&with_interfaces(understood), host.tables()?.guard.as_ref());
    host.set_guard(&settings, guard_file, None).errors.into_iter().next().map_or(Ok(()), Err)
}

/// What [`Host::set_guard`] did.
#[derive(Debug, Default)]
pub struct GuardOutcome {
    /// Whether a guard is in force that confines what the settings confine.
    pub in_force: bool,
    /// Number of operations.
    pub ops: usize,
    /// What failed, the most serious first.
    pub errors: Vec<Error>,
    /// Whether the guard has learned something from the kernel's neighbours.
    pub has_learned: bool,
    /// A sentence for each address of a confined or chosen device that another device uses, too.
    pub conflicts: Vec<String>,
    /// A sentence for each device without a section that uses an address which a confined device had.
    pub unknown: Vec<String>,
    /// The shaped devices whose packets were lately routed past the tunnel.
    pub astray: Vec<Mac>,
}

impl Host {
    /// Installs the guard, then updates `file`, from which the guard is loaded at boot. If the kernel refuses the
    /// guard, installs [`minimal_guard`] instead. `copy` knows what a guard that was loaded from the file has not.
    /// This is the first step, does not depend on the tunnel, and is undone only by [`Host::flush`].
    pub fn set_guard(&mut self, settings: &Settings, file: &Path, copy: Option<&OwnedGuardCopy>) -> GuardOutcome {
        let mut outcome = GuardOutcome::default();
        if let Err(error) = self.install_guard(settings, file, copy, &mut outcome) {
            outcome.errors.push(error);
        }
        outcome
    }

    fn install_guard(
        &mut self,
        settings: &Settings,
        file: &Path,
        copy: Option<&OwnedGuardCopy>,
        outcome: &mut GuardOutcome,
    ) -> Result<(), Error> {
        let previous = self.tables()?.guard.clone();
        let is_intact = previous.as_ref().is_some_and(|guard| guard.unmodified);
        if !is_intact {
            // Installing and verifying the desired guard takes several steps. Until then the file's guard confines, if
            // there is one.
            if guard_file::load(file).is_ok() {
                info!("restored the guard from {}", file.display());
                self.tables = None;
            }
        }
        match copy.map_or(Ok(false), |copy| copy.restore_learned(&SHOWN_ADDRESSES)) {
            Ok(false) => {}
            Ok(true) => self.tables = None,
            // The guard learns the addresses again.
            Err(cause) => warn!("giving the guard the addresses that its copy knows: {cause}"),
        }
        let before = self.tables()?.guard.clone();
        if let Err(error) = self.read_lan(settings) {
            // Better a guard for the interfaces known before than none.
            self.facts = before.as_ref().map(Facts::from_guard).unwrap_or_default();
            outcome.errors.push(error);
        }
        let mut wanted = guard_table(settings, &self.facts);
        wanted.learned = self.learned(before.as_ref(), &wanted);
        let confined = with_confined_by(settings, before.as_ref());
        let minimal = minimal_guard(&confined, &self.facts, &persistent_elements(&wanted.learned));
        let applied = match self.load_guard(&mut wanted) {
            Err(error) if is_refused(&error) => {
                wanted = minimal.clone();
                let applied = self.load_guard(&mut wanted);
                outcome.in_force = applied.is_ok();
                let cause = if outcome.in_force { Error::MinimalGuard(error) } else { error.into() };
                outcome.errors.push(cause);
                // If this one fails, too, the first error is the cause.
                let Ok(applied) = applied else { return Ok(()) };
                applied
            }
            applied => {
                outcome.in_force = true;
                applied?
            }
        };
        applied.ops.iter().for_each(|op| info!("{op}"));
        outcome.ops = applied.ops.len();
        let flushed =
            if is_intact && applied.ops.is_empty() { Ok(0) } else { self.kernel.enforce(previous.as_ref(), &wanted) };
        self.update_learned(&settings.devices, outcome);
        // The file must hold the guard in force even if flushing the old connections failed.
        let installed = self.tables()?.guard.as_ref();
        let digest = installed.map(TableText::digest).unwrap_or_default();
        // The file is on flash memory, so it leaves out addresses that change by the hour.
        wanted.learned = installed.map(|installed| persistent_elements(&installed.learned)).unwrap_or_default();
        let without_learned = TableText { learned: Learned::new(), ..wanted.clone() };
        let texts = [wanted.file(&digest), without_learned.file(&digest), minimal.file("")];
        match write_first(file, &texts) {
            Ok(true) => info!("wrote the guard to {}", file.display()),
            Ok(false) => {}
            Err(error) => outcome.errors.push(Error::GuardFile { path: file.into(), error }),
        }
        match flushed.map_err(from_op)? {
            0 => {}
            flushed => {
                let entries = counted(flushed, "conntrack entry", "conntrack entries");
                info!("flushed {entries} of devices whose policy changed");
            }
        }
        Ok(())
    }

    /// Brings the learned sets of the guard up to date with the kernel's neighbours, and looks for conflicts.
    fn update_learned(&mut self, devices: &[Device], outcome: &mut GuardOutcome) {
        let Some(guard) = self.tables.as_mut().and_then(|tables| tables.guard.as_mut()) else { return };
        match self.kernel.update_learned(guard) {
            Ok(has_learned) => outcome.has_learned = has_learned,
            // The guard confines without; the next job tries again.
            Err(error) => warn!("{error}"),
        }
        outcome.conflicts = conflicts(guard, devices);
        outcome.unknown = unknown_devices(guard);
        outcome.astray = astray(guard);
    }

    /// Lets the guard forget which devices' packets were routed past the tunnel, after a change that explains them.
    pub fn forget_astray(&mut self) {
        let guard = self.tables().ok().and_then(|tables| tables.guard.clone());
        if let Some(Err(error)) = guard.map(|guard| self.kernel.forget_astray(&guard)) {
            warn!("{error}");
        }
    }

    /// What the guard in force has learned.
    pub(super) fn learned_now(&self) -> Learned {
        let guard = self.tables.as_ref().and_then(|tables| tables.guard.as_ref());
        guard.map(|guard| guard.learned.clone()).unwrap_or_default()
    }

    /// Installs or removes the table for bridge ports that are tunnels, after [`Host::set_guard`] has read the facts.
    /// Returns the number of operations. A failure leaves the guard alone.
    pub fn set_bridge_guard(&mut self, settings: &Settings) -> Result<usize, Error> {
        let Some(op) = self.bridge_op(settings)? else {
            self.update_bridge()?;
            return Ok(0);
        };
        self.kernel.run(&op).map_err(from_op)?;
        info!("{op}");
        match self.bridge_op(settings)? {
            None => Ok(1),
            Some(op) => {
                let failure = ApplyFailure::Unverified(vec![op.to_string()]);
                Err(Error::Apply(ApplyError { failure, not_rolled_back: Vec::new() }))
            }
        }
    }

    /// Gives the table for bridge ports what the guard has learned. What only packets show, it sees itself.
    fn update_bridge(&mut self) -> Result<(), Error> {
        let Some(mut bridge) = self.kernel.bridge_guard().map_err(from_op)? else { return Ok(()) };
        let learned = confirmed_elements(&self.learned_now());
        self.kernel.set_learned(&mut bridge, &learned).map_err(from_op)?;
        Ok(())
    }

    pub(super) fn bridge_op(&mut self, settings: &Settings) -> Result<Option<Op>, Error> {
        let installed = self.kernel.bridge_guard().map_err(from_op)?;
        match (bridge_guard(settings, &self.facts), installed) {
            (Some(wanted), Some(installed)) if wanted.is_satisfied_by(&installed) => Ok(None),
            (Some(mut wanted), _) => {
                wanted.learned = self.learned_now();
                Ok(Some(Op::SetTable(wanted)))
            }
            (None, Some(_)) => Ok(Some(Op::DeleteTable(TableName::Bridge))),
            (None, None) => Ok(None),
        }
    }

    /// The learned elements with which the guard `wanted` starts.
    fn learned(&mut self, before: Option<&TableText>, wanted: &TableText) -> Learned {
        self.kernel.learned(before, wanted).unwrap_or_else(|error| {
            warn!("{error}; the guard starts with what the one before had learned");
            initial_elements(before, wanted, &[])
        })
    }

    /// Loads the guard, and verifies it. If the kernel refuses the guard with its learned elements, loads it without
    /// them: what packets show must not decide whether a policy takes hold.
    fn load_guard(&mut self, wanted: &mut TableText) -> Result<Applied, ApplyError> {
        let result = self.apply_guard(wanted);
        match result {
            Err(error) if is_refused(&error) && wanted.learned.values().any(|elements| !elements.is_empty()) => {
                warn!("{error}; loading the guard without the addresses that devices have shown");
                wanted.learned.clear();
                self.apply_guard(wanted)
            }
            result => result,
        }
    }

    fn apply_guard(&mut self, wanted: &TableText) -> Result<Applied, ApplyError> {
        let Some(tables) = &mut self.tables else { return apply_guard(&mut self.kernel, Some(wanted)) };
        let mut kernel = GuardOnly::new(&mut self.kernel, tables.guard.clone());
        let applied = apply_guard(&mut kernel, Some(wanted))?;
        tables.guard = kernel.into_last();
        Ok(applied)
    }
}

/// The settings, which also confine what `guard` confines.
fn with_confined_by(settings: &Settings, guard: Option<&TableText>) -> Settings {
    let mut settings = settings.clone();
    if let Some(guard) = guard {
        let (devices, networks) = confined_sections(guard);
        settings.devices.extend(devices);
        settings.networks.extend(networks);
    }
    settings
}

/// Whether the kernel refused the guard, so that it is not loaded. A guard that only reads back differently is.
fn is_refused(error: &ApplyError) -> bool {
    matches!(error.failure, ApplyFailure::Op(_))
}

/// Writes the first of `texts` that the kernel would accept. Returns whether the file changed.
fn write_first(file: &Path, texts: &[String]) -> io::Result<bool> {
    let mut refused = None;
    for text in texts {
        match guard_file::write(file, text) {
            Err(error) if error.kind() == io::ErrorKind::Other => _ = refused.get_or_insert(error),
            Err(error) => return Err(error),
            Ok(is_new) => {
                refused.iter().for_each(|error| warn!("the guard file has only a part of the guard: {error}"));
                return Ok(is_new);
            }
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::InvalidInput.into()))
}
