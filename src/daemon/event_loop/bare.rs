//! An event loop without a tunnel around its cells, for the laboratory's measurements
//! (`tests/lab/world/endpoint_load.rs`, `tests/lab/world/gateway.rs`).

use crate::config::model::{Settings, Shape};
use crate::core::Stats;
use crate::daemon::error::Error;
use crate::daemon::event_loop::EventLoop;
use crate::daemon::options::Options;
#[cfg(feature = "endpoint")]
use crate::plan::ownership::TUN;
#[cfg(feature = "endpoint")]
use crate::sys::Tun;
use crate::sys::timer;
use crate::wire::size::{CellSize, Encapsulation, IpVersion};

/// A daemon whose cells leave by any interface without encryption. Event loop, engines and sockets are the daemon's;
/// WireGuard and the queueing tree are left out. It changes nothing in the kernel.
pub struct BareDaemon(EventLoop);

impl BareDaemon {
    /// Listens at `options.socket` and opens the cell sockets on `interface`, for as many threads as a daemon with
    /// these settings has.
    pub fn start(options: &Options, settings: &Settings, interface: &str) -> Result<BareDaemon, Error> {
        let no_settings = Error::Unfit("this daemon has no tunnel".to_owned());
        let mut event_loop = EventLoop::start(options, Err(no_settings))?;
        event_loop.parts.plane.bind_to(settings, interface, 1, &event_loop.poll)?;
        Ok(BareDaemon(event_loop))
    }

    /// The same with the TUN interface, which the caller sets up.
    #[cfg(feature = "endpoint")]
    pub fn start_with_tun(options: &Options, settings: &Settings, interface: &str) -> Result<BareDaemon, Error> {
        let mut daemon = BareDaemon::start(options, settings, interface)?;
        let EventLoop { parts, poll, .. } = &mut daemon.0;
        parts.plane.set_tun(Tun::open_queue(TUN).map_err(Error::system(format!("opening {TUN}")))?, poll)?;
        parts.plane.bind_to(settings, interface, 1, poll)?;
        Ok(daemon)
    }

    /// Serves the homes in an endpoint's `settings` from now on, or shapes as a router's say, with cells of `size`, as
    /// WireGuard over IPv4 makes them.
    pub fn serve(&mut self, settings: &Settings, size: CellSize) -> Result<(), Error> {
        let encapsulation = Encapsulation::wireguard(IpVersion::V4);
        let settings =
            Settings { shape: Shape { cell_bytes: size.wire_bytes as u16, ..settings.shape }, ..settings.clone() };
        self.0.parts.plane.update(&settings, encapsulation, true, timer::now())
    }

    /// Runs until SIGTERM or SIGINT, or until a reload finds settings that are not enabled.
    pub fn run(&mut self) -> Result<(), Error> {
        self.0.run()
    }

    /// The summed statistics of all sessions, without those of single devices.
    pub fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        self.0.parts.plane.reports().iter().for_each(|session| sum.add(&session.stats));
        sum
    }
}
