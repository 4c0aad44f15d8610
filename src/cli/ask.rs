//! Asks the running daemon: on ubus where the object is there, over the control socket elsewhere.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ubus::client::UbusClient;
use ubus::envelope::{self, EnvBuilder, UbusAttr};
use ubus::wire::{Codec, Frame, HEADER_SIZE, MAX_MSG_LEN, MsgType};
use ubus::{BlobMsgTable, Transport, UbusError};

use super::SOCKET_PATH;
use super::exit::{Failure, UNAVAILABLE};
use crate::daemon::REFUSED;
use crate::daemon::request::{Form, Request};
use crate::daemon::ubus::{BROKER_PATHS, OBJECT};
use crate::sys::unix_socket;

/// Where to look for the daemon. Whoever names one way means that way alone.
pub struct Ways {
    /// The control socket.
    pub socket: Option<PathBuf>,
    /// The broker of ubus.
    pub ubus: Option<PathBuf>,
}

/// What the daemon answered.
pub enum Answer {
    /// What was asked for.
    Given(String),
    /// Why it was not done.
    Refused(String),
}

/// How long to wait for the broker and for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running daemon's answer.
pub fn ask(ways: &Ways, request: Request) -> Result<Answer, Failure> {
    let brokers: Vec<&Path> = match (&ways.ubus, &ways.socket) {
        (Some(ubus), _) => vec![ubus],
        (None, Some(_)) => Vec::new(),
        (None, None) => BROKER_PATHS.iter().map(Path::new).collect(),
    };
    for broker in brokers {
        match ask_on_ubus(broker, request) {
            Ok(answer) => return Ok(answer),
            Err(error) if ways.ubus.is_some() => return Err(unavailable(broker, &error)),
            // No broker, or none that knows us: the socket may.
            Err(_) => {}
        }
    }
    let socket = ways.socket.as_deref().unwrap_or(Path::new(SOCKET_PATH));
    let answer = unix_socket::ask(socket, &line(request)).map_err(|error| unavailable(socket, &error))?;
    Ok(match answer.strip_prefix(REFUSED) {
        Some(why) => Answer::Refused(why.trim_end().to_owned()),
        None => Answer::Given(answer),
    })
}

/// The same for what cannot be refused.
pub fn ask_for(ways: &Ways, request: Request) -> Result<String, Failure> {
    match ask(ways, request)? {
        Answer::Given(text) => Ok(text),
        Answer::Refused(why) => Err(Failure::new(UNAVAILABLE, format!("asking the daemon: {why}"))),
    }
}

fn unavailable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let hint = "is the service running? try: /etc/init.d/millpond start";
    Failure::new(UNAVAILABLE, format!("asking the daemon at {}: {error}: {hint}", path.display()))
}

/// As the control socket wants to be asked.
fn line(request: Request) -> String {
    match request {
        Request::Status(Form::People) => "status".into(),
        Request::Status(Form::Programs) => "status json".into(),
        Request::Devices(Form::People) => "devices".into(),
        Request::Devices(Form::Programs) => "devices json".into(),
        Request::History { seconds } => format!("history {seconds}"),
        Request::Reload => "reload".into(),
        Request::Renew => "renew".into(),
    }
}

fn ask_on_ubus(broker: &Path, request: Request) -> Result<Answer, UbusError> {
    let stream = Stream::connect(broker).map_err(|error| UbusError::Io(error.to_string()))?;
    let mut client = UbusClient::connect(stream)?;
    let object = client.lookup(OBJECT)?;
    let (method, people) = match request {
        Request::Status(form) => ("status", form == Form::People),
        Request::Devices(form) => ("devices", form == Form::People),
        Request::History { .. } => ("history", false),
        Request::Reload => ("reload", true),
        Request::Renew => ("renew", true),
    };
    let arguments = BlobMsgTable::build(|blob| match request {
        Request::Status(Form::People) | Request::Devices(Form::People) => blob.put_bool(Some("text"), true),
        Request::History { seconds } => blob.put_i64(Some("seconds"), seconds.into()),
        _ => {}
    });
    let mut envelope = EnvBuilder::new();
    envelope.push_u32(UbusAttr::ObjId, object);
    envelope.push_str(UbusAttr::Method, method);
    envelope.push_data(arguments.contents());
    let mut data = Vec::new();
    let done = client.request(MsgType::Invoke, object, envelope, |frame| {
        let found = envelope::find(&frame.payload, UbusAttr::Data);
        data = found.map(|attribute| attribute.payload.to_vec()).unwrap_or_default();
        Ok(())
    });
    let text = |key| ubus::blobmsg::lookup(&data, key).and_then(|text| text.as_str()).map(str::to_owned);
    match (done, text("error")) {
        (Err(UbusError::Status(_)), Some(why)) => Ok(Answer::Refused(why)),
        (Err(error), _) => Err(error),
        (Ok(()), _) if people => Ok(Answer::Given(text("text").unwrap_or_default())),
        (Ok(()), _) => Ok(Answer::Given(format!("{}\n", ubus::blobmsg::to_json(&data, true)))),
    }
}

/// A stream to the broker that waits, but not for ever.
struct Stream(UnixStream);

impl Stream {
    fn connect(path: &Path) -> std::io::Result<Stream> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Stream(stream))
    }
}

impl Transport for Stream {
    fn send(&mut self, frame: &Frame) -> Result<(), UbusError> {
        self.0.write_all(&Codec::write_frame(frame)).map_err(|error| UbusError::Io(error.to_string()))
    }

    fn recv(&mut self) -> Result<Option<Frame>, UbusError> {
        let io = |error: std::io::Error| UbusError::Io(error.to_string());
        let mut bytes = vec![0; HEADER_SIZE + 4];
        self.0.read_exact(&mut bytes).map_err(io)?;
        let [_, a, b, c] = [bytes[HEADER_SIZE], bytes[HEADER_SIZE + 1], bytes[HEADER_SIZE + 2], bytes[HEADER_SIZE + 3]];
        let length = HEADER_SIZE + u32::from_be_bytes([0, a, b, c]) as usize;
        if length > HEADER_SIZE + MAX_MSG_LEN {
            return Err(UbusError::Malformed("too long a message"));
        }
        let start = bytes.len();
        bytes.resize(length.max(start), 0);
        self.0.read_exact(&mut bytes[start..]).map_err(io)?;
        Codec::read_frame(&bytes).map(|(frame, _)| Some(frame))
    }
}
