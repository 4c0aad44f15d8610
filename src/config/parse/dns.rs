//! `config dns 'dns'`: which resolver answers DNS queries of shaped devices.

use std::net::{IpAddr, Ipv4Addr};

use super::reader::SectionReader;
use super::value::{choice, resolver};
use crate::config::model::{Dns, DnsMode};
use crate::config::problem::SettingsProblem;
use crate::config::uci::Section;

const OPTIONS: [&str; 2] = ["mode", "server"];
const MODES: &[(&str, DnsMode)] = &[("tunnel", DnsMode::Tunnel), ("router", DnsMode::Router)];
/// Quad9, the resolver in the shipped settings file.
const DEFAULT_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9));

/// Reads the section; returns the defaults without one.
pub(super) fn read(section: Option<&Section>, problems: &mut Vec<SettingsProblem>) -> Dns {
    let Some(section) = section else {
        return Dns { mode: DnsMode::Tunnel, servers: vec![DEFAULT_SERVER] };
    };
    let mut reader = SectionReader::new(section, &OPTIONS, problems);
    let mode = reader.value("mode", choice(MODES)).unwrap_or(DnsMode::Tunnel);
    let mut servers = Vec::new();
    for (server, _) in reader.list("server", resolver) {
        if servers.contains(&server) {
            reader.warn("server", format!("{server} is listed twice"));
        } else {
            servers.push(server);
        }
    }
    if !reader.given("server") {
        servers.push(DEFAULT_SERVER);
    }
    Dns { mode, servers }
}
