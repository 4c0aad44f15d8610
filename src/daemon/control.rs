//! Requests over the control socket.

use std::io::ErrorKind;
use std::path::Path;

use super::error::Error;
use super::request::{Format, Request};
use crate::sys::epoll::Poll;
use crate::sys::unix_socket::{Client, ControlSocket};

/// Clients beyond this must wait for one of these to be served.
const MAX_CLIENTS: usize = 4;

/// How an answer begins that says why something was not done.
pub const REFUSED: &str = "refused: ";

/// The socket and those who have connected.
pub struct ControlServer {
    /// `None` where there is no place for one.
    socket: Option<ControlSocket>,
    clients: [Option<Client>; MAX_CLIENTS],
    first_token: u64,
}

impl ControlServer {
    /// Listens at `path`. Uses the tokens from `first_token` on: one for the socket, then one for each client. Where that
    /// cannot be, gives why, and one that nobody can reach: the devices need none. Fails if another daemon listens there.
    pub fn listen(path: &Path, poll: &Poll, first_token: u64) -> Result<(ControlServer, Option<Error>), Error> {
        let listening = || Error::system(format!("listening at {}", path.display()));
        let (socket, trouble) = match ControlSocket::listen(path) {
            Ok(socket) => (Some(socket), None),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(listening()(error)),
            Err(error) => (None, Some(listening()(error))),
        };
        socket.iter().try_for_each(|socket| poll.add(socket, first_token)).map_err(listening())?;
        Ok((ControlServer { socket, clients: [const { None }; MAX_CLIENTS], first_token }, trouble))
    }

    /// Handles an event of one of this one's tokens: gives a request that has come whole, `None` for one that is
    /// unknown, and its client to be answered. A client that breaks off is forgotten.
    pub fn handle(&mut self, token: u64, poll: &Poll) -> Option<(Option<Request>, Client)> {
        match (token - self.first_token).checked_sub(1) {
            None => {
                self.accept(poll);
                None
            }
            Some(place) => self.read_request(place as usize, poll),
        }
    }

    fn accept(&mut self, poll: &Poll) {
        let Some(Ok(Some(client))) = self.socket.as_ref().map(ControlSocket::accept) else { return };
        // Without a place the client is dropped and sees the connection end.
        let Some(place) = self.clients.iter().position(Option::is_none) else { return };
        if poll.add(&client, self.first_token + 1 + place as u64).is_ok() {
            self.clients[place] = Some(client);
        }
    }

    fn read_request(&mut self, place: usize, poll: &Poll) -> Option<(Option<Request>, Client)> {
        let slot = self.clients.get_mut(place)?;
        let request = slot.as_mut()?.request();
        if matches!(request, Ok(None)) {
            return None;
        }
        let client = slot.take()?;
        _ = poll.remove(&client);
        Some((parse(&request.ok()??), client))
    }
}

fn parse(line: &str) -> Option<Request> {
    Some(match line {
        "status" => Request::Status(Format::Text),
        "status json" => Request::Status(Format::Json),
        "devices" => Request::Devices(Format::Text),
        "devices json" => Request::Devices(Format::Json),
        "advise" => Request::Advise(Format::Text),
        "advise json" => Request::Advise(Format::Json),
        "reload" => Request::Reload,
        "renew" => Request::Renew,
        _ if line.starts_with("audit ") => {
            let (format, packets) = match line.strip_prefix("audit json ") {
                Some(packets) => (Format::Json, packets),
                None => (Format::Text, &line["audit ".len()..]),
            };
            Request::Audit { packets: packets.trim().parse().ok()?, format, waiting: true }
        }
        #[cfg(feature = "endpoint")]
        "metrics" => Request::Metrics { home: None },
        #[cfg(feature = "endpoint")]
        line if line.starts_with("metrics ") => Request::Metrics { home: Some(line[8..].trim().parse().ok()?) },
        _ => Request::History { seconds: line.strip_prefix("history ")?.trim().parse().ok()? },
    })
}
