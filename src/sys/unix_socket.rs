//! The control socket: one line in, one answer out.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A listening socket that only its owner can reach; the file goes when this does.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// The longest request, in bytes.
const REQUEST_BYTES: usize = 256;

/// How long a client may keep the daemon waiting.
const PATIENCE: Duration = Duration::from_millis(100);

impl ControlSocket {
    /// Listens at `path`, in place of a socket that a killed daemon left. Fails with `AddrInUse` if one answers there.
    pub fn listen(path: &Path) -> io::Result<ControlSocket> {
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            if UnixStream::connect(path).is_ok() {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers there"));
            }
            fs::remove_file(path)?;
        }
        // Until the mode is set nobody can have connected: what connects must find the mode of the file.
        let old = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(path);
        nix::sys::stat::umask(old);
        let listener = bound?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(ControlSocket { listener, path: path.to_owned() })
    }

    /// Answers every client that waits: reads its line, hands it to `answer`, writes what that returns. A client that
    /// is slow or breaks off is dropped.
    pub fn serve(&self, mut answer: impl FnMut(&str) -> String) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let _ = serve_one(stream, &mut answer);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn serve_one(mut stream: UnixStream, answer: &mut impl FnMut(&str) -> String) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = [0; REQUEST_BYTES];
    let mut length = 0;
    while length < request.len() && !request[..length].contains(&b'\n') {
        match stream.read(&mut request[length..])? {
            0 => break,
            more => length += more,
        }
    }
    let line = String::from_utf8_lossy(&request[..length]);
    stream.write_all(answer(line.lines().next().unwrap_or("").trim()).as_bytes())
}

/// Asks the daemon that listens at `path`, and gives its whole answer.
pub fn ask(path: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

impl AsFd for ControlSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
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

    #[test]
    fn a_line_is_answered_and_the_file_is_private() {
        let path = std::env::temp_dir().join(format!("millpond-control-{}", std::process::id()));
        let socket = ControlSocket::listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ControlSocket::listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let client = std::thread::spawn({
            let path = path.clone();
            move || ask(&path, "status")
        });
        let mut poll = crate::sys::epoll::Poll::new().unwrap();
        poll.add(&socket, 0).unwrap();
        let mut asked = Vec::new();
        while !asked.contains(&"status".to_owned()) {
            assert_eq!(poll.wait().unwrap().count(), 1);
            socket
                .serve(|line| {
                    asked.push(line.to_owned());
                    format!("answer to {line}")
                })
                .unwrap();
        }
        assert_eq!(client.join().unwrap().unwrap(), "answer to status");
        drop(socket);
        assert!(!path.exists());
    }
}
