//! Installs the guard in the kernel, and keeps the file from which it is loaded at boot.

use std::path::Path;

use log::info;

use super::{Host, from_op};
use crate::apply::{Applied, apply_guard};
use crate::config::model::Settings;
use crate::daemon::error::Error;
use crate::plan::nft::TableText;
use crate::plan::{confined_sections, guard_table, persistent_elements};
use crate::sys::guard_file;
use crate::sys::kernel::GuardOnly;
use crate::units::counted;

/// Installs a guard from the readable part of broken settings, merged with the guard already loaded.
pub fn install_provisional_guard(understood: &Settings, guard_file: &Path) -> Result<(), Error> {
    Host::open(None)?.merge_guard(understood, guard_file).map(|_| ())
}

impl Host {
    /// Installs the guard of `understood`, the readable part of broken settings, merged with the guard already loaded:
    /// it still confines everything that the loaded guard confines.
    pub fn merge_guard(&mut self, understood: &Settings, file: &Path) -> Result<Applied, Error> {
        let mut settings = understood.clone();
        if let Some(guard) = &self.tables()?.guard {
            let (devices, networks) = confined_sections(guard);
            settings.devices.extend(devices);
            settings.networks.extend(networks);
        }
        self.set_guard(&settings, file)
    }

    /// Installs the guard, then updates `file`, from which the guard is loaded at boot. This is the first step, does
    /// not depend on the tunnel, and is undone only by [`Host::flush`].
    pub fn set_guard(&mut self, settings: &Settings, file: &Path) -> Result<Applied, Error> {
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
        self.read_lan(settings)?;
        let mut desired = guard_table(settings, &self.facts);
        let before = self.tables()?.guard.clone();
        desired.learned = self.kernel.learned(before.as_ref(), &desired).map_err(from_op)?;
        let mut kernel = GuardOnly::new(&mut self.kernel, before);
        let applied = apply_guard(&mut kernel, Some(&desired))?;
        let installed = kernel.into_last();
        self.tables()?.guard.clone_from(&installed);
        applied.ops.iter().for_each(|op| info!("{op}"));
        let flushed =
            if is_intact && applied.ops.is_empty() { Ok(0) } else { self.kernel.enforce(previous.as_ref(), &desired) };
        let digest = installed.as_ref().map(TableText::digest).unwrap_or_default();
        // The file is on flash memory, so it leaves out addresses that change by the hour.
        desired.learned = installed.map(|installed| persistent_elements(&installed.learned)).unwrap_or_default();
        let written = guard_file::write(file, &desired.file(&digest));
        if written.map_err(|error| Error::GuardFile { path: file.into(), error })? {
            info!("wrote the guard to {}", file.display());
        }
        // The file must hold the guard in force even if flushing the old connections failed.
        let flushed = flushed.map_err(from_op)?;
        if flushed > 0 {
            let entries = counted(flushed, "conntrack entry", "conntrack entries");
            info!("flushed {entries} of devices whose policy changed");
        }
        Ok(applied)
    }
}
