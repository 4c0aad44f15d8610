//! ubus in the laboratory: a broker, a single call, and a flood of calls.

use std::time::{Duration, Instant};

use argh::FromArgs;
use millpond::daemon::answers::{
    AdviceAnswer, AdvisedAnswer, AuditedAnswer, DevicesAnswer, HistoryAnswer, StateAnswer, StatusAnswer,
};
use serde::Deserialize;
use ubus::client::UbusClient;
use ubus::unix::UnixUbusTransport;
use ubus::{BlobMsgTable, json};

/// Run a broker until a signal ends it.
#[derive(FromArgs)]
#[argh(subcommand, name = "broker")]
pub struct Broker {
    /// path of the socket to listen on
    #[argh(option)]
    socket: String,
}

/// Call a method of the object millpond and print the answer as JSON. The exit code is 1 if the call is refused.
#[derive(FromArgs)]
#[argh(subcommand, name = "call")]
pub struct Call {
    /// the broker's socket
    #[argh(option)]
    socket: String,
    /// the method
    #[argh(positional)]
    method: String,
    /// its arguments as a JSON object
    #[argh(positional, default = "String::from(\"{}\")")]
    arguments: String,
}

/// Call methods without pause and print the number of answers.
#[derive(FromArgs)]
#[argh(subcommand, name = "call-flood")]
pub struct CallFlood {
    /// the broker's socket
    #[argh(option)]
    socket: String,
    /// duration in seconds
    #[argh(option)]
    seconds: u64,
}

impl Broker {
    pub fn run(self) -> Result<(), String> {
        let config = ubusd::Config { socket_path: self.socket, ..Default::default() };
        ubusd::Broker::bind(config).and_then(|mut broker| broker.run()).map_err(|error| error.to_string())
    }
}

impl Call {
    pub fn run(self) -> Result<(), String> {
        let arguments = serde_json::from_str(&self.arguments).map_err(|error| error.to_string())?;
        let arguments = json::json_to_blobmsg(&arguments).map_err(text)?;
        let (mut client, object) = connect(&self.socket)?;
        for reply in client.invoke_many(object, &self.method, &arguments).map_err(text)? {
            let answer = json::blobmsg_to_json(&reply).map_err(text)?;
            check(&self.method, &answer).map_err(|error| format!("{}: {error} in {answer}", self.method))?;
            println!("{answer}");
        }
        Ok(())
    }
}

impl CallFlood {
    pub fn run(self) -> Result<(), String> {
        let (mut client, object) = connect(&self.socket)?;
        let history = BlobMsgTable::build(|blob| blob.put_i32(Some("seconds"), 86_400));
        let (start, mut answers) = (Instant::now(), 0);
        while start.elapsed() < Duration::from_secs(self.seconds) {
            for (method, arguments) in [("status", &BlobMsgTable::empty()), ("history", &history)] {
                client.invoke_many(object, method, arguments).map_err(text)?;
                answers += 1;
            }
        }
        println!("{answers} answers");
        Ok(())
    }
}

/// Checks that an answer of keys and values has the documented keys. Other forms have the key `text` only.
fn check(method: &str, answer: &serde_json::Value) -> Result<(), serde_json::Error> {
    if answer.get("text").is_some() || answer.get("error").is_some() {
        return Ok(());
    }
    match method {
        "status" => StatusAnswer::deserialize(answer).map(drop),
        "state" => StateAnswer::deserialize(answer).map(drop),
        "devices" => DevicesAnswer::deserialize(answer).map(drop),
        "history" => HistoryAnswer::deserialize(answer).map(drop),
        "advise" => AdviceAnswer::deserialize(answer).map(drop),
        "advised" => AdvisedAnswer::deserialize(answer).map(drop),
        "audited" => AuditedAnswer::deserialize(answer).map(drop),
        _ => Ok(()),
    }
}

fn connect(socket: &str) -> Result<(UbusClient<UnixUbusTransport>, u32), String> {
    let mut client = UbusClient::connect(UnixUbusTransport::connect(socket).map_err(text)?).map_err(text)?;
    let object = client.lookup("millpond").map_err(text)?;
    Ok((client, object))
}

fn text(error: ubus::UbusError) -> String {
    error.to_string()
}
