//! The daemon's control socket: a Unix socket on which each client sends one line and receives one answer.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A listening socket that only its owner can connect to. Dropping this value removes the socket file.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// A connected client. No call blocks, because the same thread sends cells.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    request: [u8; REQUEST_BYTES],
    length: usize,
}

/// Maximum length of a request in bytes.
const REQUEST_BYTES: usize = 256;

impl ControlSocket {
    /// Listens at `path` and replaces a stale socket of a killed daemon. Fails with `AddrInUse` if a daemon listens
    /// there.
    pub fn listen(path: &Path) -> io::Result<ControlSocket> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon listens there"));
            }
            fs::remove_file(path)?;
        }
        // The umask gives the socket file its mode at creation, so no other user can connect before chmod.
        let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(path);
        nix::sys::stat::umask(old);
        let listener = bound?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(ControlSocket { listener, path: path.to_owned() })
    }

    /// The next waiting client, if any.
    pub fn accept(&self) -> io::Result<Option<Client>> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                Ok(Some(Client { stream, request: [0; REQUEST_BYTES], length: 0 }))
            }
            Err(error) if is_transient(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Client {
    /// The client's line, once it is complete; an error if the client hung up or the line is too long.
    pub fn request(&mut self) -> io::Result<Option<String>> {
        match self.stream.read(&mut self.request[self.length..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => self.length += more,
            Err(error) if is_transient(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let request = &self.request[..self.length];
        match request.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(Some(String::from_utf8_lossy(&request[..end]).trim().to_owned())),
            None if self.length == REQUEST_BYTES => Err(io::ErrorKind::InvalidData.into()),
            None => Ok(None),
        }
    }

    /// Sends the answer and closes the connection. An answer longer than the socket's buffer is truncated.
    pub fn answer(mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())
    }
}

/// Sends a request to the daemon at `path` and returns the complete answer. `read_timeout` limits the wait for each
/// part of the answer.
pub fn ask(path: &Path, request: &str, read_timeout: Duration) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(read_timeout))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::epoll::Poll;

    fn listen(name: &str) -> (ControlSocket, PathBuf) {
        let path = std::env::temp_dir().join(format!("millpond-{name}-{}", std::process::id()));
        (ControlSocket::listen(&path).unwrap(), path)
    }

    #[test]
    fn a_line_is_answered_and_the_file_is_private() {
        let (socket, path) = listen("answers");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let asking = std::thread::spawn({
            let path = path.clone();
            move || ask(&path, "status json", Duration::from_secs(20))
        });
        let mut poll = Poll::new().unwrap();
        poll.add(&socket, 0).unwrap();
        assert_eq!(poll.wait().unwrap().count(), 1);
        let mut client = socket.accept().unwrap().unwrap();
        poll.add(&client, 1).unwrap();
        let request = loop {
            assert_eq!(poll.wait().unwrap().count(), 1);
            if let Some(request) = client.request().unwrap() {
                break request;
            }
        };
        client.answer(&format!("answer to {request}")).unwrap();
        assert_eq!(asking.join().unwrap().unwrap(), "answer to status json");
        assert_eq!(ControlSocket::listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn silent_clients_and_overlong_requests_do_no_harm() {
        let (socket, path) = listen("overlong");
        let mut silent = UnixStream::connect(&path).unwrap();
        let mut client = socket.accept().unwrap().unwrap();
        assert!(client.request().unwrap().is_none());
        silent.write_all(&[b'x'; 300]).unwrap();
        assert_eq!(client.request().unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(silent);
        assert!(socket.accept().unwrap().is_none());
    }
}
