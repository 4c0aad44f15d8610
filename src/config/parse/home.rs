//! `config home`: the routers that an endpoint serves.

use std::net::Ipv4Addr;

use super::context::{Context, TunnelKind};
use super::exit;
use super::reader::{OptionUse, SectionReader};
use super::value::{key, key_or_file, number, shown, title, tunnel_address};
use crate::config::model::{Home, Key, Role};
use crate::config::problem::{SettingsProblem, Severity};
use crate::config::uci::Section;
use crate::units::BitsPerSec;

const OPTIONS: [&str; 9] =
    ["name", "public_key", "preshared_key", "address", "address6", "max_download", "max_upload", "exit", "join_until"];
const DEFAULT_MAX_DOWNLOAD: BitsPerSec = BitsPerSec::from_kbit(4000);

/// Reads all `home` sections. Incomplete sections are left out, which is no error while millpond is disabled.
pub(super) fn read<'a>(
    sections: impl Iterator<Item = &'a Section>,
    context: &mut Context,
    problems: &mut Vec<SettingsProblem>,
) -> Vec<Home> {
    let (mut names, mut used_keys) = (OptionUse::new(), OptionUse::new());
    let mut homes = Vec::new();
    let mut any = false;
    for section in sections {
        any = true;
        let mut reader = SectionReader::new(section, &OPTIONS, problems);
        context.expect(Role::Endpoint, &mut reader);
        let name = reader.value("name", title);
        if let Some(name) = &name {
            reader.unique(&mut names, name, "name", &shown(name));
        }
        let has_keys = context.tunnel.is_none_or(|kind| kind == TunnelKind::Wireguard);
        let (public_key, preshared_key) =
            if has_keys { keys(&mut reader, context, &mut used_keys) } else { no_keys(&mut reader) };
        let address = address(&mut reader, context);
        let address6 = super::tunnel::address6(&mut reader, context);
        let max_download = reader.value("max_download", number(8..=1_000_000, "kbit/s"));
        let max_download = max_download.map_or(DEFAULT_MAX_DOWNLOAD, |kbit| BitsPerSec::from_kbit(kbit.into()));
        let max_upload = reader.value("max_upload", number(8..=1_000_000, "kbit/s"));
        let max_upload = max_upload.map(|kbit| BitsPerSec::from_kbit(kbit.into()));
        let max_upload = max_upload.unwrap_or(max_download.max(DEFAULT_MAX_DOWNLOAD));
        let exit = exit::read(&mut reader).or_else(|| context.exit.clone());
        let join_until = reader.value("join_until", number(0..=u32::MAX, "seconds of Unix time")).map(u64::from);
        if let Some(address) = address.filter(|_| public_key.is_some() || !has_keys) {
            let name = name.unwrap_or_else(|| address.to_string());
            homes.push(Home {
                name,
                public_key,
                preshared_key,
                address,
                address6,
                max_download,
                max_upload,
                exit,
                join_until,
            });
        }
    }
    if context.enabled && context.is(Role::Endpoint) && !any {
        let text = "no home yet, so no router is served (want a 'config home' for each router)".to_owned();
        let section = "home".to_owned();
        problems.push(SettingsProblem { severity: Severity::Warning, section, option: None, line: 0, text });
    }
    homes
}

fn keys(reader: &mut SectionReader, context: &Context, used: &mut OptionUse) -> (Option<Key>, Option<Key>) {
    let public_key = reader.needed(context.enabled, "public_key", "the public key of the home's router", key);
    if let Some(key) = &public_key {
        let shown = key.to_base64();
        reader.unique(used, &shown, "public_key", &shown);
        if context.own_key.as_ref() == Some(key) {
            let text = format!("the endpoint's own public key (got {shown}, want that of the home's router)");
            reader.error("public_key", text);
        }
    }
    (public_key, reader.value("preshared_key", |text: &str| key_or_file(text, context.key_files)))
}

/// Tunnels of other types have certificates, or another program manages them.
fn no_keys(reader: &mut SectionReader) -> (Option<Key>, Option<Key>) {
    for option in ["public_key", "preshared_key"] {
        if reader.given(option) {
            reader.warn(option, "no effect unless the tunnel's type is 'wireguard'".to_owned());
        }
    }
    (None, None)
}

fn address(reader: &mut SectionReader, context: &mut Context) -> Option<Ipv4Addr> {
    let want = "the router's address inside the tunnel such as 10.77.0.2";
    let (address, prefix) = reader.needed(context.enabled, "address", want, tunnel_address)?;
    if prefix.is_some_and(|bits| bits != 32) {
        reader.warn("address", format!("prefix length has no effect, used as {address}/32"));
    }
    // On a router the section has no effect, and may repeat the tunnel's own address.
    if !context.is(Role::Router) {
        let text = address.to_string();
        reader.unique(&mut context.addresses, &text, "address", &text);
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use crate::config::example;
    use crate::config::model::Home;
    use crate::units::BitsPerSec;

    fn homes(options: &str) -> Vec<Home> {
        let key = "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=";
        let home = format!("config home\n option public_key '{key}'\n option address '10.77.0.2'\n{options}");
        example::settings(&format!("{}\n{home}", example::ENDPOINT)).homes
    }

    /// Without its own exit a home has that of section `main`. millpond's own interfaces lead nowhere.
    #[cfg(feature = "endpoint")]
    #[test]
    fn a_home_has_an_exit_of_its_own_or_that_of_all() {
        let key = "ISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=";
        let parsed = |main: &str, home: &str| {
            let endpoint = example::ENDPOINT.replacen("option role", &format!("{main}\n option role"), 1);
            let home = format!("config home\n option public_key '{key}'\n option address '10.77.0.2'\n{home}");
            crate::config::parse(format!("{endpoint}\n{home}").as_bytes())
        };
        let exit = |main, home| parsed(main, home).settings.and_then(|settings| settings.homes[0].exit.clone());
        let (of_all, own) = ("option exit 'wg-exit'", " option exit 'tun7'");
        assert_eq!(exit("", ""), None);
        assert_eq!(exit(of_all, "").as_deref(), Some("wg-exit"));
        assert_eq!(exit(of_all, own).as_deref(), Some("tun7"));
        assert_eq!(exit("", own).as_deref(), Some("tun7"));
        for wrong in ["mp0", "mpwg0", "a b", "an-interface-name-too-long"] {
            let problems = parsed("", &format!(" option exit '{wrong}'")).problems;
            assert!(problems.iter().any(|problem| problem.option.as_deref() == Some("exit")), "{wrong}: {problems:?}");
        }
    }

    #[test]
    fn a_home_may_send_what_it_may_request_and_never_less_than_the_default() {
        for (options, kbit) in [
            ("", 4_000),
            (" option max_download '8'", 4_000),
            (" option max_download '40000'", 40_000),
            (" option max_download '40000'\n option max_upload '100'", 100),
        ] {
            assert_eq!(homes(options)[0].max_upload, BitsPerSec::from_kbit(kbit), "{options}");
        }
    }
}
