//! The loop: packets in, cells out at their moments, cells in, packets out.
//!
//! Between the building of a cell and its departure nothing else is done, so that how late it leaves does not depend
//! on what the devices or the peer just sent (design: "Timing").

use std::net::SocketAddrV4;

use log::{error, info, warn};

use super::agenda::Agenda;
use super::control::{Control, REFUSED, Request};
use super::error::Error;
use super::line::{Act, Change};
use super::lines::Lines;
use super::machine::Machine;
use super::status::{Problem, View};
use super::{Options, read_settings, shape};
use crate::config::model::Settings;
use crate::core::CellKind;
use crate::plan::Op;
use crate::plan::ownership::{CELL_PORT, TUN, TUN_MTU, WIREGUARD};
use crate::plan::tree::{COVER_PRIORITY, DATA_PRIORITY, Guard};
use crate::sys::Tun;
use crate::sys::epoll::Poll;
use crate::sys::realtime::Refused;
use crate::sys::signal::{self, Signals};
use crate::sys::timer::{self, Timer};
use crate::sys::udp::CellSocket;
use crate::units::Nanos;
use crate::wire::MAX_PACKET_BYTES;
use crate::wire::size::CellSize;

const TIMER: u64 = 0;
const PACKETS: u64 = 1;
const CELLS: u64 = 2;
const SIGNALS: u64 = 3;
const CONTROL: u64 = 4;

/// Packets and cells that are taken in a row before the time is looked at again.
const BATCH: usize = 8;

/// Housekeeping period.
const TICK: Nanos = Nanos::from_secs(1);

/// Requests wait until the next cell is at least so far away; writing a status takes less.
const REQUEST_TIME: Nanos = Nanos::from_millis(2);

const _: () = assert!(TUN_MTU as usize == MAX_PACKET_BYTES, "the engine takes whatever the TUN interface gives");

/// A running daemon.
pub struct EventLoop {
    options: Options,
    settings: Settings,
    size: CellSize,
    machine: Machine,
    poll: Poll,
    timer: Timer,
    signals: Signals,
    control: Control,
    tun: Tun,
    sockets: Sockets,
    lines: Lines,
    agenda: Agenda,
    /// What the queueing tree was last told.
    guard: Guard,
    problems: Vec<Problem>,
    started: Nanos,
    next_tick: Nanos,
    buffer: Box<[u8; MAX_PACKET_BYTES]>,
}

/// One socket for each PRIO band, so that no system call between two cells depends on what is in them. Both ends
/// receive on the first only.
struct Sockets {
    data: CellSocket,
    cover: CellSocket,
}

impl EventLoop {
    /// Brings everything up. On failure nothing but the guard is left behind.
    pub fn start(options: &Options, settings: Settings) -> Result<EventLoop, Error> {
        let poll = Poll::new().map_err(Error::system("making an epoll set"))?;
        let timer = Timer::new().map_err(Error::system("making a timer"))?;
        let signals = Signals::open().map_err(Error::system("taking signals"))?;
        poll.add(&timer, TIMER)
            .and_then(|()| poll.add(&signals, SIGNALS))
            .map_err(Error::system("filling the epoll set"))?;
        let mut machine = Machine::open()?;
        // First of all, and whatever becomes of the tunnel.
        machine.set_guard(&settings, &options.guard_file)?;
        machine.learn(&settings)?;
        let size = shape::cell_size(&settings, machine.outer())?;
        let control = Control::listen(&options.socket, &poll, CONTROL)?;
        let guard = shape::guard(&settings, size, &[]);
        machine.bring_up(&settings, &guard)?;
        let now = timer::now();
        let opened = open_tunnel(&mut machine, &poll).and_then(|(tun, sockets)| {
            let lines = Lines::new(&settings, size, now)?;
            Ok((tun, sockets, lines))
        });
        let (tun, sockets, lines) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                machine.take_down()?;
                return Err(error);
            }
        };
        let agenda = lines.agenda();
        let mut event_loop = EventLoop {
            options: options.clone(),
            settings,
            size,
            machine,
            poll,
            timer,
            signals,
            control,
            tun,
            sockets,
            lines,
            agenda,
            guard,
            problems: Vec::new(),
            started: now,
            next_tick: now,
            buffer: Box::new([0; MAX_PACKET_BYTES]),
        };
        event_loop.announce();
        Ok(event_loop)
    }

    /// Runs until SIGTERM or SIGINT, or until something fails that cannot be mended here.
    pub fn run(&mut self) -> Result<(), Error> {
        loop {
            self.keep_moments()?;
            self.tick(timer::now());
            let wake = self.agenda.next().map_or(self.next_tick, |next| next.min(self.next_tick));
            self.timer.set(wake).map_err(Error::system("setting the timer"))?;
            let mut tokens = [None; 16];
            let ready = self.poll.wait().map_err(Error::system("waiting for events"))?;
            tokens.iter_mut().zip(ready).for_each(|(place, token)| *place = Some(token));
            for token in tokens.into_iter().flatten() {
                if self.handle(token)? == Flow::Stop {
                    return Ok(());
                }
            }
        }
    }

    /// Removes all that is ours from the kernel but the guard.
    pub fn stop(mut self) -> Result<(), Error> {
        // mp0 lives as long as its descriptor: routes and rules go first.
        let applied = self.machine.take_down()?;
        applied.ops.iter().for_each(|op| info!("{op}"));
        info!("stopped");
        Ok(())
    }

    /// Remembers what the system did not permit.
    pub fn note_refused(&mut self, refused: &Refused) {
        self.note(Problem {
            code: "realtime",
            severity: "warning",
            text: refused.to_string(),
            fix: "run as root, outside a container that takes CAP_SYS_NICE or CAP_IPC_LOCK away",
        });
    }

    /// Builds and sends what is due. While a cell stands ready this does not return.
    fn keep_moments(&mut self) -> Result<(), Error> {
        let mut ready = 0;
        while let Some(next) = self.agenda.next() {
            if ready == 0 && next > timer::now() {
                break;
            }
            let Some((when, index)) = self.agenda.pop() else { break };
            timer::sleep_until(when).map_err(Error::system("sleeping until a departure"))?;
            let line = self.lines.line_mut(index);
            let peer = SocketAddrV4::new(line.peer(), CELL_PORT);
            match line.act(timer::now()) {
                Act::Built => ready += 1,
                Act::Send { scheduled, kind, cell } => {
                    let socket = match kind {
                        CellKind::Data => &self.sockets.data,
                        CellKind::Cover => &self.sockets.cover,
                    };
                    // A cell that the kernel does not take is lost, as any cell may be: the schedule goes on.
                    _ = socket.send(cell, peer);
                    line.handle_departure(scheduled, timer::now());
                    ready -= 1;
                }
            }
            if let Some(next) = line.next() {
                self.agenda.add(next, index);
            }
        }
        Ok(())
    }

    fn handle(&mut self, token: u64) -> Result<Flow, Error> {
        match token {
            TIMER => self.timer.acknowledge().map_err(Error::system("reading the timer"))?,
            PACKETS => self.take_packets()?,
            CELLS => self.take_cells()?,
            SIGNALS => return self.take_signal(),
            _ => self.take_request(token),
        }
        Ok(Flow::Continue)
    }

    /// From the devices to the engines.
    fn take_packets(&mut self) -> Result<(), Error> {
        for _ in 0..BATCH {
            let now = timer::now();
            if self.is_due(now) {
                break;
            }
            let received = self.tun.receive(&mut self.buffer[..]);
            let Some(length) = received.map_err(Error::system(format!("reading packets from {TUN}")))? else { break };
            let packet = &self.buffer[..length];
            if let Some(index) = self.lines.of_packet(packet) {
                self.lines.line_mut(index).handle_packet(now, packet);
            }
        }
        Ok(())
    }

    /// From the peers to the engines, and what that completes to the devices.
    fn take_cells(&mut self) -> Result<(), Error> {
        for _ in 0..BATCH {
            let now = timer::now();
            if self.is_due(now) {
                break;
            }
            let received = self.sockets.data.receive(&mut self.buffer[..]);
            let Some((length, from)) = received.map_err(Error::system("receiving cells"))? else { break };
            let Some(index) = self.lines.of_peer(*from.ip()) else { continue };
            let line = self.lines.line_mut(index);
            let change = line.handle_cell(now, &self.buffer[..length]);
            while let Some(length) = line.poll_packet(&mut self.buffer[..]) {
                // The kernel refuses what no device could use, a martian for one: nothing to mend here.
                _ = self.tun.send(&self.buffer[..length]);
            }
            match change {
                Change::None => {}
                Change::Begun => {
                    self.agenda = self.lines.agenda();
                    self.adjust_tree();
                }
                Change::Regranted => self.adjust_tree(),
            }
        }
        Ok(())
    }

    fn take_signal(&mut self) -> Result<Flow, Error> {
        match self.signals.next().map_err(Error::system("reading signals"))? {
            Some(signal::Request::Stop) => return Ok(Flow::Stop),
            Some(signal::Request::Reload) => _ = self.reload(),
            None => {}
        }
        Ok(Flow::Continue)
    }

    fn take_request(&mut self, token: u64) {
        let now = timer::now();
        if self.agenda.next().is_some_and(|next| next < now + REQUEST_TIME) {
            // Level-triggered: the event comes again.
            return;
        }
        let Some((request, client)) = self.control.handle(token, &self.poll) else { return };
        let answer = match request {
            Request::Status => self.view(now).text(),
            Request::StatusJson => self.view(now).json(),
            Request::Reload => match self.reload() {
                Ok(()) => "the settings are in force\n".into(),
                Err(error) => format!("{REFUSED}{error}\n"),
            },
            Request::Unknown => format!("{REFUSED}unknown request: want status, status json or reload\n"),
        };
        // A client that has gone needs no answer.
        _ = client.answer(&answer);
    }

    fn view(&self, now: Nanos) -> View<'_> {
        View {
            settings: &self.settings,
            lines: self.lines.all(),
            problems: &self.problems,
            cell_bytes: (self.size.inner_bytes, self.size.wire_bytes),
            uptime: now.saturating_since(self.started),
            now,
        }
    }

    fn is_due(&self, now: Nanos) -> bool {
        self.agenda.next().is_some_and(|next| next <= now)
    }

    fn tick(&mut self, now: Nanos) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + TICK;
        self.lines.all_mut().iter_mut().for_each(|line| line.tick(now));
    }

    /// Brings changed settings into force in place. Where that fails, those before stay in force.
    fn reload(&mut self) -> Result<(), Error> {
        self.problems.retain(|problem| problem.code != "settings");
        let done = self.try_reload();
        if let Err(error) = &done {
            error!("reload failed, the settings before stay in force: {error}");
            self.note(Problem {
                code: "settings",
                severity: "error",
                text: format!("the changed settings are not in force: {error}"),
                fix: "run millpond check, mend what it names, and reload",
            });
        }
        done
    }

    fn try_reload(&mut self) -> Result<(), Error> {
        let settings = read_settings(&self.options.config)?;
        // Where the tunnel does not follow, it goes on leading devices as before: the guard may be stricter meanwhile.
        self.machine.set_guard(&settings, &self.options.guard_file)?;
        self.machine.learn(&settings)?;
        let size = shape::cell_size(&settings, self.machine.outer())?;
        let guard = shape::guard(&settings, size, self.lines.all());
        let applied = self.machine.bring_up(&settings, &guard)?;
        let remade =
            |name: &str| applied.ops.iter().any(|op| matches!(op, Op::AddLink { name: made, .. } if made == name));
        if let Some(tun) = self.machine.take_tun() {
            self.poll.add(&tun, PACKETS).map_err(Error::system(format!("watching {TUN}")))?;
            self.tun = tun;
        }
        if remade(WIREGUARD) {
            self.sockets = Sockets::open(&self.poll)?;
        }
        self.settings = settings;
        self.size = size;
        self.guard = guard;
        self.lines.update(&self.settings, size, timer::now())?;
        self.agenda = self.lines.agenda();
        self.announce();
        Ok(())
    }

    /// Fits the queueing tree to what a home has been granted.
    fn adjust_tree(&mut self) {
        let guard = shape::guard(&self.settings, self.size, self.lines.all());
        if guard == self.guard {
            return;
        }
        match self.machine.bring_up(&self.settings, &guard) {
            Ok(_) => self.guard = guard,
            Err(error) => self.note(Problem {
                code: "queue",
                severity: "error",
                text: format!("the queue on {WIREGUARD} does not fit the home's wish: {error}"),
                fix: "stop and start the service",
            }),
        }
    }

    fn note(&mut self, problem: Problem) {
        warn!("{}", problem.text);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn announce(&mut self) {
        let shape = &self.settings.shape;
        let wire_bytes = self.size.wire_bytes;
        match self.machine.endpoint() {
            Some(endpoint) => info!(
                "shaping towards {endpoint}: {} {} up, {} down, cells of {wire_bytes} bytes",
                shape.law, shape.upload, shape.download
            ),
            None => info!("serving {} homes", self.lines.all().len()),
        }
    }
}

#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    Stop,
}

impl Sockets {
    fn open(poll: &Poll) -> Result<Sockets, Error> {
        let opening = || Error::system(format!("opening the cells' sockets on {WIREGUARD}"));
        let data = CellSocket::open(WIREGUARD, CELL_PORT, DATA_PRIORITY).map_err(opening())?;
        let cover = CellSocket::open(WIREGUARD, 0, COVER_PRIORITY).map_err(opening())?;
        poll.add(&data, CELLS).map_err(opening())?;
        Ok(Sockets { data, cover })
    }
}

fn open_tunnel(machine: &mut Machine, poll: &Poll) -> Result<(Tun, Sockets), Error> {
    let Some(tun) = machine.take_tun() else {
        return Err(Error::Unfit(format!("taking over {TUN}: another process holds it: is millpond running already?")));
    };
    poll.add(&tun, PACKETS).map_err(Error::system(format!("watching {TUN}")))?;
    Ok((tun, Sockets::open(poll)?))
}
