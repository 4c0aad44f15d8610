//! Sends requests to the running daemon: on ubus if the object is published, else over the control socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ubus::OutboundMsg;
use ubus::blobmsg::{BlobIter, BlobValue, lookup};
use ubus::envelope::{self, UbusAttr};
use ubus::wire::{Codec, Frame, HEADER_SIZE, MAX_MSG_LEN, MsgType, ObjId, UBUS_STATUS_OK};

use super::control_socket;
use super::exit::{Failure, UNAVAILABLE};
use crate::daemon::REFUSED_PREFIX;
use crate::daemon::request::{Request, call, line};
use crate::daemon::ubus::{BROKER_PATHS, OBJECT};
use crate::sys::unix_socket;

/// Where to reach the daemon. If one path is given, only that path is tried.
pub struct DaemonAddress {
    /// The control socket.
    pub socket: Option<PathBuf>,
    /// The ubus broker's socket.
    pub ubus: Option<PathBuf>,
}

/// The daemon's answer.
pub enum DaemonAnswer {
    /// The requested text.
    Given(String),
    /// Why the daemon refused.
    Refused(String),
}

/// Maximum time to wait for the broker and for an answer.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(20);
/// Additional time per packet of an audit: every session sends more than one cell per second.
const TIMEOUT_PER_PACKET: Duration = Duration::from_secs(1);

/// Sends a request and returns the answer.
pub fn ask(address: &DaemonAddress, request: Request) -> Result<DaemonAnswer, Failure> {
    let brokers: Vec<&Path> = match (&address.ubus, &address.socket) {
        (Some(ubus), _) => vec![ubus],
        (None, Some(_)) => Vec::new(),
        (None, None) => BROKER_PATHS.iter().map(Path::new).collect(),
    };
    for broker in brokers {
        match ask_on_ubus(broker, request) {
            Ok(answer) => return Ok(answer),
            Err(error) if address.ubus.is_some() => return Err(unavailable(broker, &error)),
            // No broker, or no object: try the control socket.
            Err(_) => {}
        }
    }
    let socket = address.socket.clone().unwrap_or_else(control_socket);
    let answer = unix_socket::ask(&socket, &line::write(request), timeout(request))
        .map_err(|error| unavailable(&socket, &error))?;
    Ok(match answer.strip_prefix(REFUSED_PREFIX) {
        Some(why) => DaemonAnswer::Refused(why.trim_end().to_owned()),
        None => DaemonAnswer::Given(answer),
    })
}

/// Like [`ask`], but a refusal is an error.
pub fn ask_for(address: &DaemonAddress, request: Request) -> Result<String, Failure> {
    match ask(address, request)? {
        DaemonAnswer::Given(text) => Ok(text),
        DaemonAnswer::Refused(why) => Err(Failure::new(UNAVAILABLE, format!("asking the daemon: {why}"))),
    }
}

fn unavailable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    let hint = "is the service running? try: /etc/init.d/millpond start, or systemctl start millpond";
    Failure::new(UNAVAILABLE, format!("asking the daemon at {}: {error}: {hint}", path.display()))
}

fn ask_on_ubus(broker: &Path, request: Request) -> Result<DaemonAnswer, String> {
    let mut stream = connect(broker, timeout(request)).map_err(|error| error.to_string())?;
    let (reply, _) = exchange(&mut stream, &OutboundMsg::Lookup { obj_path: OBJECT }.into_frame(LOOKUP_SEQ))?;
    let id = envelope::find(&reply, UbusAttr::ObjId).and_then(|id| ObjId::new(id.as_u32()?));
    let obj_id = id.ok_or("no object named millpond on this bus")?;
    let (method, args) = call::write(request).ok_or("the object millpond has no method for this request")?;
    let (answer, status) =
        exchange(&mut stream, &OutboundMsg::Invoke { obj_id, method, args: &args }.into_frame(INVOKE_SEQ))?;
    let data = envelope::find(&answer, UbusAttr::Data).map(|data| data.payload);
    let text = |key| data.and_then(|data| lookup(data, key)?.as_str().map(str::to_owned));
    match (status, text("text").or_else(|| fact(data?)), text("error")) {
        (UBUS_STATUS_OK, Some(text), _) => Ok(DaemonAnswer::Given(text)),
        (_, _, Some(why)) => Ok(DaemonAnswer::Refused(why)),
        _ => Err(format!("ubus status {status}")),
    }
}

/// The values of an answer of one fact, as in the line of the control socket, empty without values; `None` if the
/// answer has other values.
fn fact(data: &[u8]) -> Option<String> {
    let mut values = Vec::new();
    let mut rest = BlobIter::new(data);
    while let Some(value) = rest.try_next().ok()? {
        values.push(match value.value().ok()? {
            BlobValue::String(text) => text.to_owned(),
            BlobValue::Int32(number) => number.to_string(),
            BlobValue::Int64(number) => number.to_string(),
            _ => return None,
        });
    }
    Some(values.join(" "))
}

/// Sequence number of the lookup.
const LOOKUP_SEQ: u16 = 1;
/// Sequence number of the method call.
const INVOKE_SEQ: u16 = 2;

fn timeout(request: Request) -> Duration {
    match request {
        Request::Audit { options, .. } => DAEMON_TIMEOUT + TIMEOUT_PER_PACKET * options.packets,
        _ => DAEMON_TIMEOUT,
    }
}

fn connect(broker: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(broker)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(DAEMON_TIMEOUT))?;
    Ok(stream)
}

/// Sends a request. Returns the payload of its last data message, and its status.
fn exchange(stream: &mut UnixStream, request: &Frame) -> Result<(Vec<u8>, i32), String> {
    stream.write_all(&Codec::write_frame(request)).map_err(|error| error.to_string())?;
    let mut data = Vec::new();
    loop {
        let frame = receive(stream).map_err(|error| error.to_string())?;
        match frame.hdr.ty {
            _ if frame.hdr.seq != request.hdr.seq => {}
            MsgType::Data => data = frame.payload,
            MsgType::Status => {
                let status = envelope::read_status(&frame.payload).map_err(|error| error.to_string())?;
                return Ok((data, status));
            }
            _ => {}
        }
    }
}

fn receive(stream: &mut UnixStream) -> io::Result<Frame> {
    let mut bytes = vec![0; HEADER_SIZE + 4];
    stream.read_exact(&mut bytes)?;
    // The lower 24 bits of a blob's header are its length, header included.
    let length = u32::from_be_bytes([0, bytes[HEADER_SIZE + 1], bytes[HEADER_SIZE + 2], bytes[HEADER_SIZE + 3]]);
    let length = (length as usize).clamp(4, MAX_MSG_LEN);
    bytes.resize(HEADER_SIZE + length, 0);
    stream.read_exact(&mut bytes[HEADER_SIZE + 4..])?;
    Codec::read_frame(&bytes).map(|(frame, _)| frame).map_err(io::Error::other)
}
