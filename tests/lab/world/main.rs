//! `millpond-world`: the programs of the laboratory's world. They are devices that replay captured traffic or talk
//! without pause, their servers, intruders, homes that load an endpoint, and the program that merges the journals of
//! devices and servers. All processes run on one kernel, so they share one `CLOCK_REALTIME`.

mod attempt;
mod bulk;
mod bus;
mod cast;
mod clock;
mod device;
mod diary;
mod dns;
mod echo;
mod endpoint_load;
mod flood;
#[cfg(feature = "endpoint")]
mod gateway;
mod journal;
mod knock;
mod meet;
mod merge;
mod message;
mod open;
mod places;
mod proxy;
mod server;
mod talk;
mod trace;

use argh::FromArgs;

/// Devices, servers and tools for the network laboratory.
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
    Broker(bus::Broker),
    Call(bus::Call),
    CallFlood(bus::CallFlood),
    Reflect(cast::Reflect),
    Speaker(cast::Speaker),
    Cast(cast::Cast),
    Merge(merge::Merge),
    Talk(talk::Talk),
    Meet(meet::Meet),
    Knock(knock::Knock),
    Attempt(attempt::Attempt),
    Proxy(proxy::Proxy),
    EndpointLoad(endpoint_load::EndpointLoad),
    Homes(endpoint_load::Homes),
    #[cfg(feature = "endpoint")]
    Gateway(gateway::Gateway),
    #[cfg(feature = "endpoint")]
    GatewayEnd(gateway::GatewayEnd),
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
        Command::Broker(broker) => broker.run(),
        Command::Call(call) => call.run(),
        Command::CallFlood(flood) => flood.run(),
        Command::Reflect(reflect) => reflect.run(),
        Command::Speaker(speaker) => speaker.run(),
        Command::Cast(cast) => cast.run(),
        Command::Merge(merge) => merge.run(),
        Command::Talk(talk) => talk.run(),
        Command::Meet(meet) => meet.run(),
        Command::Knock(knock) => knock.run(),
        Command::Attempt(attempt) => attempt.run(),
        Command::Proxy(proxy) => proxy.run(),
        Command::EndpointLoad(load) => load.run(),
        Command::Homes(homes) => homes.run(),
        #[cfg(feature = "endpoint")]
        Command::Gateway(gateway) => gateway.run(),
        #[cfg(feature = "endpoint")]
        Command::GatewayEnd(end) => end.run(),
    };
    if let Err(problem) = outcome {
        eprintln!("millpond-world: {problem}");
        std::process::exit(1);
    }
}
