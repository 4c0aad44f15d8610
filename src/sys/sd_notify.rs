//! What a service manager is told about us (sd_notify(3)): one datagram for each piece of news, to the socket that the
//! environment names. Where it names none, nobody wants to know.

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
    /// The one that started us.
    pub fn find() -> Manager {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| open(name.as_bytes()));
        Manager { socket, is_ready: false }
    }

    /// Tells it, once, that what waits for us may go on.
    pub fn tell_ready(&mut self) {
        if !std::mem::replace(&mut self.is_ready, true) {
            self.tell("READY=1");
        }
    }

    /// Tells it, unless it has no time to listen.
    pub fn tell(&self, news: &str) {
        if let Some((socket, address)) = &self.socket {
            _ = socket.send_to_addr(news.as_bytes(), address);
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
    fn news_arrive_under_both_kinds_of_name() {
        let folder = env::temp_dir().join(format!("millpond-notify-{}", std::process::id()));
        _ = std::fs::remove_file(&folder);
        let hidden = format!("millpond-notify-{}", std::process::id());
        let hidden_address = SocketAddr::from_abstract_name(&hidden).unwrap();
        for (listener, name) in [
            (UnixDatagram::bind(&folder).unwrap(), folder.to_str().unwrap().to_owned()),
            (UnixDatagram::bind_addr(&hidden_address).unwrap(), format!("@{hidden}")),
        ] {
            let mut manager = Manager { socket: open(name.as_bytes()), is_ready: false };
            manager.tell_ready();
            manager.tell_ready();
            manager.tell("STATUS=shaping");
            listener.set_nonblocking(true).unwrap();
            for news in ["READY=1", "STATUS=shaping"] {
                let mut bytes = [0; 16];
                let length = listener.recv(&mut bytes).unwrap();
                assert_eq!(&bytes[..length], news.as_bytes(), "{name}");
            }
        }
        std::fs::remove_file(&folder).unwrap();
        // Nobody there, and nowhere at all.
        Manager { socket: open(folder.to_str().unwrap().as_bytes()), is_ready: false }.tell_ready();
        assert!(open(b"relative").is_none() && open(b"").is_none());
    }
}
