//! Captures packets on interfaces: a packet socket (packet(7)) with a kernel filter and kernel time stamps.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{self, ControlMessageOwned, LinkAddr, MsgFlags, sockopt};
use nix::sys::time::TimeSpec;

/// Number of bytes captured of each packet, enough for every header that is read.
pub const HEAD_BYTES: usize = 96;

/// The layer at which a captured packet starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The Ethernet header.
    Link,
    /// The IP header, whatever the interface's link layer.
    Network,
}

/// A condition of a filter rule: some bytes of the packet, masked, equal a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Offset in bytes, or [`MARK`].
    pub at: u32,
    /// 1, 2 or 4 bytes, big-endian.
    pub size: u8,
    /// The bits to compare.
    pub mask: u32,
    /// The value of those bits.
    pub value: u32,
}

/// In place of an offset, the packet's mark (linux/filter.h, `SKF_AD_MARK`).
pub const MARK: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_MARK) as u32;
/// In place of an offset, the index of the interface.
pub const INTERFACE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_IFINDEX) as u32;
/// In place of an offset, the packet's type, such as [`TO_HOST`] (linux/if_packet.h).
pub const TYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
/// In place of an offset, a random number.
pub const RANDOM: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;

/// [`TYPE`] of packets to this host's link address; that of broadcast has bit 0 set.
pub const TO_HOST: u32 = libc::PACKET_HOST as u32;
/// [`TYPE`] of packets to a group.
pub const TO_GROUP: u32 = libc::PACKET_MULTICAST as u32;
/// [`TYPE`] of packets that this host sends.
pub const OUTGOING: u32 = libc::PACKET_OUTGOING as u32;

/// A rule of a filter: the packets that match all of its tests are captured, or never are. The first rule that matches
/// decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterRule {
    /// The tests.
    pub tests: Vec<Test>,
    /// Whether to capture the packets.
    pub captures: bool,
}

/// A packet capture. It receives packets that match all tests of at least one rule.
#[derive(Debug)]
pub struct Capture {
    socket: OwnedFd,
    control: Vec<u8>,
}

/// A captured packet.
#[derive(Clone, Copy, Debug)]
pub struct CapturedPacket {
    /// Time of capture in Unix time, by the wall clock.
    pub at: Duration,
    /// Index of the interface.
    pub interface: u32,
    /// Whether the host sent the packet on that interface.
    pub outgoing: bool,
    /// The link address of the sender; zeros on a link without addresses.
    pub sender: [u8; 6],
    /// The packet's length in bytes, from the capture's layer on.
    pub length: usize,
    /// Number of the packet's bytes in the buffer.
    pub head: usize,
}

impl Capture {
    /// Starts a capture on one interface, or on all for index 0. A rule that reads beyond a packet's end does not match
    /// it.
    pub fn open(interface: u32, layer: Layer, rules: &[Vec<Test>]) -> io::Result<Capture> {
        let rules: Vec<_> = rules.iter().map(|tests| FilterRule { tests: tests.clone(), captures: true }).collect();
        Capture::with_filter(interface, layer, &rules)
    }

    /// As [`Capture::open`], with rules that may also exclude packets.
    pub fn with_filter(interface: u32, layer: Layer, rules: &[FilterRule]) -> io::Result<Capture> {
        let kind = match layer {
            Layer::Link => libc::SOCK_RAW,
            Layer::Network => libc::SOCK_DGRAM,
        };
        let flags = kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // Protocol 0: no packet arrives before the filter is attached.
        // SAFETY: socket takes no pointer, and nothing else owns the descriptor that it returns.
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

    /// Receives the next packet, if one is waiting. Its first bytes go into `head`.
    pub fn receive(&mut self, head: &mut [u8]) -> io::Result<Option<CapturedPacket>> {
        let room = head.len();
        let mut buffers = [IoSliceMut::new(head)];
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
        let sender = received.address.and_then(|from| from.addr());
        Ok(Some(CapturedPacket {
            at: at.unwrap_or_else(super::timer::wall_clock),
            interface,
            outgoing: kind == libc::PACKET_OUTGOING,
            sender: sender.unwrap_or_default(),
            length: received.bytes,
            head: received.bytes.min(room),
        }))
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The index of an interface.
pub fn interface_index(name: &str) -> io::Result<u32> {
    Ok(nix::net::if_::if_nametoindex(name)?)
}

/// The interfaces of the default routes of both families.
pub fn wan_interfaces() -> Vec<String> {
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

/// The Ethernet interfaces with an IPv4 address and no default route: on a router, the home's networks.
pub fn lan_interfaces() -> io::Result<Vec<u32>> {
    let wan = wan_interfaces();
    let mut lan = Vec::new();
    for entry in nix::ifaddrs::getifaddrs()? {
        let name = entry.interface_name;
        let is_v4 = entry.address.as_ref().is_some_and(|address| address.as_sockaddr_in().is_some());
        if is_v4 && !wan.contains(&name) && is_ethernet(&name) {
            lan.extend(interface_index(&name).ok());
        }
    }
    Ok(lan)
}

fn is_ethernet(name: &str) -> bool {
    let kind = std::fs::read_to_string(format!("/sys/class/net/{name}/type"));
    kind.is_ok_and(|kind| kind.trim() == libc::ARPHRD_ETHER.to_string())
}

/// A classic BPF program that accepts what the first matching rule captures (Documentation/networking/filter.rst).
fn program(rules: &[FilterRule]) -> Vec<libc::sock_filter> {
    let op = |code: u32, k: u32, jf: usize| libc::sock_filter { code: code as u16, jt: 0, jf: jf as u8, k };
    let mut code = Vec::new();
    for rule in rules {
        // Load, mask and compare for each test, then return; a failed test jumps to the next rule.
        let mut to_next_rule = 3 * rule.tests.len() + 1;
        for test in &rule.tests {
            let size = match test.size {
                1 => libc::BPF_B,
                2 => libc::BPF_H,
                _ => libc::BPF_W,
            };
            to_next_rule -= 3;
            code.push(op(libc::BPF_LD | size | libc::BPF_ABS, test.at, 0));
            code.push(op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, test.mask, 0));
            code.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, test.value, to_next_rule));
        }
        code.push(op(libc::BPF_RET | libc::BPF_K, if rule.captures { u32::MAX } else { 0 }, 0));
    }
    code.push(op(libc::BPF_RET | libc::BPF_K, 0, 0));
    code
}

fn attach(socket: &OwnedFd, program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    // SAFETY: the pointer and length describe `program`, whose own pointer and length describe the slice; the kernel
    // copies both.
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

    fn capturing(rules: &[Vec<Test>]) -> Vec<libc::sock_filter> {
        let rules: Vec<_> = rules.iter().map(|tests| FilterRule { tests: tests.clone(), captures: true }).collect();
        program(&rules)
    }

    /// Interprets a program as the kernel does, for the few instructions in use.
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
    fn a_rule_matches_if_all_its_tests_do() {
        let code = capturing(&[vec![test(0, 1, 7), test(2, 2, 0x0102)], vec![test(1, 1, 9)]]);
        assert!(run(&code, &[7, 0, 1, 2]) && run(&code, &[0, 9, 0, 0]));
        assert!(!run(&code, &[7, 0, 1, 3]) && !run(&code, &[8, 0, 1, 2]));
        let masked = capturing(&[vec![Test { at: 0, size: 1, mask: 0xf0, value: 0x40 }]]);
        assert!(run(&masked, &[0x45]) && !run(&masked, &[0x65]));
        assert!(run(&capturing(&[vec![]]), &[]) && !run(&capturing(&[]), &[1]));
        let rule = |at, captures| FilterRule { tests: vec![test(at, 1, 7)], captures };
        let excluding = program(&[rule(0, false), rule(1, true)]);
        assert!(run(&excluding, &[0, 7]) && !run(&excluding, &[7, 7]) && !run(&excluding, &[0, 0]));
    }

    #[test]
    fn a_packet_is_captured_with_its_time_and_length() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped a_packet_is_captured_with_its_time_and_length: not root");
            return;
        }
        let receiver = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = receiver.local_addr().unwrap().port();
        // The destination port after an IPv4 header without options.
        let rule = vec![test(22, 2, u32::from(port))];
        let mut capture = Capture::open(interface_index("lo").unwrap(), Layer::Network, &[rule]).unwrap();
        let before = crate::sys::timer::wall_clock();
        receiver.send_to(&[7; 300], receiver.local_addr().unwrap()).unwrap();
        let mut head = [0; HEAD_BYTES];
        let captured = (0..100)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                capture.receive(&mut head).unwrap()
            })
            .expect("the packet");
        assert_eq!((captured.length, captured.head, head[28]), (328, HEAD_BYTES, 7));
        assert!(
            captured.at >= before.saturating_sub(Duration::from_secs(1))
                && captured.at <= before + Duration::from_secs(60)
        );
    }
}
