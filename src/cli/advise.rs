//! `millpond advise`: shows the delays and costs of other rates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::FromArgs;

use super::CONFIG_PATH;
use super::client::{DaemonAddress, ask_for};
use super::exit::{CONFIG, Failure, IO_ERROR, NO_PERMISSION, OS_ERROR, UNAVAILABLE};
use super::settings;
use crate::config::edit::{Document, Setting};
use crate::config::model::{Level, Policy, Settings};
use crate::config::{parse_with, uci};
use crate::daemon::advice::{Advice, AdvisedShape, PassiveMonitor, RateAdvisor};
use crate::daemon::answers;
use crate::daemon::request::{Format, Request, advised_level};
use crate::law::Law;
use crate::sys::epoll::Poll;
use crate::sys::timer::{self, Timer};
use crate::sys::{atomic_file, kernel, key_file, random};
use crate::units::Nanos;
use crate::wire::size::{Encapsulation, IpVersion};

/// Show the delay and the monthly cost of a range of rates, from the packets that the running daemon has observed.
#[derive(FromArgs)]
#[argh(subcommand, name = "advise", example = "{command_name} --set balanced && millpond reload")]
pub struct AdviseCommand {
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// observe the devices in the settings, or all devices if it has none, for this time (90s, 30m, 24h, 7d); needs no
    /// daemon
    #[argh(option, from_str_fn(duration))]
    watch: Option<Duration>,
    /// set a level (saver, balanced or strict) and the rates advised for it in the settings file
    #[argh(option, from_str_fn(level))]
    set: Option<Level>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: String,
    /// the daemon's control socket (default: try ubus, then /var/run/millpond.sock)
    #[argh(option)]
    socket: Option<PathBuf>,
    /// the ubus broker's socket
    #[argh(option)]
    ubus: Option<PathBuf>,
}

/// The advice to print without `--set`, and the rates and cell size for `--set`.
struct AdviceOutput {
    text: String,
    advised: Option<AdvisedShape>,
}

impl AdviseCommand {
    /// Prints the advice, or sets the chosen level.
    pub fn execute(self) -> Result<(), Failure> {
        let output = match self.watch {
            Some(span) => self.observe(span)?,
            None => self.ask_daemon()?,
        };
        let Some(level) = self.set else {
            print!("{}", output.text);
            return Ok(());
        };
        let Some(advised) = output.advised else {
            let why = "no packets observed yet, or no rate keeps all devices within their tolerances";
            let text = format!("setting level {}: no advised rates: {why}: see 'millpond advise'", level.name());
            return Err(Failure::new(UNAVAILABLE, text));
        };
        set_level(Path::new(&self.config), level, &advised)
    }

    fn ask_daemon(&self) -> Result<AdviceOutput, Failure> {
        let address = DaemonAddress { socket: self.socket.clone(), ubus: self.ubus.clone() };
        let format = if self.json { Format::Json } else { Format::Text };
        let request = self.set.map_or(Request::Advise(format), |level| Request::Advised { level });
        let text = ask_for(&address, request)?;
        let advised = self.set.and_then(|_| advised_shape(&text));
        Ok(AdviceOutput { text, advised })
    }

    fn observe(&self, span: Duration) -> Result<AdviceOutput, Failure> {
        if !kernel::is_root() {
            return Err(Failure::new(NO_PERMISSION, "observing devices: permission denied: run as root"));
        }
        let settings = settings::load(&self.config)?;
        let seed = random::seed().map_or(1, |seed| u64::from_ne_bytes([seed[0]; 8]));
        let mut advisor = RateAdvisor::new(&settings, Encapsulation::wireguard(IpVersion::V4), seed, timer::now());
        observe_home(&settings, &mut advisor, span).map_err(|error| {
            Failure::new(OS_ERROR, format!("observing the home's devices: {error}: run it on the home's router"))
        })?;
        let advice = Advice::new(&settings, &advisor, timer::now());
        let answer = advice.answer();
        let text = match self.json {
            true => answers::to_json(&answer).map(|json| json + "\n"),
            false => Ok(answer.to_string()),
        };
        let text = text.map_err(|error| Failure::new(OS_ERROR, format!("computing the advice: {error}")))?;
        Ok(AdviceOutput { text, advised: self.set.and_then(|level| advice.advised(level)) })
    }
}

/// Observes packets for `span`.
fn observe_home(settings: &Settings, advisor: &mut RateAdvisor, span: Duration) -> std::io::Result<()> {
    let selected = PassiveMonitor::open(settings, |device| device.policy != Policy::Block)?;
    let mut passive_monitor = selected.map_or_else(PassiveMonitor::open_all, Ok)?;
    if !passive_monitor.has_interfaces() {
        return Err(std::io::Error::other("no Ethernet interface has an address, except the one to the Internet"));
    }
    let (mut poll, timer) = (Poll::new()?, Timer::new()?);
    poll.add(&passive_monitor, 0)?;
    poll.add(&timer, 1)?;
    let end = timer::now() + Nanos(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX / 2));
    let mut next_refresh = timer::now();
    while timer::now() < end {
        timer.set(end.min(timer::now() + Nanos::from_secs(1)))?;
        if poll.wait()?.any(|token| token == 1) {
            timer.acknowledge()?;
        }
        while passive_monitor.receive_batch(advisor)? {
            advisor.run_pending(timer::now(), || true);
        }
        let now = timer::now();
        advisor.run_pending(now, || true);
        if now >= next_refresh {
            next_refresh = now + Nanos::from_secs(60);
            passive_monitor.refresh_interfaces();
        }
    }
    Ok(())
}

/// Writes the level, its rates and its cell size into the settings file.
fn set_level(path: &Path, level: Level, advised: &AdvisedShape) -> Result<(), Failure> {
    let action = || format!("setting level {} in {}", level.name(), path.display());
    let text = std::fs::read(path).map_err(|e| Failure::new(IO_ERROR, format!("{}: {e}", action())))?;
    let AdvisedShape { upload_kbit, download_kbit, cell_bytes } = advised;
    let Some(changed) = with_level(&text, level, advised) else {
        let text = format!("{}: the file has errors: 'millpond check' lists them", action());
        return Err(Failure::new(CONFIG, text));
    };
    if changed.as_bytes() != text {
        atomic_file::write(path, changed.as_bytes(), 0o600)
            .map_err(|e| Failure::new(IO_ERROR, format!("{}: {e}", action())))?;
    }
    println!(
        "level {}: {upload_kbit} kbit/s up, {download_kbit} down, cells of {cell_bytes} bytes; to apply it: millpond \
         reload",
        level.name()
    );
    Ok(())
}

/// The settings with this level of this shape; `None` if the result would be invalid.
fn with_level(text: &[u8], level: Level, advised: &AdvisedShape) -> Option<String> {
    let mut document = Document::new(text).ok()?;
    let word = |text: &str| Setting::Text(text.to_owned());
    document.set("millpond", "main", "level", &word(level.name()));
    if level == Level::Strict {
        document.set("millpond", "main", "law", &word(Law::Gamma.name()));
        document.set("millpond", "main", "spread", &word(&Law::Gamma.default_spread().to_string()));
    }
    let (sections, _) = uci::parse(document.text().as_bytes());
    let named = |section: &&uci::Section| section.kind == "level" && section.name.as_deref() == Some(level.name());
    let options =
        [("upload", advised.upload_kbit), ("download", advised.download_kbit), ("cell", advised.cell_bytes.into())];
    let options = options.map(|(name, value)| (name, word(&value.to_string())));
    match sections.iter().find(named).map(|section| section.index) {
        Some(index) => options.iter().for_each(|(name, value)| document.set_at("level", index, name, value)),
        None => document.add("level", Some(level.name()), &options),
    }
    parse_with(document.text().as_bytes(), &key_file::read).settings?;
    Some(document.text().to_owned())
}

/// The rates and the cell size in the answer to `advised`; `None` if there are none.
fn advised_shape(line: &str) -> Option<AdvisedShape> {
    let mut words = line.trim_end().split(' ');
    Some(AdvisedShape {
        upload_kbit: words.next()?.parse().ok()?,
        download_kbit: words.next()?.parse().ok()?,
        cell_bytes: words.next()?.parse().ok()?,
    })
}

/// Parses `90s`, `30m`, `24h` or `7d`; at most 400 days.
fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("not a duration: '{text}' (want 90s, 30m, 24h or 7d)");
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(invalid)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(invalid()),
    };
    let count: u64 = digits.parse().map_err(|_| invalid())?;
    let seconds = count.checked_mul(seconds).filter(|seconds| (1..=400 * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(invalid)
}

fn level(text: &str) -> Result<Level, String> {
    advised_level(text).ok_or_else(|| format!("not a level with advice: '{text}' (want saver, balanced or strict)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::answers::AdvisedAnswer;

    #[test]
    fn durations_have_a_unit() {
        let seconds = |text| duration(text).map(|span| span.as_secs()).ok();
        assert_eq!([seconds("90s"), seconds("24h"), seconds("7d")], [Some(90), Some(86_400), Some(604_800)]);
        for wrong in ["", "s", "5", "-1h", "0s", "99999d", "1é", "18446744073709551615d"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn setting_a_level_keeps_everything_else() {
        let file = "# mine\nconfig millpond 'main'\n\toption level 'balanced'  # so far\n\toption law 'normal'\n\n\
            config level saver\n\toption upload '8'\n\toption download '9'\n\n\
            config device\n\toption mac '18:b4:30:26:34:40'\n";
        let shape = |upload_kbit, download_kbit| AdvisedShape { upload_kbit, download_kbit, cell_bytes: 1_024 };
        let saver = with_level(file.as_bytes(), Level::Saver, &shape(40, 80)).unwrap();
        let changes = [
            ("'balanced'  #", "'saver'  #"),
            ("upload '8'", "upload '40'"),
            ("download '9'\n", "download '80'\n\toption cell '1024'\n"),
        ];
        assert_eq!(saver, changes.iter().fold(file.to_owned(), |text, (from, to)| text.replace(from, to)));
        assert_eq!(
            with_level(saver.as_bytes(), Level::Saver, &shape(40, 80)).as_ref(),
            Some(&saver),
            "a second time changes nothing"
        );
        let strict = with_level(saver.as_bytes(), Level::Strict, &shape(640, 1000)).unwrap();
        assert!(strict.contains("law 'gamma'") && strict.contains("spread '33'") && strict.contains("upload '40'"));
        let section = "config level 'strict'\n\toption upload '640'\n\toption download '1000'\n\toption cell '1024'\n";
        assert!(strict.ends_with(section), "{strict}");
        assert_eq!(
            with_level(file.as_bytes(), Level::Saver, &shape(1, 80)),
            None,
            "rates that are not allowed in a file"
        );
        assert_eq!(with_level(b"config millpond 'main", Level::Saver, &shape(40, 80)), None);
    }

    #[test]
    fn the_advised_shape_is_what_the_daemon_answers() {
        for shape in [Some(AdvisedShape { upload_kbit: 160, download_kbit: 320, cell_bytes: 768 }), None] {
            assert_eq!(advised_shape(&AdvisedAnswer::new(shape).to_string()), shape);
        }
        for other in ["", "160", "160 fast", "160 320"] {
            assert_eq!(advised_shape(other), None, "{other}");
        }
    }
}
