//! The kernel in line with the settings: interfaces, queueing tree, routes and nftables, through plan and apply.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use log::info;

use super::error::Error;
use super::tunnel;
use crate::apply::{Applied, Kernel, OpError, apply};
use crate::config::model::{Role, Settings, Tunnel};
use crate::plan::tree::Guard;
use crate::plan::{Desired, Facts, IP_FORWARD, Op, Snapshot, plan, reverse_path_filter};
use crate::sys::kernel::{self, System};
use crate::sys::{Tun, resolve};
use crate::wire::size::{IpVersion, Wrapping};

/// The running kernel, and what it held before us.
pub struct Machine {
    system: System,
    facts: Facts,
    wrapping: Wrapping,
    /// What a machine that is new to us did about forwarding; given back at the end.
    before: Option<Snapshot>,
    /// The settings of another's interface that we changed, as they were; given back at the end.
    lent: BTreeMap<String, String>,
}

impl Machine {
    /// Opens the kernel's interfaces and learns what the settings do not say. Resolving the endpoint's name waits.
    pub fn open(settings: &Settings) -> Result<Machine, Error> {
        let mut machine = Machine::unattended()?;
        machine.learn(settings)?;
        Ok(machine)
    }

    /// The same without settings, to take down what a daemon left behind.
    pub fn unattended() -> Result<Machine, Error> {
        if !kernel::is_root() {
            return Err(Error::NotRoot);
        }
        let system = System::open().map_err(from_op)?;
        let wrapping = Wrapping::wireguard(IpVersion::V4);
        Ok(Machine { system, facts: Facts::default(), wrapping, before: None, lent: BTreeMap::new() })
    }

    /// Learns anew what the settings do not say.
    pub fn learn(&mut self, settings: &Settings) -> Result<(), Error> {
        let lan = self.system.lan(settings).map_err(from_op)?;
        let attached = match &settings.tunnel {
            Some(Tunnel::Interface { interface, .. }) => Some(interface.as_str()),
            _ => None,
        };
        if attached != self.system.attached() {
            self.give_back();
        }
        let carrier = self.system.attach(attached).map_err(from_op)?;
        self.facts = Facts { lan, endpoint: endpoint(settings)?, carrier };
        self.wrapping = tunnel::wrapping(settings, &self.facts)?;
        Ok(())
    }

    /// What the tunnel puts around a cell.
    pub fn wrapping(&self) -> Wrapping {
        self.wrapping
    }

    /// Where the tunnel goes, if the settings say so.
    pub fn endpoint(&self) -> Option<SocketAddr> {
        self.facts.endpoint
    }

    /// The operations that would bring the kernel in line, without running any.
    pub fn plan(&mut self, settings: &Settings, guard: &Guard) -> Result<Vec<Op>, Error> {
        let desired = Desired::from_settings(settings, &self.facts, guard)?;
        let snapshot = self.system.snapshot().map_err(from_op)?;
        Ok(plan(&desired, &snapshot))
    }

    /// Brings the kernel in line; on failure it holds what it held before.
    pub fn bring_up(&mut self, settings: &Settings, guard: &Guard) -> Result<Applied, Error> {
        let desired = Desired::from_settings(settings, &self.facts, guard)?;
        let applied = apply(&mut self.system, &desired)?;
        applied.ops.iter().for_each(|op| info!("{op}"));
        if let Some(key) = self.system.attached().map(reverse_path_filter) {
            let changed = |op: &Op| matches!(op, Op::SetSysctl { key: other, .. } if *other == key);
            let value = applied.before.sysctls.get(&key).filter(|_| applied.ops.iter().any(changed));
            self.lent.extend(value.cloned().map(|value| (key, value)));
        }
        if self.before.is_none() {
            self.before = Some(applied.before.clone());
        }
        Ok(applied)
    }

    /// The TUN interface, after a `bring_up` that made it.
    pub fn take_tun(&mut self) -> Option<Tun> {
        self.system.take_tun()
    }

    /// Removes all that is ours, newest first.
    pub fn take_down(&mut self) -> Result<Applied, Error> {
        let forwarding = self.before.as_ref().and_then(|before| before.sysctls.get(IP_FORWARD));
        let desired = forwarding.map_or_else(Desired::nothing, |value| Desired::nothing().forwarding(value));
        let applied = apply(&mut self.system, &desired)?;
        self.give_back();
        Ok(applied)
    }

    /// Sets what we changed on another's interface as it was. One that is gone has taken it along.
    fn give_back(&mut self) {
        for (key, value) in std::mem::take(&mut self.lent) {
            _ = self.system.run(&Op::SetSysctl { key, value });
        }
    }
}

/// The role's endpoint by name or address: the first address that it has. A name that does not resolve is an error
/// with the name in it.
fn endpoint(settings: &Settings) -> Result<Option<SocketAddr>, Error> {
    let Some(Tunnel::Wireguard(wireguard)) = &settings.tunnel else { return Ok(None) };
    let Some(host) = wireguard.endpoint.as_ref().filter(|_| settings.role == Role::Router) else { return Ok(None) };
    let addresses =
        resolve::resolve(host).map_err(Error::system(format!("resolving tunnel.endpoint {}", host.host)))?;
    Ok(addresses.first().copied())
}

fn from_op(error: OpError) -> Error {
    Error::Unfit(error.to_string())
}
