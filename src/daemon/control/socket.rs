//! Requests over the control socket.

use std::io::ErrorKind;
use std::path::Path;

use crate::daemon::control::request::{Request, line};
use crate::daemon::control::request_error::RequestError;
use crate::daemon::error::Error;
use crate::daemon::token::Token;
use crate::sys::epoll::Poll;
use crate::sys::unix_socket::{Client, ControlSocket};

/// Maximum clients at one time; further connections are closed.
const MAX_CLIENTS: usize = 4;

/// The control socket and its clients.
pub struct ControlServer {
    /// `None` if the socket could not be created.
    socket: Option<ControlSocket>,
    clients: [Option<Client>; MAX_CLIENTS],
}

impl ControlServer {
    /// Listens at `path`. If the socket cannot be created, returns the error and a server without a socket, since
    /// shaping does not need it. Fails if another daemon listens there.
    pub fn listen(path: &Path, poll: &Poll) -> Result<(ControlServer, Option<Error>), Error> {
        let listening = || Error::system(format!("listening at {}", path.display()));
        let (socket, error) = match ControlSocket::listen(path) {
            Ok(socket) => (Some(socket), None),
            Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(listening()(error)),
            Err(error) => (None, Some(listening()(error))),
        };
        socket.iter().try_for_each(|socket| poll.add(socket, Token::ControlSocket.into())).map_err(listening())?;
        Ok((ControlServer { socket, clients: [const { None }; MAX_CLIENTS] }, error))
    }

    /// Accepts a client that connects.
    pub fn accept(&mut self, poll: &Poll) {
        let Some(Ok(Some(client))) = self.socket.as_ref().map(ControlSocket::accept) else { return };
        // Without a free slot the client is dropped, which closes its connection.
        let Some(slot) = self.clients.iter().position(Option::is_none) else { return };
        if poll.add(&client, Token::Client(slot as u8).into()).is_ok() {
            self.clients[slot] = Some(client);
        }
    }

    /// Reads from the client of that number. Returns a complete request, or why it is refused, and the client to
    /// answer. A client that disconnects is dropped.
    pub fn read_request(&mut self, client: u8, poll: &Poll) -> Option<(Result<Request, RequestError>, Client)> {
        let slot = self.clients.get_mut(usize::from(client))?;
        let request = slot.as_mut()?.request();
        if matches!(request, Ok(None)) {
            return None;
        }
        let client = slot.take()?;
        _ = poll.remove(&client);
        Some((line::parse(&request.ok()??), client))
    }
}
