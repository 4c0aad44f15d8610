//! The protocol of one connection to the broker, without the socket: frames in, frames out.

use ubus::envelope::{self, EnvBuilder, UbusAttr};
use ubus::wire::{
    Codec, Frame, HEADER_SIZE, Header, MsgType, ObjId, PeerId, UBUS_STATUS_INVALID_ARGUMENT, UBUS_STATUS_OK,
};
use ubus::{BlobMsgTable, InboundMsg, OutboundMsg};

use crate::daemon::control::request::{Request, call};
use crate::daemon::control::request_error::RequestError;

/// The name of the object.
pub const OBJECT: &str = "millpond";

/// A frame's header and the start of its envelope, which holds the length.
const START_BYTES: usize = HEADER_SIZE + 4;
/// Maximum length of a frame; no valid call needs more. Longer frames are skipped.
const MAX_FRAME_BYTES: usize = 4096;
/// The broker's object that distributes events.
const EVENTS: u32 = 1;
/// The sequence number of the request to publish the object; those of events follow.
const PUBLISH: u16 = 1;

/// The state of a connection's protocol.
pub struct BusSession {
    /// The connection's number; a caller of an earlier connection can no longer be answered.
    number: u32,
    object: Option<ObjId>,
    published: bool,
    sequence: u16,
    /// The sequence number of the request to remove the object.
    removal: Option<u16>,
    input: Vec<u8>,
    /// Remaining bytes of a frame that is too long.
    skip: usize,
    output: Vec<u8>,
}

/// The caller that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    session: u32,
    sequence: u16,
    peer: PeerId,
    /// `false` if the caller asked for no reply.
    wants_answer: bool,
}

#[cfg(test)]
impl Caller {
    /// A caller of no connection.
    pub fn unknown() -> Caller {
        Caller { session: 0, sequence: 0, peer: PeerId::new(1).expect("a number"), wants_answer: false }
    }
}

/// The meaning of a frame.
pub enum Event {
    /// The object is published.
    Published,
    /// A call, parsed.
    Call(Caller, Result<Request, RequestError>),
    /// The object is removed, and the broker has handled all earlier output.
    Removed,
}

impl BusSession {
    /// A session that waits for the broker's greeting.
    pub fn new(number: u32) -> BusSession {
        let (input, output) = (Vec::new(), Vec::new());
        BusSession { number, object: None, published: false, sequence: PUBLISH, removal: None, input, skip: 0, output }
    }

    /// Whether the object is published.
    pub fn is_published(&self) -> bool {
        self.published
    }

    /// How many bytes to read next: never beyond the end of the frame, so that the next frame stays in the socket.
    pub fn wanted_bytes(&self) -> usize {
        match self.skip {
            0 => self.frame_length().unwrap_or(START_BYTES).saturating_sub(self.input.len()),
            skip => skip.min(MAX_FRAME_BYTES),
        }
    }

    /// Processes received bytes, at most [`BusSession::wanted_bytes`]. An error describes the broker's violation of the
    /// protocol.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Event>, String> {
        if self.skip > 0 {
            self.skip -= bytes.len().min(self.skip);
            return Ok(None);
        }
        self.input.extend_from_slice(bytes);
        let Some(length) = self.frame_length() else { return Ok(None) };
        if length > MAX_FRAME_BYTES {
            self.skip = length - self.input.len();
            let header = Header::decode(&self.input).map_err(|error| error.to_string())?;
            self.input.clear();
            self.refuse_call(&header);
            return Ok(None);
        }
        if self.input.len() < length {
            return Ok(None);
        }
        let frame = Codec::read_frame(&self.input).map(|(frame, _)| frame);
        self.input.clear();
        self.handle_frame(&frame.map_err(|error| error.to_string())?)
    }

    /// The unsent output.
    pub fn output(&self) -> &[u8] {
        &self.output
    }

    /// Removes the first `bytes` of the output after they were sent.
    pub fn sent(&mut self, bytes: usize) {
        self.output.drain(..bytes);
        if self.output.is_empty() {
            // Free the memory of a large answer.
            self.output.shrink_to(MAX_FRAME_BYTES);
        }
    }

    /// Answers a call with the contents of a table. An error's text is sent as data, because ubus itself has no field
    /// for it.
    pub fn answer(&mut self, caller: &Caller, answer: Result<&[u8], &RequestError>) {
        if caller.session != self.number || !caller.wants_answer {
            return;
        }
        let Some(object) = self.object else { return };
        let error_table;
        let (data, status) = match answer {
            Ok(data) => (data, UBUS_STATUS_OK),
            Err(error) => {
                error_table = BlobMsgTable::build(|blob| blob.put_str(Some("error"), &error.text));
                (error_table.contents(), error.status)
            }
        };
        let (peer, sequence) = (caller.peer, caller.sequence);
        let mut envelope = EnvBuilder::with_capacity(data.len() + 64);
        envelope.push_u32(UbusAttr::ObjId, object.get());
        envelope.push_data(data);
        self.send(&Frame::to_peer(MsgType::Data, sequence, peer.get(), envelope.finish()));
        self.send(&OutboundMsg::Status { peer, obj_id: Some(object), status }.into_frame(sequence));
    }

    /// Notifies the object's subscribers and sends an event.
    pub fn announce(&mut self, what: &str, data: &BlobMsgTable) {
        let (Some(object), true) = (self.object, self.published) else { return };
        let mut envelope = EnvBuilder::new();
        envelope.push_u32(UbusAttr::ObjId, object.get());
        envelope.push_str(UbusAttr::Method, what);
        envelope.push_data(data.contents());
        envelope.push_u8(UbusAttr::NoReply, 1);
        let sequence = self.next_sequence();
        self.send(&Frame::to_peer(MsgType::Notify, sequence, object.get(), envelope.finish()));
        let Some(obj_id) = ObjId::new(EVENTS) else { return };
        let args = BlobMsgTable::build(|blob| {
            blob.put_str(Some("id"), &format!("{OBJECT}.{what}"));
            blob.put_table(Some("data"), data);
        });
        let sequence = self.next_sequence();
        self.send(&OutboundMsg::Invoke { obj_id, method: "send", args: &args }.into_frame(sequence));
    }

    /// Removes the object from the bus.
    pub fn remove_object(&mut self) {
        let Some(obj_id) = self.object else { return };
        let sequence = self.next_sequence();
        self.removal = Some(sequence);
        self.send(&OutboundMsg::RemoveObject { obj_id }.into_frame(sequence));
    }

    fn handle_frame(&mut self, frame: &Frame) -> Result<Option<Event>, String> {
        let message = match InboundMsg::parse(frame) {
            Ok(message) => message,
            // Any client of the bus can send an unreadable call, so do not disconnect.
            Err(_) => {
                self.refuse_call(&frame.hdr);
                return Ok(None);
            }
        };
        match message {
            InboundMsg::Hello { .. } if self.object.is_none() => {
                let message = OutboundMsg::AddObject { path: OBJECT, signature: &call::signature() };
                self.send(&message.into_frame(PUBLISH));
                Ok(None)
            }
            InboundMsg::Data { seq: PUBLISH, obj_id, .. } if !self.published => {
                self.object = obj_id.and_then(ObjId::new).or(self.object);
                Ok(None)
            }
            InboundMsg::Status { seq: PUBLISH, status, .. } if !self.published => match (status, self.object) {
                (UBUS_STATUS_OK, Some(_)) => {
                    self.published = true;
                    Ok(Some(Event::Published))
                }
                (status, _) => Err(format!("the broker refused the object {OBJECT}: status {status}")),
            },
            InboundMsg::Status { seq, .. } if Some(seq) == self.removal => Ok(Some(Event::Removed)),
            InboundMsg::Invoke { seq, peer, method, data, .. } => {
                let Some(peer) = PeerId::new(peer) else { return Ok(None) };
                let no_reply =
                    envelope::find(&frame.payload, UbusAttr::NoReply).is_some_and(|flag| flag.as_bool_int8());
                let caller = Caller { session: self.number, sequence: seq, peer, wants_answer: !no_reply };
                Ok(Some(Event::Call(caller, call::parse(method, data.unwrap_or(&[])))))
            }
            _ => Ok(None),
        }
    }

    /// Refuses a call that cannot be parsed; ignores other frames.
    fn refuse_call(&mut self, header: &Header) {
        if let (MsgType::Invoke, Some(peer), Some(_)) = (header.ty, PeerId::new(header.peer), self.object) {
            let (obj_id, status) = (self.object, UBUS_STATUS_INVALID_ARGUMENT);
            self.send(&OutboundMsg::Status { peer, obj_id, status }.into_frame(header.seq));
        }
    }

    /// The total length of the frame, once its start has been received.
    fn frame_length(&self) -> Option<usize> {
        let [_, a, b, c] = *self.input.get(HEADER_SIZE..START_BYTES)?.first_chunk()?;
        Some((HEADER_SIZE + u32::from_be_bytes([0, a, b, c]) as usize).max(START_BYTES))
    }

    fn next_sequence(&mut self) -> u16 {
        self.sequence = self.sequence.wrapping_add(1).max(PUBLISH + 1);
        self.sequence
    }

    fn send(&mut self, frame: &Frame) {
        self.output.extend_from_slice(&Codec::write_frame(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::control::request::Format;

    /// Feeds bytes as a socket would, and returns the events.
    fn feed(session: &mut BusSession, mut bytes: &[u8]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(session.wanted_bytes().min(bytes.len()).max(1));
            events.extend(session.receive(now)?);
            bytes = later;
        }
        Ok(events)
    }

    fn take_output(session: &mut BusSession) -> Vec<Frame> {
        let mut frames = Vec::new();
        while !session.output().is_empty() {
            let (frame, length) = Codec::read_frame(session.output()).unwrap();
            session.sent(length);
            frames.push(frame);
        }
        frames
    }

    fn published() -> BusSession {
        let mut session = BusSession::new(7);
        let hello = Frame::to_peer(MsgType::Hello, 0, 99, EnvBuilder::new().finish());
        assert!(feed(&mut session, &Codec::write_frame(&hello)).unwrap().is_empty());
        assert_eq!(take_output(&mut session)[0].hdr.ty, MsgType::AddObject);
        let mut id = EnvBuilder::new();
        id.push_u32(UbusAttr::ObjId, 0x1234);
        feed(&mut session, &Codec::write_frame(&Frame::to_peer(MsgType::Data, PUBLISH, 0, id.finish()))).unwrap();
        let mut done = EnvBuilder::new();
        done.push_i32(UbusAttr::Status, 0);
        let done = Frame::to_peer(MsgType::Status, PUBLISH, 0, done.finish());
        assert!(matches!(feed(&mut session, &Codec::write_frame(&done)).unwrap()[..], [Event::Published]));
        session
    }

    fn invoke(method: &str, padding: usize) -> Vec<u8> {
        let args = BlobMsgTable::build(|blob| blob.put_str(Some("other"), &"x".repeat(padding)));
        let frame = OutboundMsg::Invoke { obj_id: ObjId::new(0x1234).unwrap(), method, args: &args }.into_frame(5);
        Codec::write_frame(&Frame { hdr: Header { peer: 42, ..frame.hdr }, ..frame })
    }

    #[test]
    fn a_call_is_answered_to_its_caller() {
        let mut session = published();
        let events = feed(&mut session, &invoke("status", 10)).unwrap();
        let [Event::Call(caller, Ok(Request::Status(Format::Values)))] = &events[..] else { panic!("no call") };
        let state = BlobMsgTable::build(|blob| blob.put_str(Some("state"), "shaping"));
        session.answer(caller, Ok(state.contents()));
        let [data, status] = &take_output(&mut session)[..] else { panic!("want data and status") };
        assert_eq!((data.hdr.ty, data.hdr.seq, data.hdr.peer), (MsgType::Data, 5, 42));
        assert_eq!((status.hdr.ty, envelope::read_status(&status.payload).unwrap()), (MsgType::Status, 0));
    }

    #[test]
    fn a_caller_of_an_earlier_connection_gets_no_answer() {
        let mut session = published();
        let events = feed(&mut session, &invoke("status", 0)).unwrap();
        let [Event::Call(caller, _)] = &events[..] else { panic!("no call") };
        let mut later = published();
        later.number = 8;
        later.answer(caller, Ok(&[]));
        assert!(later.output().is_empty());
    }

    #[test]
    fn an_oversized_call_is_refused_and_the_next_one_is_served() {
        let mut session = published();
        let mut bytes = invoke("status", 100_000);
        bytes.extend(invoke("reload", 0));
        let events = feed(&mut session, &bytes).unwrap();
        assert!(matches!(events[..], [Event::Call(_, Ok(Request::Reload))]));
        let [refused] = &take_output(&mut session)[..] else { panic!("want one status") };
        assert_eq!(envelope::read_status(&refused.payload).unwrap(), UBUS_STATUS_INVALID_ARGUMENT);
        assert!(session.input.capacity() <= 2 * MAX_FRAME_BYTES);
    }

    #[test]
    fn noise_never_panics() {
        use rand::{RngExt, SeedableRng};
        let seed = 20_260_823;
        println!("seed {seed}");
        let mut rng = rand::rngs::ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..2000 {
            let mut session = published();
            let mut bytes = invoke("history", 20);
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            _ = feed(&mut session, &bytes);
        }
    }
}
