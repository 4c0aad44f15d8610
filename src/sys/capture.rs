//! Packets as they pass by interfaces: a packet socket (packet(7)) with a filter and time stamps of the kernel's.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{self, ControlMessageOwned, LinkAddr, MsgFlags, sockopt};
use nix::sys::time::TimeSpec;

/// The bytes of a packet that are looked at: every header that matters.
pub const HEAD_BYTES: usize = 96;

/// Where a packet's bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// With the Ethernet header.
    Link,
    /// With the IP header, whatever the interface's own is.
    Network,
}

/// What a packet has to have somewhere for a rule to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Offset in bytes, or [`MARK`].
    pub at: u32,
    /// 1, 2 or 4 bytes, big-endian.
    pub size: u8,
    /// Which of their bits matter.
    pub mask: u32,
    /// What those have to be.
    pub value: u32,
}

/// In place of an offset: the packet's mark (linux/filter.h, `SKF_AD_MARK`).
pub const MARK: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_MARK) as u32;

/// The packets for which all tests of one of some rules hold.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    control: Vec<u8>,
}

/// A packet that passed.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// When, by the wall clock, since 1970.
    pub at: Duration,
    /// By which interface.
    pub interface: u32,
    /// Whether it left by it.
    pub outgoing: bool,
    /// Its length in bytes, from the capture's layer on.
    pub length: usize,
    /// How many of its bytes are in the buffer.
    pub head: usize,
}

impl Capture {
    /// Begins on one interface, or on all for 0. A load beyond a packet's end makes it pass by unseen.
    pub fn open(interface: u32, layer: Layer, rules: &[Vec<Test>]) -> io::Result<Capture> {
        let kind = match layer {
            Layer::Link => libc::SOCK_RAW,
            Layer::Network => libc::SOCK_DGRAM,
        };
        let flags = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0: nothing comes before the filter stands.
        // SAFETY: socket takes no pointer, and nobody else knows the descriptor that it gives.
        let socket = unsafe {
            let raw = libc::socket(libc::AF_PACKET, flags, 0);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            std::os::fd::FromRawFd::from_raw_fd(raw)
        };
        attach(&socket, &program(rules))?;
        socket::setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        bind(&socket, interface)?;
        Ok(Capture { socket, control: cmsg_space!(TimeSpec) })
    }

    /// The next packet, if one has passed. Its first bytes go into `head`.
    pub fn receive(&mut self, head: &mut [u8; HEAD_BYTES]) -> io::Result<Option<Passed>> {
        let mut buffers = [IoSliceMut::new(&mut head[..])];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
        let fd = self.socket.as_raw_fd();
        let received = match socket::recvmsg::<LinkAddr>(fd, &mut buffers, Some(&mut self.control), flags) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            received => received?,
        };
        let mut at = None;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmTimestampns(time) = message {
                at = Some(Duration::from(time));
            }
        }
        let (interface, kind) = received.address.map_or((0, 0), |from| (from.ifindex() as u32, from.pkttype()));
        Ok(Some(Passed {
            at: at.unwrap_or_else(super::timer::wall_clock),
            interface,
            outgoing: kind == libc::PACKET_OUTGOING,
            length: received.bytes,
            head: received.bytes.min(HEAD_BYTES),
        }))
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The index of an interface by its name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// The interfaces that a default route of either family leaves by.
pub fn outer_interfaces() -> Vec<String> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (read("/proc/net/route"), read("/proc/net/ipv6_route"));
    let mut names = Vec::new();
    for line in v4.lines().chain(v6.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [destination, "00", .., "lo"] if destination.len() == 32 => {}
            [destination, "00", .., name] if destination.len() == 32 && destination.bytes().all(|b| b == b'0') => {
                names.push(name.to_owned());
            }
            [name, "00000000", ..] => names.push(name.to_owned()),
            _ => {}
        }
    }
    names
}

/// The Ethernet interfaces with an IPv4 address but for those that a default route leaves by: on a router, the home's.
pub fn home_interfaces() -> io::Result<Vec<u32>> {
    let outer = outer_interfaces();
    let mut home = Vec::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let name = entry.interface_name;
        let is_v4 = entry.address.as_ref().is_some_and(|address| address.as_sockaddr_in().is_some());
        if is_v4 && !outer.contains(&name) && is_ethernet(&name) {
            home.extend(interface_index(&name).ok());
        }
    }
    Ok(home)
}

fn is_ethernet(name: &str) -> bool {
    let kind = std::fs::read_to_string(format!("/sys/class/net/{name}/type"));
    kind.is_ok_and(|kind| kind.trim() == libc::ARPHRD_ETHER.to_string())
}

/// The classic BPF program that accepts what one of the rules accepts (Documentation/networking/filter.rst).
fn program(rules: &[Vec<Test>]) -> Vec<libc::sock_filter> {
    let op = |code: u32, k: u32, jf: usize| libc::sock_filter { code: code as u16, jt: 0, jf: jf as u8, k };
    let mut code = Vec::new();
    for rule in rules {
        // Load, mask and compare for each test, then the return: what fails jumps behind that.
        let mut left = 3 * rule.len() + 1;
        for test in rule {
            let size = match test.size {
                1 => libc::BPF_B,
                2 => libc::BPF_H,
                _ => libc::BPF_W,
            };
            left -= 3;
            code.push(op(libc::BPF_LD | size | libc::BPF_ABS, test.at, 0));
            code.push(op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, test.mask, 0));
            code.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, test.value, left));
        }
        code.push(op(libc::BPF_RET | libc::BPF_K, u32::MAX, 0));
    }
    code.push(op(libc::BPF_RET | libc::BPF_K, 0, 0));
    code
}

fn attach(socket: &OwnedFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the pointer and length describe `program`, whose own describe the slice; the kernel copies both.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn bind(socket: &OwnedFd, interface: u32) -> io::Result<()> {
    // SAFETY: a sockaddr_ll is plain old data, for which zeros are valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = interface as libc::c_int;
    // SAFETY: the pointer and length describe `address`, which lives through the call.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            std::ptr::from_ref(&address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(at: u32, size: u8, value: u32) -> Test {
        Test { at, size, mask: u32::MAX, value }
    }

    /// What the kernel does with a program of these few instructions.
    fn run(code: &[libc::sock_filter], packet: &[u8]) -> bool {
        let (mut at, mut a) = (0, 0u32);
        loop {
            let op = code[at];
            at += 1;
            match u32::from(op.code) & 7 {
                libc::BPF_LD => {
                    let size = [4, 2, 1][usize::from(op.code >> 3 & 3)];
                    let Some(bytes) = packet.get(op.k as usize..op.k as usize + size) else { return false };
                    a = bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
                }
                libc::BPF_ALU => a &= op.k,
                libc::BPF_JMP => at += usize::from(if a == op.k { op.jt } else { op.jf }),
                _ => return op.k > 0,
            }
        }
    }

    #[test]
    fn a_packet_passes_if_all_tests_of_a_rule_hold() {
        let code = program(&[vec![test(0, 1, 7), test(2, 2, 0x0102)], vec![test(1, 1, 9)]]);
        assert!(run(&code, &[7, 0, 1, 2]) && run(&code, &[0, 9, 0, 0]));
        assert!(!run(&code, &[7, 0, 1, 3]) && !run(&code, &[8, 0, 1, 2]));
        let masked = program(&[vec![Test { at: 0, size: 1, mask: 0xf0, value: 0x40 }]]);
        assert!(run(&masked, &[0x45]) && !run(&masked, &[0x65]));
        assert!(run(&program(&[vec![]]), &[]) && !run(&program(&[]), &[1]));
    }

    #[test]
    fn a_packet_passes_with_its_time_and_length() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped a_packet_passes_with_its_time_and_length: not root");
            return;
        }
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        // Of IPv4 without options, the destination's port.
        let rule = vec![test(22, 2, u32::from(port))];
        let mut capture = Capture::open(interface_index("lo").unwrap(), Layer::Network, &[rule]).unwrap();
        let before = crate::sys::timer::wall_clock();
        receiver.send_to(&[7; 300], receiver.local_addr().unwrap()).unwrap();
        let mut head = [0; HEAD_BYTES];
        let passed = (0..100)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                capture.receive(&mut head).unwrap()
            })
            .expect("the packet");
        assert_eq!((passed.length, passed.head, head[28]), (328, HEAD_BYTES, 7));
        assert!(
            passed.at >= before.saturating_sub(Duration::from_secs(1)) && passed.at <= before + Duration::from_secs(60)
        );
    }
}
