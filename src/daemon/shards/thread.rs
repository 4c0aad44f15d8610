//! One thread that serves homes: its loop.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, TryRecvError};

use super::homes::Homes;
use super::inspection::RunningInspection;
use super::message::{Inbox, ShardCommand, ShardEvent, ShardLink};
use super::sweep::Sweep;
use crate::daemon::dataplane::DataPlane;
use crate::daemon::dataplane::driver::{ArrivalEffect, Driver};
use crate::daemon::dataplane::share::Share;
use crate::daemon::error::Error;
use crate::daemon::token::Token;
use crate::sys::epoll::{MAX_EVENTS, Poll};
use crate::sys::wake::WakeEvent;
use crate::sys::{realtime, timer};
use crate::units::Nanos;
use crate::wire::control::ShapingRequest;

/// What arrives waits no longer than this for a departure.
const MAX_SLEEP: Nanos = Nanos::from_micros(500);

/// A thread before and while it runs. It writes no log: the process forks, and a fork must find the log unlocked.
pub struct ShardThread {
    share: Share,
    plane: DataPlane,
    driver: Driver,
    poll: Poll,
    inbox: Inbox,
    /// The ways to all threads, by their number.
    threads: Vec<ShardLink>,
    main: (Sender<ShardEvent>, Arc<WakeEvent>),
    homes: Option<Arc<Homes>>,
    sweep: Sweep,
    inspection: Option<RunningInspection>,
    granted: Option<ShapingRequest>,
}

/// Whether the loop goes on.
#[derive(PartialEq)]
enum ThreadFlow {
    Continue,
    Stop,
}

impl ShardThread {
    /// A thread for this share of the homes, without homes and descriptors yet.
    pub fn new(
        share: Share,
        inbox: Inbox,
        threads: Vec<ShardLink>,
        main: (Sender<ShardEvent>, Arc<WakeEvent>),
    ) -> io::Result<ShardThread> {
        let poll = Poll::new()?;
        poll.add(&*inbox.wake, Token::Shards.into())?;
        let mut plane = DataPlane::new();
        plane.set_share(share);
        Ok(ShardThread {
            share,
            plane,
            driver: Driver::new(),
            poll,
            inbox,
            threads,
            main,
            homes: None,
            sweep: Sweep::new(timer::now()),
            inspection: None,
            granted: None,
        })
    }

    /// Serves the homes until the thread is told to stop, or a system call of the loop fails.
    pub fn run(mut self) {
        // The event loop has reported what the system refuses, and refuses here too.
        realtime::enter_thread();
        if let Err(error) = self.serve() {
            self.report(ShardEvent::Failed(error));
        }
    }

    fn serve(&mut self) -> Result<(), Error> {
        loop {
            self.driver.run_departures(&mut self.plane)?;
            if let Some(kind) = self.driver.unhandled_cells() {
                self.handle(Token::Cells(kind))?;
            }
            self.run_housekeeping();
            let departure = self.plane.next_timeout().map(|next| next + self.plane.slack());
            let wake_at = match self.inspection {
                Some(_) => Nanos::ZERO,
                None => departure.map_or(self.sweep.due(), |departure| departure.min(self.sweep.due())),
            };
            let wake_at = self.sleep_until(wake_at)?;
            let mut numbers = [None; MAX_EVENTS];
            let ready = self.poll.wait_until(wake_at).map_err(Error::system("waiting for events"))?;
            numbers.iter_mut().zip(ready).for_each(|(slot, number)| *slot = Some(number));
            for token in numbers.into_iter().flatten().filter_map(Token::from_number) {
                if self.handle(token)? == ThreadFlow::Stop {
                    return Ok(());
                }
            }
        }
    }

    /// With many homes, sleeps through what arrives until the next departure, so that one wake-up serves several cells:
    /// waking costs more than a cell does. Returns until when to wait for arrivals.
    fn sleep_until(&self, moment: Nanos) -> Result<Nanos, Error> {
        let left = moment.saturating_since(timer::now());
        if !self.plane.has_many_sessions() || left > MAX_SLEEP {
            return Ok(moment);
        }
        if left == Nanos::ZERO {
            // An overloaded thread never sleeps. The kernel's workers that encrypt have the same priority.
            std::thread::yield_now();
            return Ok(Nanos::ZERO);
        }
        timer::wait_until(moment, Nanos::ZERO).map_err(Error::system("waiting for a departure"))?;
        Ok(Nanos::ZERO)
    }

    /// Does the next piece of the other work. A piece takes microseconds, far less than the time between the build of a
    /// cell and its departure, so it waits for no gap.
    fn run_housekeeping(&mut self) {
        let now = timer::now();
        if now >= self.sweep.due() {
            if let Some(report) = self.sweep.step(&mut self.plane, now) {
                self.driver.set_batched(report.has_trains);
                self.report(ShardEvent::Sweep(self.share.index, report));
            }
        }
        self.inspection.take_if(|inspection| inspection.step(&self.plane));
    }

    fn handle(&mut self, token: Token) -> Result<ThreadFlow, Error> {
        match token {
            Token::Packets => {
                let ShardThread { plane, driver, poll, homes, threads, share, .. } = self;
                let pass_on = |packet: &[u8]| {
                    let owner = homes.as_ref().and_then(|homes| homes.thread_of(packet));
                    let owner = owner.filter(|owner| *owner != share.index as usize);
                    owner.and_then(|owner| threads.get(owner)).into_iter().for_each(|thread| thread.pass(packet));
                };
                if driver.receive_packets(plane, poll, |_| {}, pass_on) == ArrivalEffect::LostTun {
                    self.report(ShardEvent::LostTun);
                }
            }
            Token::Cells(kind) => {
                let effect = self.driver.receive_cells(kind, &mut self.plane, |_| {});
                if effect == ArrivalEffect::Regranted {
                    self.note_grant();
                }
            }
            Token::Shards => return self.handle_inbox(),
            _ => {}
        }
        Ok(ThreadFlow::Continue)
    }

    /// Reports the grant with the longest train if it is another one: it decides the limits of the queueing tree.
    fn note_grant(&mut self) {
        let granted = self.plane.granted().copied();
        if granted != self.granted {
            self.granted = granted;
            granted.into_iter().for_each(|granted| self.report(ShardEvent::Regranted(self.share.index, granted)));
        }
    }

    fn handle_inbox(&mut self) -> Result<ThreadFlow, Error> {
        self.inbox.wake.acknowledge().map_err(Error::system("reading an eventfd"))?;
        while let Ok(packet) = self.inbox.packets.try_recv() {
            self.plane.handle_packet(timer::now(), &packet);
        }
        loop {
            match self.inbox.commands.try_recv() {
                Ok(ShardCommand::Stop) | Err(TryRecvError::Disconnected) => return Ok(ThreadFlow::Stop),
                Ok(command) => self.perform(command)?,
                Err(TryRecvError::Empty) => return Ok(ThreadFlow::Continue),
            }
        }
    }

    fn perform(&mut self, command: ShardCommand) -> Result<(), Error> {
        match command {
            ShardCommand::SetTun(tun) => self.driver.io.set_tun(tun, &self.poll)?,
            ShardCommand::DropTun => self.driver.io.drop_tun(&self.poll),
            ShardCommand::SetSockets(sockets) => self.driver.io.set_sockets(sockets, &self.poll)?,
            ShardCommand::Unbind => self.driver.io.unbind(&self.poll),
            ShardCommand::Update(homes) => {
                let Homes { settings, size, encapsulation, .. } = &*homes;
                self.plane.update_sessions(settings, *size, *encapsulation, timer::now())?;
                self.homes = Some(homes);
            }
            ShardCommand::Inspect(answer) => self.inspection = Some(RunningInspection::new(answer)),
            ShardCommand::ReadLateness(from, home, answer) => {
                // Without a receiver nobody waits any more.
                _ = answer.send(self.plane.read_lateness(from, Some(home), timer::now()));
            }
            ShardCommand::Stop => {}
        }
        Ok(())
    }

    fn report(&self, event: ShardEvent) {
        // Without a receiver the daemon ends.
        _ = self.main.0.send(event);
        self.main.1.wake();
    }
}
