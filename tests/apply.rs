//! Applies plans to a model of the kernel that fails at each operation in turn. Afterwards the state is as before, or
//! the error names what differs.

mod common;

use millpond::apply::{ApplyError, ApplyFailure, Kernel, OpError, apply, apply_guard};
use millpond::config::model::{Key, Settings};
use millpond::plan::nft::{self, TableName, TableText};
use millpond::plan::qdisc_tree::Handle;
use millpond::plan::routing::RouteKind;
use millpond::plan::wireguard::WireguardDevice;
use millpond::plan::{Desired, Forwarding, InstalledLink, Op, Snapshot, guard_table, plan};
use millpond::tunnel::LinkKind;

/// A kernel whose state is a [`Snapshot`]. It rejects the operations that Linux rejects, and fails as configured.
struct Model {
    state: Snapshot,
    /// The calls of `run` that fail, counted from zero.
    failing: Vec<usize>,
    calls: usize,
    /// Reports success without running operations.
    ignores_operations: bool,
    /// Another program changes every table as soon as it is installed.
    tampers: bool,
    /// Whether WireGuard's peers send from another address than the settings have.
    roams: bool,
}

impl Model {
    fn new(state: Snapshot, failing: Vec<usize>) -> Model {
        Model { state, failing, calls: 0, ignores_operations: false, tampers: false, roams: false }
    }
}

fn bare() -> Snapshot {
    let sysctls = ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"].map(|key| (key.into(), "0".into())).into();
    Snapshot { ipv6: true, sysctls, ..Snapshot::default() }
}

impl Kernel for Model {
    fn snapshot(&mut self) -> Result<Snapshot, OpError> {
        if self.roams {
            self.state.peers.iter_mut().for_each(|peer| peer.endpoint = "198.51.100.77:51820".parse().ok());
        }
        Ok(self.state.clone())
    }

    fn run(&mut self, op: &Op) -> Result<(), OpError> {
        let call = self.calls;
        self.calls += 1;
        let refuse = |cause: &str| Err(OpError { action: op.to_string(), cause: cause.into() });
        if self.failing.contains(&call) {
            return refuse("failure requested by the test");
        }
        if self.ignores_operations {
            return Ok(());
        }
        let mut next = self.state.clone();
        match change(&mut next, op.clone()) {
            Ok(()) => {
                self.state = next;
                let tables = self.state.guard.iter_mut().chain(&mut self.state.table);
                tables.for_each(|table| table.unmodified &= !self.tampers);
                Ok(())
            }
            Err(cause) => refuse(cause),
        }
    }
}

fn change(state: &mut Snapshot, op: Op) -> Result<(), &'static str> {
    match op {
        Op::SetTable(table) => {
            // Like an nft that lists a table as it was given.
            let listing = table.file(&nft::digest(&table.draft()));
            *table_of(state, table.name) = Some(TableText::from_listing(table.name, &listing));
        }
        Op::DeleteTable(name) => drop(table_of(state, name).take().ok_or("no such table")?),
        Op::AddLink { name, kind, mtu } => add_link(state, name, kind, mtu)?,
        Op::DeleteLink { name } => delete_link(state, &name)?,
        Op::SetMtu { name, mtu } => state.links.get_mut(&name).ok_or("no such link")?.mtu = mtu,
        Op::SetUp { name, up } => {
            state.links.get_mut(&name).ok_or("no such link")?.up = up;
            if !up {
                state.routes.retain(|route| route.kind != RouteKind::Dev(name.clone()));
                // Unless net.ipv6.conf.NAME.keep_addr_on_down is set.
                state.addresses.retain(|(dev, prefix)| *dev != name || prefix.address.is_ipv4());
            }
        }
        Op::SetSysctl { key, value } => *state.sysctls.get_mut(&key).ok_or("no such key")? = value,
        Op::SetWireguard(device) => *state.wireguard.as_mut().ok_or("no such link")? = device,
        Op::SetPeer(peer) => {
            state.wireguard.as_ref().ok_or("no such link")?;
            state.peers.retain(|other| other.public_key != peer.public_key);
            state.peers.push(peer);
        }
        Op::RemovePeer(key) => remove(&mut state.peers, |peer| peer.public_key == key)?,
        Op::AddQdisc { dev, qdisc } => {
            if qdisc.parent != Handle::ROOT && !has_parent(state, &dev, qdisc.parent) {
                return Err("no such parent");
            }
            add(&mut state.qdiscs, (dev, qdisc))?;
        }
        Op::ChangeQdisc { dev, qdisc } => {
            let old = state.qdiscs.iter_mut().find(|(d, q)| *d == dev && q.handle == qdisc.handle);
            old.ok_or("no such qdisc")?.1 = qdisc;
        }
        Op::DeleteQdisc { dev, qdisc } => remove(&mut state.qdiscs, |(d, q)| *d == dev && q.handle == qdisc.handle)?,
        Op::AddClass { dev, class } => {
            if !has_parent(state, &dev, class.parent) {
                return Err("no such parent");
            }
            add(&mut state.classes, (dev, class))?;
        }
        Op::ChangeClass { dev, class } => {
            let old = state.classes.iter_mut().find(|(d, c)| *d == dev && c.handle == class.handle);
            old.ok_or("no such class")?.1 = class;
        }
        Op::DeleteClass { dev, class } => remove(&mut state.classes, |(d, c)| *d == dev && c.handle == class.handle)?,
        Op::AddAddress { dev, address } => {
            state.links.get(&dev).ok_or("no such link")?;
            add(&mut state.addresses, (dev, address))?;
        }
        Op::DeleteAddress { dev, address } => remove(&mut state.addresses, |a| *a == (dev.clone(), address))?,
        Op::AddRoute(route) => {
            if let RouteKind::Dev(dev) = &route.kind {
                if !state.links.get(dev).is_some_and(|link| link.up) {
                    return Err("network is down");
                }
            }
            add(&mut state.routes, route)?;
        }
        Op::DeleteRoute(route) => remove(&mut state.routes, |r| *r == route)?,
        Op::AddRule(rule) => add(&mut state.rules, rule)?,
        Op::DeleteRule(rule) => remove(&mut state.rules, |r| *r == rule)?,
    }
    Ok(())
}

fn table_of(state: &mut Snapshot, name: TableName) -> &mut Option<TableText> {
    match name {
        TableName::Guard => &mut state.guard,
        TableName::Tunnel => &mut state.table,
        TableName::Bridge => unreachable!("no plan has this table"),
    }
}

fn add_link(state: &mut Snapshot, name: String, kind: LinkKind, mtu: u32) -> Result<(), &'static str> {
    if state.links.contains_key(&name) {
        return Err("file exists");
    }
    if kind == LinkKind::Wireguard {
        state.wireguard =
            Some(WireguardDevice { private_key: Key([0; 32]), ..WireguardDevice::new(&Key([0; 32]), Some(0)) });
    }
    state.sysctls.insert(format!("net.ipv4.conf.{name}.rp_filter"), "0".into());
    for (key, value) in [("disable_ipv6", "0"), ("addr_gen_mode", "0"), ("accept_ra", "1"), ("use_tempaddr", "0")] {
        state.sysctls.insert(format!("net.ipv6.conf.{name}.{key}"), value.into());
    }
    state.links.insert(name, InstalledLink { kind, mtu, up: false });
    Ok(())
}

fn delete_link(state: &mut Snapshot, name: &str) -> Result<(), &'static str> {
    let link = state.links.remove(name).ok_or("no such link")?;
    if link.kind == LinkKind::Wireguard {
        state.wireguard = None;
        state.peers.clear();
    }
    state.sysctls.retain(|key, _| !key.contains(&format!(".{name}.")));
    state.addresses.retain(|(dev, _)| dev != name);
    state.qdiscs.retain(|(dev, _)| dev != name);
    state.classes.retain(|(dev, _)| dev != name);
    state.routes.retain(|route| route.kind != RouteKind::Dev(name.into()));
    Ok(())
}

fn has_parent(state: &Snapshot, dev: &str, parent: Handle) -> bool {
    let major = |handle: Handle| handle.0 >> 16;
    state.qdiscs.iter().any(|(d, q)| d == dev && major(q.handle) == major(parent))
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) -> Result<(), &'static str> {
    if list.contains(&item) {
        return Err("file exists");
    }
    list.push(item);
    Ok(())
}

fn remove<T>(list: &mut Vec<T>, matches: impl Fn(&T) -> bool) -> Result<(), &'static str> {
    let position = list.iter().position(matches).ok_or("no such object")?;
    list.remove(position);
    Ok(())
}

/// The state as sorted lines: the order in which a kernel lists its objects is irrelevant.
fn lines(state: &Snapshot) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(state.guard.iter().chain(&state.table).map(|table| format!("nft {} {}", table.name, table.body)));
    lines.extend(state.links.iter().map(|(name, link)| format!("{name} {link:?}")));
    lines.extend(state.sysctls.iter().map(|(key, value)| format!("{key}={value}")));
    lines.extend(state.wireguard.iter().map(|device| format!("wg mpwg0 {device:?} {:?}", device.private_key.0)));
    lines.extend(state.peers.iter().map(|peer| format!("wg mpwg0 {peer}")));
    lines.extend(state.addresses.iter().map(|(dev, address)| format!("{address} dev {dev}")));
    lines.extend(state.qdiscs.iter().map(|(dev, qdisc)| format!("qdisc dev {dev} {qdisc}")));
    lines.extend(state.classes.iter().map(|(dev, class)| format!("class dev {dev} {class:?}")));
    lines.extend(state.routes.iter().map(|route| format!("route {route}")));
    lines.extend(state.rules.iter().map(|rule| format!("rule {} {rule}", rule.family)));
    lines.sort();
    lines
}

fn router() -> Desired {
    Desired::from_settings(&common::router([1; 32], [2; 32]), &common::facts(), &common::limits()).unwrap()
}

fn endpoint() -> Desired {
    Desired::from_settings(&common::endpoint([3; 32], [4; 32]), &common::facts(), &common::limits()).unwrap()
}

/// A router or an endpoint whose tunnel carries IPv6 as well.
fn with_ipv6(mut settings: Settings) -> Desired {
    settings.address6 = "fd77::2".parse().ok();
    Desired::from_settings(&settings, &common::facts(), &common::limits()).unwrap()
}

fn changed_router() -> Desired {
    let mut settings = common::router([1; 32], [5; 32]);
    settings.devices.pop();
    let (mut facts, mut limits) = (common::facts(), common::limits());
    facts.lan[0].prefixes.pop();
    limits.rate.0 *= 2;
    limits.data_limit += 1;
    Desired::from_settings(&settings, &facts, &limits).unwrap()
}

fn holding(desired: &Desired) -> Snapshot {
    let mut kernel = Model::new(bare(), vec![]);
    apply(&mut kernel, desired).unwrap();
    kernel.state
}

/// A dummy interface of another program has the name of millpond's.
fn name_taken() -> Snapshot {
    let mut state = bare();
    add_link(&mut state, "mpwg0".into(), LinkKind::Other("dummy".into()), 1500).unwrap();
    state
}

fn cases() -> Vec<(&'static str, Snapshot, Desired)> {
    vec![
        ("router up", bare(), router()),
        ("router down", holding(&router()), Desired::nothing()),
        ("endpoint up", bare(), endpoint()),
        ("endpoint down", holding(&endpoint()), Desired::nothing().restoring_forwarding(&Forwarding::of(&bare()))),
        ("router with IPv6 down", holding(&with_ipv6(common::router([1; 32], [2; 32]))), Desired::nothing()),
        ("reload", holding(&router()), changed_router()),
        ("router becomes endpoint", holding(&router()), endpoint()),
        ("name_taken", name_taken(), router()),
    ]
}

#[test]
fn applying_reaches_the_desired_state_and_is_idempotent() {
    for (name, before, desired) in cases() {
        let mut kernel = Model::new(before, vec![]);
        let applied = apply(&mut kernel, &desired).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!applied.ops.is_empty(), "{name}");
        assert_eq!(apply(&mut kernel, &desired).unwrap().ops, [], "{name}");
    }
}

/// A daemon that was killed finds a peer that has another address than its name has, and a server with two addresses
/// may answer from the other one at any time.
#[test]
fn a_peer_may_have_another_address_than_its_name() {
    for before in [bare(), holding(&router())] {
        let mut kernel = Model { roams: true, ..Model::new(before, vec![]) };
        apply(&mut kernel, &router()).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A router's daemon may start before NetworkManager switches forwarding on for an access point.
#[test]
fn only_forwarding_that_was_changed_is_restored() {
    let before = |desired: &Desired| {
        let applied = apply(&mut Model::new(bare(), vec![]), desired).unwrap();
        Forwarding::changed_by(&applied.ops, &applied.before)
    };
    assert_eq!(before(&router()), None);
    assert_eq!(before(&with_ipv6(common::router([1; 32], [2; 32]))), None);
    assert_eq!(before(&endpoint()), Some(Forwarding::of(&bare())));
}

#[test]
fn nothing_of_millpond_is_left_after_down() {
    let [router6, endpoint6] = [common::router([1; 32], [2; 32]), common::endpoint([3; 32], [4; 32])].map(with_ipv6);
    for desired in [router(), endpoint(), router6, endpoint6] {
        let mut kernel = Model::new(bare(), vec![]);
        apply(&mut kernel, &desired).unwrap();
        apply(&mut kernel, &Desired::nothing().restoring_forwarding(&Forwarding::of(&bare()))).unwrap();
        assert_eq!(lines(&kernel.state), lines(&bare()));
    }
}

#[test]
fn a_failed_operation_restores_the_state_before() {
    for (name, before, desired) in cases() {
        for step in 0..plan(&desired, &before).len() {
            let mut kernel = Model::new(before.clone(), vec![step]);
            let error = apply(&mut kernel, &desired).unwrap_err();
            assert!(matches!(error.failure, ApplyFailure::Op(_)), "{name}, operation {step}: {error}");
            assert_eq!(error.not_rolled_back, [], "{name}, operation {step}");
            assert_eq!(lines(&kernel.state), lines(&before), "{name}, operation {step}: {error}");
        }
    }
}

#[test]
fn a_failed_rollback_names_what_was_not_rolled_back() {
    let (mut clean, mut named) = (0, 0);
    for (name, before, desired) in cases() {
        let steps = plan(&desired, &before).len();
        for step in 0..steps {
            for undo in step + 1..=2 * steps {
                let mut kernel = Model::new(before.clone(), vec![step, undo]);
                let error = apply(&mut kernel, &desired).unwrap_err();
                if kernel.calls <= undo {
                    break;
                }
                assert!(!error.not_rolled_back.is_empty(), "{name}, {step}, {undo}: a failure went unreported");
                let changed = differences(&lines(&before), &lines(&kernel.state));
                for line in &changed {
                    assert!(is_named(line, &error), "{name}, {step}, {undo}: {line:?} is not named by {error}");
                }
                if changed.is_empty() { clean += 1 } else { named += 1 }
            }
        }
    }
    assert!(named > 500, "only {named} of {} rollbacks left anything", clean + named);
}

fn differences(a: &[String], b: &[String]) -> Vec<String> {
    let without = |a: &[String], b: &[String]| a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>();
    [without(a, b), without(b, a)].concat()
}

/// Whether the error names the object in `line`, directly or by its interface.
fn is_named(line: &str, error: &ApplyError) -> bool {
    error.not_rolled_back.iter().any(|failed| {
        let action = failed.action.as_str();
        let names_object = match line.split_once(' ') {
            Some(("nft", _)) => action.starts_with("nft "),
            Some(("route", route)) => action.contains("route") && action.ends_with(route),
            Some(("rule", rule)) => action.contains("rule") && action.ends_with(&rule[3..]),
            Some(("wg", _)) => action.starts_with("wg "),
            Some(("qdisc" | "class", _)) => action.starts_with("tc "),
            _ => false,
        };
        let interface = ["mpwg0", "mp0"]
            .into_iter()
            .find(|name| line.split(|c: char| !c.is_alphanumeric()).any(|word| word == *name));
        let names_interface = interface
            .is_some_and(|name| action.split(' ').any(|word| word == name || word.contains(&format!(".{name}."))));
        let names_sysctl = line.starts_with("net.") && action.contains(line.split('=').next().unwrap());
        names_object || names_interface || names_sysctl
    })
}

fn guard() -> TableText {
    guard_table(&common::router([1; 32], [2; 32]), &common::facts())
}

/// The guard before and after a change of the settings.
fn guards() -> [TableText; 2] {
    let mut settings = common::router([1; 32], [2; 32]);
    settings.devices.pop();
    [guard(), guard_table(&settings, &common::facts())]
}

#[test]
fn the_guard_stays_whatever_happens_to_the_tunnel() {
    for (name, mut before, desired) in cases() {
        let mut kernel = Model::new(before, vec![]);
        apply_guard(&mut kernel, Some(&guard())).unwrap();
        before = kernel.state;
        let steps = plan(&desired, &before).len();
        for (step, undo) in (0..steps).flat_map(|step| [(step, usize::MAX), (step, step + 1), (step, step + 2)]) {
            let mut kernel = Model::new(before.clone(), vec![step, undo]);
            apply(&mut kernel, &desired).unwrap_err();
            assert_eq!(kernel.state.guard, before.guard, "{name}, operation {step}");
        }
        let mut kernel = Model::new(before.clone(), vec![]);
        apply(&mut kernel, &desired).unwrap();
        assert_eq!(kernel.state.guard, before.guard, "{name}");
        assert_eq!(apply_guard(&mut kernel, Some(&guard())).unwrap().ops, [], "{name}");
    }
}

#[test]
fn a_guard_that_cannot_be_installed_leaves_the_previous_one() {
    let [old, new] = guards();
    for (before, wanted) in [(None, Some(&new)), (Some(&old), Some(&new)), (Some(&old), None)] {
        let mut kernel = Model::new(bare(), vec![]);
        apply_guard(&mut kernel, before).unwrap();
        let state = lines(&kernel.state);
        let mut kernel = Model::new(kernel.state, vec![0]);
        let error = apply_guard(&mut kernel, wanted).unwrap_err();
        assert!(matches!(error.failure, ApplyFailure::Op(_)) && error.not_rolled_back.is_empty(), "{error}");
        assert_eq!(lines(&kernel.state), state);
        assert_eq!(apply_guard(&mut kernel, wanted).unwrap().ops.len(), 1);
        assert_eq!(apply_guard(&mut kernel, wanted).unwrap().ops, []);
    }
}

#[test]
fn a_guard_that_reads_back_differently_is_reported_and_stays() {
    let mut kernel = Model::new(bare(), vec![]);
    kernel.tampers = true;
    let error = apply_guard(&mut kernel, Some(&guard())).unwrap_err();
    assert!(matches!(error.failure, ApplyFailure::Unverified(_)) && error.not_rolled_back.is_empty(), "{error}");
    assert!(kernel.state.guard.is_some());
    kernel.tampers = false;
    assert_eq!(apply_guard(&mut kernel, Some(&guard())).unwrap().ops.len(), 1, "the changed guard is replaced");
}

#[test]
fn a_kernel_that_reports_success_without_effect_is_detected() {
    let mut kernel = Model::new(bare(), vec![]);
    kernel.ignores_operations = true;
    let error = apply(&mut kernel, &router()).unwrap_err();
    let ApplyFailure::Unverified(missing) = &error.failure else { panic!("{error}") };
    assert!(missing.iter().any(|op| op.starts_with("ip link add mpwg0")), "{error}");
}
