//! Notifies the service manager (sd_notify(3)): one datagram for each message, to the socket in `NOTIFY_SOCKET`.
//! Without that variable no message is sent.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager, if there is one.
#[derive(Debug)]
pub struct Manager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    is_ready: bool,
}

impl Manager {
    /// The service manager named in the environment.
    pub fn find() -> Manager {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| open(name.as_bytes()));
        Manager { socket, is_ready: false }
    }

    /// Sends READY=1, on the first call only.
    pub fn notify_ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.notify("READY=1");
        }
    }

    /// Sends a message; drops it if the socket's buffer is full.
    pub fn notify(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }
}

fn open(name: &[u8]) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match name {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
        _ => return None,
    };
    let socket = UnixDatagram::unbound().ok()?;
    socket.set_nonblocking(true).ok()?;
    Some((socket, address.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_reach_pathname_and_abstract_sockets() {
        let path = env::temp_dir().join(format!("millpond-notify-{}", std::process::id()));
        _ = std::fs::remove_file(&path);
        let name = format!("millpond-notify-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (listener, name) in [
            (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}")),
        ] {
            let mut manager = Manager { socket: open(name.as_bytes()), is_ready: false };
            manager.notify_ready();
            manager.notify_ready();
            manager.notify("STATUS=shaping");
            listener.set_nonblocking(true).unwrap();
            for message in ["READY=1", "STATUS=shaping"] {
                let mut bytes = [0; 16];
                let length = listener.recv(&mut bytes).unwrap();
                assert_eq!(&bytes[..length], message.as_bytes(), "{name}");
            }
        }
        std::fs::remove_file(&path).unwrap();
        // No listener at the path, and invalid names.
        Manager { socket: open(path.to_str().unwrap().as_bytes()), is_ready: false }.notify_ready();
        assert!(open(b"relative").is_none() && open(b"").is_none());
    }
}
