//! `millpond-world`: the people of the laboratory's world. Devices that replay captured traffic, the servers that they
//! talk to, and the bookkeeper who joins what both wrote down. All processes share one kernel and so one `CLOCK_REALTIME`.

mod bulk;
mod clock;
mod device;
mod dns;
mod echo;
mod flood;
mod journal;
mod merge;
mod message;
mod server;
mod trace;

use argh::FromArgs;

/// Devices, servers and bookkeeping for the network laboratory.
#[derive(FromArgs)]
struct World {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Device(device::Device),
    Server(server::Server),
    Echo(echo::Echo),
    Flood(flood::Flood),
    Dns(dns::Dns),
    Ask(dns::Ask),
    Bulk(bulk::Bulk),
    BulkServer(bulk::BulkServer),
    Merge(merge::Merge),
}

fn main() {
    let world: World = argh::from_env();
    let outcome = match world.command {
        Command::Device(device) => device.run(),
        Command::Server(server) => server.run(),
        Command::Echo(echo) => echo.run(),
        Command::Flood(flood) => flood.run(),
        Command::Dns(dns) => dns.run(),
        Command::Ask(ask) => ask.run(),
        Command::Bulk(bulk) => bulk.run(),
        Command::BulkServer(server) => server.run(),
        Command::Merge(merge) => merge.run(),
    };
    if let Err(problem) = outcome {
        eprintln!("millpond-world: {problem}");
        std::process::exit(1);
    }
}
