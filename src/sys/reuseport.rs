//! Which of several sockets on one port receives a datagram.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Offset of an IPv4 packet's source address.
const SOURCE_OFFSET: u32 = 12;

/// Makes each datagram that arrives at the sockets of `socket`'s port and interface go to the socket with the number
/// `source % count`, where `source` is the IPv4 source address as a number. Sockets are numbered in the order in which
/// they were bound, from 0. Needs no privilege, unlike a program for `SO_ATTACH_REUSEPORT_EBPF`.
pub fn by_source(socket: impl AsFd, count: u32) -> io::Result<()> {
    let instruction = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    // The filter sees the datagram's payload; SKF_NET_OFF reads from the start of the IP header.
    let program = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::SKF_NET_OFF as u32 + SOURCE_OFFSET),
        instruction(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, count.max(1)),
        instruction(libc::BPF_RET | libc::BPF_A, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the pointer and length describe `program`, whose own pointer and length describe the array; the kernel
    // copies both.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            std::ptr::from_ref(&program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::sys::udp::CellSocket;

    /// Datagrams from 127.0.0.10 and the following addresses reach the socket of their number.
    #[test]
    fn each_source_has_one_socket() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped each_source_has_one_socket: not root");
            return;
        }
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Of each pair one socket only sends, as with the cells' two bands.
        let sockets: Vec<CellSocket> = (0..6).map(|_| CellSocket::open("lo", port, 0).unwrap()).collect();
        by_source(&sockets[0], 3).unwrap();
        let mut buffer = [0; 16];
        for host in 10..40u8 {
            let sender = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, host), 0)).unwrap();
            sender.send_to(&[host], SocketAddrV4::new([127, 0, 0, 1].into(), port)).unwrap();
            let want = u32::from_be_bytes([127, 0, 0, host]) as usize % 3;
            let start = Instant::now();
            let received = loop {
                let received = sockets.iter().position(|socket| socket.receive(&mut buffer).unwrap().is_some());
                if received.is_some() || start.elapsed() > Duration::from_secs(5) {
                    break received;
                }
                sleep(Duration::from_millis(1));
            };
            assert_eq!(received, Some(want), "from 127.0.0.{host}");
            assert_eq!(buffer[0], host);
        }
    }
}
