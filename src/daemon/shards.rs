//! An endpoint's homes on several threads. A home belongs to one thread for good. Each thread has its own sockets, its
//! own queue of the TUN interface, its own timer and its own sessions, and shares nothing on the path of a cell. This
//! thread only sends them changes and asks for numbers, so reading settings with many homes delays no cell.

mod homes;
mod inspection;
mod message;
mod overload;
mod sweep;
mod thread;

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::Duration;

use self::homes::Homes;
pub use self::inspection::Inspection;
use self::message::{ShardCommand, ShardEvent, ShardLink};
use self::overload::OverloadWatch;
use self::sweep::SweepReport;
use self::thread::ShardThread;
use super::dataplane::driver::ArrivalEffect;
use super::dataplane::io::CellSockets;
use super::dataplane::share::Share;
use super::dataplane::totals::{DelayTotals, Totals};
use super::error::Error;
use super::state::State;
use super::token::Token;
use crate::config::model::{Key, Settings};
use crate::plan::ownership::TUN;
use crate::sys::Tun;
use crate::sys::epoll::Poll;
use crate::sys::wake::WakeEvent;
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;
use crate::wire::size::{CellSize, Encapsulation};

/// A thread that does not answer for this long is left out of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a thread's stack.
const STACK_BYTES: usize = 256 * 1024;

/// The threads that serve homes; none on a router.
#[derive(Default)]
pub struct Shards {
    threads: Vec<Shard>,
    /// What the threads report, and what wakes this thread for it.
    events: Option<(Receiver<ShardEvent>, Arc<WakeEvent>)>,
    /// The homes in force.
    homes: Option<Arc<Homes>>,
    /// Index of the interface that the sockets are bound to.
    interface: Option<u32>,
    has_tun: bool,
    silent: Vec<(Ipv4Addr, Nanos)>,
    key_updates: BTreeMap<Ipv4Addr, Key>,
    overload: OverloadWatch,
}

/// A running thread.
struct Shard {
    link: ShardLink,
    thread: Option<JoinHandle<()>>,
    /// Its last report.
    last: SweepReport,
}

impl Shards {
    /// Number of threads; 0 if none serves homes.
    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Starts `count` threads without homes, if there is another number of them. Returns whether it started any. The
    /// homes, the sockets and the TUN interface must then be given to them.
    pub fn start(&mut self, count: u32, poll: &Poll) -> Result<bool, Error> {
        if self.threads.len() == count as usize {
            return Ok(false);
        }
        self.stop(poll);
        let starting = || Error::system("starting a thread for homes");
        let main_wake = Arc::new(WakeEvent::new().map_err(starting())?);
        let (sender, events) = mpsc::channel();
        let mut inboxes = Vec::new();
        for _ in 0..count {
            inboxes.push(ShardLink::new().map_err(starting())?);
        }
        let links: Vec<ShardLink> = inboxes.iter().map(|(link, _)| link.clone()).collect();
        for (index, (link, inbox)) in (0..).zip(inboxes) {
            let share = Share { index, count };
            let main = (sender.clone(), main_wake.clone());
            let thread = ShardThread::new(share, inbox, links.clone(), main).map_err(starting())?;
            let builder = std::thread::Builder::new().name(format!("millpond-{index}")).stack_size(STACK_BYTES);
            let thread = Some(builder.spawn(move || thread.run()).map_err(starting())?);
            self.threads.push(Shard { link, thread, last: SweepReport::default() });
        }
        poll.add(&*main_wake, Token::Shards.into()).map_err(starting())?;
        self.events = Some((events, main_wake));
        Ok(true)
    }

    /// Ends all threads, and with them their sockets, their queues and their sessions.
    pub fn stop(&mut self, poll: &Poll) {
        self.end_threads();
        if let Some((_, wake)) = self.events.take() {
            _ = poll.remove(&*wake);
        }
        (self.homes, self.interface, self.has_tun) = (None, None, false);
    }

    fn end_threads(&mut self) {
        self.threads.iter().for_each(|shard| shard.link.send(ShardCommand::Stop));
        for thread in self.threads.drain(..).filter_map(|shard| shard.thread) {
            // A thread that has panicked has nothing left to end.
            _ = thread.join();
        }
    }

    /// Whether the threads have sockets and TUN interface.
    pub fn has_tunnel(&self) -> bool {
        self.has_tun && self.interface.is_some()
    }

    /// Whether the threads have the TUN interface.
    pub fn has_tun(&self) -> bool {
        self.has_tun
    }

    /// Gives each thread a queue of the TUN interface. `tun` is the first one.
    pub fn set_tun(&mut self, tun: Tun) -> Result<(), Error> {
        let queues = (1..self.threads.len()).map(|_| Tun::open_queue(TUN)).collect::<Result<Vec<_>, _>>();
        let queues = queues.map_err(Error::system(format!("opening another queue of {TUN}")))?;
        self.has_tun = true;
        for (shard, queue) in self.threads.iter().zip([tun].into_iter().chain(queues)) {
            shard.link.send(ShardCommand::SetTun(queue));
        }
        Ok(())
    }

    /// Binds the threads' sockets to the interface with that name and index, unless they are bound to it already.
    /// Returns whether they were reopened.
    pub fn bind(&mut self, name: &str, interface: u32) -> Result<bool, Error> {
        if self.interface == Some(interface) {
            return Ok(false);
        }
        self.unbind();
        let sockets = CellSockets::open_for_threads(name, interface, self.threads.len() as u32)?;
        for (shard, sockets) in self.threads.iter().zip(sockets) {
            shard.link.send(ShardCommand::SetSockets(sockets));
        }
        self.interface = Some(interface);
        Ok(true)
    }

    /// Closes the sockets.
    pub fn unbind(&mut self) {
        self.interface = None;
        self.threads.iter().for_each(|shard| shard.link.send(ShardCommand::Unbind));
    }

    /// Whether no homes are in force.
    pub fn is_empty(&self) -> bool {
        self.homes.is_none()
    }

    /// Serves the homes in `settings` from now on. A home that stays keeps its session and its schedule.
    pub fn update(&mut self, settings: &Settings, size: CellSize, encapsulation: Encapsulation) {
        let homes = Arc::new(Homes::new(settings, size, encapsulation, self.threads.len() as u32));
        self.threads.iter().for_each(|shard| shard.link.send(ShardCommand::Update(homes.clone())));
        self.homes = Some(homes);
    }

    /// Handles what the threads have reported.
    ///
    /// # Errors
    /// The error that ended a thread.
    pub fn handle_events(&mut self, now: Nanos) -> Result<ArrivalEffect, Error> {
        let mut effect = ArrivalEffect::Unchanged;
        let Some((events, wake)) = &self.events else { return Ok(effect) };
        wake.acknowledge().map_err(Error::system("reading an eventfd"))?;
        while let Ok(event) = events.try_recv() {
            match event {
                ShardEvent::Sweep(index, mut report) => {
                    self.silent.append(&mut report.silent);
                    self.key_updates.extend(std::mem::take(&mut report.key_updates));
                    if let Some(shard) = self.threads.get_mut(index as usize) {
                        self.overload.note(report.slots_since(&shard.last), now);
                        shard.last = report;
                    }
                }
                ShardEvent::LostTun => {
                    // One queue alone would serve a part of the homes: the whole interface is made again.
                    if std::mem::take(&mut self.has_tun) {
                        self.threads.iter().for_each(|shard| shard.link.send(ShardCommand::DropTun));
                    }
                    effect = ArrivalEffect::LostTun;
                }
                ShardEvent::Regranted(index, granted) => {
                    if let Some(shard) = self.threads.get_mut(index as usize) {
                        shard.last.granted = Some(granted);
                    }
                    if effect == ArrivalEffect::Unchanged {
                        effect = ArrivalEffect::Regranted;
                    }
                }
                ShardEvent::Failed(error) => return Err(error),
            }
        }
        Ok(effect)
    }

    /// The silent homes whose WireGuard handshakes need a look, and how long each is silent, since the last call.
    pub fn poll_silent(&mut self) -> Vec<(Ipv4Addr, Nanos)> {
        std::mem::take(&mut self.silent)
    }

    /// The public keys that homes have announced as their own since the last call.
    pub fn poll_key_updates(&mut self) -> BTreeMap<Ipv4Addr, Key> {
        std::mem::take(&mut self.key_updates)
    }

    /// Why this machine is too small for its homes, if it is.
    pub fn overload(&mut self, now: Nanos) -> Option<String> {
        self.overload.problem(now)
    }

    /// The best state of any home at its thread's last report.
    pub fn state(&self) -> State {
        State::best(self.threads.iter().map(|shard| shard.last.state))
    }

    /// The grant of the first thread that has one.
    pub fn granted(&self) -> Option<&ShapingRequest> {
        let granted = self.threads.iter().rev().filter_map(|shard| shard.last.granted.as_ref());
        granted.max_by_key(|granted| granted.trains[1])
    }

    /// The bytes that passed through all homes, and the delays of their packets.
    pub fn totals(&self) -> (Totals, DelayTotals) {
        let (mut totals, mut delays) = (Totals::default(), DelayTotals::default());
        for SweepReport { totals: more, delays: more_delays, .. } in self.threads.iter().map(|shard| &shard.last) {
            more.values().into_iter().enumerate().for_each(|(at, value)| totals.add(at, value));
            delays.count += more_delays.count;
            delays.sum = delays.sum.saturating_add(more_delays.sum);
        }
        (totals, delays)
    }

    /// Every home, in the order of the settings. Waits until all threads have answered; each does so piece by piece,
    /// between its cells.
    pub fn inspect(&self) -> Inspection {
        let (sender, answers) = mpsc::channel();
        self.threads.iter().for_each(|shard| shard.link.send(ShardCommand::Inspect(sender.clone())));
        drop(sender);
        let mut all = Inspection::default();
        // It ends when every thread has dropped its sender.
        while let Some(part) = receive(&answers) {
            all.add(part);
        }
        let order = self.homes.iter().flat_map(|homes| &homes.settings.homes).map(|home| home.address).zip(0usize..);
        let order: HashMap<_, _> = order.collect();
        all.sessions.sort_by_cached_key(|session| order.get(&session.peer).copied());
        all
    }

    /// See [`crate::daemon::dataplane::DataPlane::read_lateness`].
    pub fn read_lateness(&self, from: u32, home: Option<Ipv4Addr>) -> Result<String, String> {
        let homes = self.homes.as_ref().ok_or("there is no tunnel yet: see millpond status")?;
        let home = match (home, &homes.settings.homes[..]) {
            (Some(home), _) => home,
            (None, [only]) => only.address,
            (None, []) => return Err("there is no home".to_owned()),
            (None, _) => return Err("there are several homes: name one".to_owned()),
        };
        let count = self.threads.len() as u32;
        let (sender, answer) = mpsc::channel();
        let owner = (0..).zip(&self.threads).find(|(index, _)| Share { index: *index, count }.owns(home));
        owner.iter().for_each(|(_, shard)| shard.link.send(ShardCommand::ReadLateness(from, home, sender.clone())));
        drop(sender);
        receive(&answer).unwrap_or_else(|| Err("the home's thread does not answer".to_owned()))
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.end_threads();
    }
}

fn receive<T>(answers: &Receiver<T>) -> Option<T> {
    answers.recv_timeout(ANSWER_TIMEOUT).ok()
}
