//! `millpond config`: prints the settings as the daemon reads them, for scripts. No script parses the file's text.

use argh::FromArgs;

use super::CONFIG_PATH;
use super::exit::{CONFIG, Failure, IO_ERROR};
use super::stderr::print_line;
use crate::config::uci;
use crate::units::counted;

/// Print the settings as millpond reads them, one value a line, for scripts. Secret keys are printed too.
#[derive(FromArgs)]
#[argh(subcommand, name = "config", example = "{command_name} tunnel.endpoint")]
pub struct ConfigCommand {
    /// print only the values of this option, such as tunnel.endpoint, in every section of that type
    #[argh(positional)]
    option: Option<String>,
    /// settings file (default /etc/config/millpond)
    #[argh(option, default = "CONFIG_PATH.into()")]
    config: String,
}

impl ConfigCommand {
    /// Prints what can be read. Syntax errors follow on stderr, and make the command fail.
    pub fn execute(self) -> Result<(), Failure> {
        let path = &self.config;
        let text = std::fs::read(path)
            .map_err(|error| Failure::new(IO_ERROR, format!("reading the settings {path}: {error}")))?;
        let (sections, errors) = uci::parse(&text);
        for section in &sections {
            // By type and number, because a section's name may be missing.
            let label = format!("@{}[{}]", section.kind, section.index);
            if self.option.is_none() {
                println!("{label}={}", section.name.as_deref().unwrap_or_default());
            }
            for option in &section.options {
                for value in option.values.iter().map(|value| one_line(&value.text)) {
                    match &self.option {
                        None => println!("{label}.{}={value}", option.name),
                        Some(wanted) if *wanted == format!("{}.{}", section.kind, option.name) => println!("{value}"),
                        Some(_) => {}
                    }
                }
            }
        }
        errors.iter().for_each(|error| print_line(format_args!("{path}:{}: {}", error.line, error.text)));
        match errors.len() {
            0 => Ok(()),
            count => {
                let count = counted(count, "error", "errors");
                Err(Failure::new(CONFIG, format!("reading the settings {path}: {count}, see above")))
            }
        }
    }
}

/// The value on one line: a backslash and every character that is not printable are escaped.
fn one_line(text: &str) -> String {
    text.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
}
