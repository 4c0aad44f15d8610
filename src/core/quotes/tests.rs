use rand::rngs::ChaCha12Rng;
use rand::{Rng, SeedableRng};

use super::hash::is_telling;
use super::*;

const CAMERA: DeviceId = DeviceId(3);
const CAMERA_ADDRESS: [u8; 4] = [192, 168, 1, 50];
const ROUTER: [u8; 4] = [192, 168, 1, 1];
const WAN: [u8; 4] = [198, 51, 100, 1];
const SERVER: [u8; 4] = [203, 0, 113, 80];
const START: Nanos = Nanos::from_secs(1_800_000_000);
const ICMP: u8 = 1;
const IGMP: u8 = 2;
const TCP: u8 = 6;
const UDP: u8 = 17;

fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, transport: &[u8]) -> Vec<u8> {
    let length = 20 + transport.len() as u16;
    let mut packet = vec![0x45, 0, (length >> 8) as u8, length as u8, 0, 0, 0x40, 0, 64, protocol, 0, 0];
    packet.extend([source, destination].concat());
    packet.extend(transport);
    packet
}

fn udp(ports: [u16; 2], content: &[u8]) -> Vec<u8> {
    let length = 8 + content.len() as u16;
    let words = [ports[0], ports[1], length, 0];
    words.into_iter().flat_map(u16::to_be_bytes).chain(content.iter().copied()).collect()
}

fn tcp(ports: [u16; 2], sequence: u32, content: &[u8]) -> Vec<u8> {
    let mut segment: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    segment.extend(content);
    segment
}

fn echo(kind: u8, number: [u8; 4], content: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0], &number[..], content].concat()
}

fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Bytes that look like ciphertext; the seed is printed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    println!("seed {seed}");
    let mut bytes = vec![0; length];
    ChaCha12Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn detector() -> QuoteDetector {
    let address = Identifier::Address(CAMERA_ADDRESS.into());
    QuoteDetector::new([(Identifier::Mac([0x18, 0xb4, 0x30, 0x26, 0x34, 0x40]), CAMERA), (address, CAMERA)])
}

/// What is found if the camera sends `sent`, and `left` leaves the router after `later`.
fn found(sent: &[u8], left: &[u8], later: Nanos) -> Option<(QuoteKind, String)> {
    let mut detector = detector();
    detector.note_confined(START, CAMERA, sent, true);
    let quote = detector.judge(START + later, left)?;
    assert_eq!(quote.device, CAMERA);
    Some((quote.kind, quote.service))
}

const SOON: Nanos = Nanos::from_millis(300);

#[test]
fn every_kind_of_quote_is_found() {
    let forged = [198, 51, 100, 99];
    let ping = ipv4(forged, ROUTER, ICMP, &echo(8, [1, 2, 0, 1], &[0; 40]));
    let secret = noise(1, 300);
    let post = ipv4(CAMERA_ADDRESS, SERVER, TCP, &tcp([40_000, 443], 7, &secret));
    let group = [239, 1, 2, 3];
    let join = ipv4(CAMERA_ADDRESS, group, IGMP, &[&[0x16, 0, 0, 0][..], &group].concat());
    let cases = [
        // The answer to a ping with a forged source, although its content is all zeros.
        (&ping, ipv4(ROUTER, forged, ICMP, &echo(0, [1, 2, 0, 1], &[0; 40])), QuoteKind::Answer, "ICMP"),
        // An ICMP error quotes the header and eight bytes; here not even from the camera's own address.
        (
            &ping,
            ipv4(WAN, forged, ICMP, &[&[3, 13, 0, 0, 0, 0, 0, 0], &ping[..28]].concat()),
            QuoteKind::Header,
            "ICMP",
        ),
        (
            &post,
            ipv4(WAN, SERVER, ICMP, &[&[3, 1, 0, 0, 0, 0, 0, 0], &post[..28]].concat()),
            QuoteKind::Address,
            "ICMP",
        ),
        // A reset towards a forged source.
        (
            &ipv4(forged, ROUTER, TCP, &tcp([5_555, 22], 9, &[])),
            ipv4(ROUTER, forged, TCP, &tcp([22, 5_555], 0, &[])),
            QuoteKind::Answer,
            "TCP port 5555",
        ),
        // Masqueraded onto the WAN, whatever the packet carries.
        (
            &ipv4(CAMERA_ADDRESS, SERVER, UDP, &udp([40_001, 32_100], &[0; 4])),
            ipv4(WAN, SERVER, UDP, &udp([40_001, 32_100], &[0; 4])),
            QuoteKind::Connection,
            "UDP port 32100",
        ),
        // A proxy: another connection, and the camera's bytes somewhere within.
        (
            &post,
            ipv4(WAN, [203, 0, 113, 81], TCP, &tcp([50_000, 8_443], 99, &[&[b'x'; 77][..], &secret[40..90]].concat())),
            QuoteKind::Content,
            "TCP port 8443",
        ),
        (
            &ipv4(CAMERA_ADDRESS, ROUTER, UDP, &udp([40_002, 53], &question("Cam.Example.COM"))),
            ipv4(WAN, [9, 9, 9, 9], UDP, &udp([33_333, 53], &question("cam.example.com"))),
            QuoteKind::Name,
            "UDP port 53",
        ),
        (&join, ipv4(WAN, group, IGMP, &[&[0x16, 0, 0, 0][..], &group].concat()), QuoteKind::Group, "IGMP"),
        // The third version's report carries the group in a record.
        (
            &join,
            ipv4(WAN, [224, 0, 0, 22], IGMP, &[&[0x22, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0][..], &group].concat()),
            QuoteKind::Group,
            "IGMP",
        ),
        (&post, ipv4(WAN, SERVER, TCP, &tcp([50_000, 443], 1, &[0; 20])), QuoteKind::Server, "TCP port 443"),
        // What a server sends to the camera, on its way back to the Internet.
        (&post, ipv4(SERVER, CAMERA_ADDRESS, UDP, &udp([443, 40_000], &[0; 20])), QuoteKind::Address, "UDP port 40000"),
        // A relay passes the Ethernet address on.
        (
            &post,
            ipv4(WAN, [192, 0, 2, 67], UDP, &udp([68, 67], b"..........\x18\xb4\x30\x26\x34\x40...")),
            QuoteKind::Address,
            "UDP port 67",
        ),
    ];
    for (sent, left, kind, service) in cases {
        assert_eq!(found(sent, &left, SOON), Some((kind, service.to_owned())), "{kind:?}: {left:02x?}");
    }
}

#[test]
fn a_quote_comes_within_a_second() {
    let secret = noise(2, 100);
    let sent = ipv4(CAMERA_ADDRESS, SERVER, TCP, &tcp([40_000, 443], 7, &secret));
    let left = ipv4(WAN, [203, 0, 113, 81], TCP, &tcp([50_000, 8_443], 99, &secret));
    assert!(found(&sent, &left, Nanos::from_millis(900)).is_some());
    assert_eq!(found(&sent, &left, Nanos::from_millis(1_200)), None);
}

#[test]
fn ipv6_is_read_behind_an_extension_header() {
    let address = |last: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let ipv6 = |from, to, next: u8, body: &[u8]| {
        let mut packet = vec![0x60, 0, 0, 0, 0, body.len() as u8, next, 64];
        packet.extend::<Vec<u8>>([address(from), to].concat());
        packet.extend(body);
        packet
    };
    let group = [0xff, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x34];
    let mut report = vec![58, 0, 5, 2, 0, 0, 0, 0, 143, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0];
    report.extend(group);
    let mut all_routers = [0; 16];
    (all_routers[0], all_routers[1], all_routers[15]) = (0xff, 2, 22);
    let quote = found(&ipv6(0x50, all_routers, 0, &report), &ipv6(1, all_routers, 0, &report), SOON);
    assert_eq!(quote, Some((QuoteKind::Group, "ICMPv6".to_owned())));
    // An error about a packet whose source is of a former prefix.
    let sent = ipv6(0x50, address(0x80), UDP, &udp([40_000, 443], &[0; 16]));
    let error = ipv6(1, address(0x50), 58, &[&[1, 5, 0, 0, 0, 0, 0, 0], &sent[..]].concat());
    assert_eq!(found(&sent, &error, SOON), Some((QuoteKind::Header, "ICMPv6".to_owned())));
}

/// A telephone that is left alone uses the camera's server, asks for its name, and joins its group.
#[test]
fn what_another_device_did_excuses_the_router() {
    let asks = |source, port| ipv4(source, [9, 9, 9, 9], UDP, &udp([port, 53], &question("pool.ntp.org")));
    let opens =
        |source, port| ipv4(source, SERVER, TCP, &tcp([port, 443], 5, b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"));
    let joins = |source| ipv4(source, [239, 9, 9, 9], IGMP, &[0x16, 0, 0, 0, 239, 9, 9, 9]);
    let telephone = [192, 168, 1, 60];
    let camera = [asks(CAMERA_ADDRESS, 40_000), opens(CAMERA_ADDRESS, 40_001), joins(CAMERA_ADDRESS)];
    let left = [asks(WAN, 41_000), opens(WAN, 41_001), joins(WAN)];
    for (sent, left, others) in [
        (&camera[0], &left[0], asks(telephone, 41_000)),
        (&camera[1], &left[1], opens(telephone, 41_001)),
        (&camera[2], &left[2], joins(telephone)),
    ] {
        assert!(found(sent, left, SOON).is_some(), "the control experiment shows nothing");
        let mut detector = detector();
        detector.note_other(&others);
        detector.note_confined(START, CAMERA, sent, true);
        assert_eq!(detector.judge(START + SOON, left), None);
        // The router itself did the same before the camera did.
        let mut detector = self::detector();
        assert_eq!(detector.judge(START, left), None);
        detector.note_confined(START + SOON, CAMERA, sent, true);
        assert_eq!(detector.judge(START + SOON, left), None);
    }
}

/// A thousand other traces come between the telephone's question and the router's.
#[test]
fn what_another_device_did_is_remembered_in_a_busy_home() {
    let asks = |source, name: &str| ipv4(source, [9, 9, 9, 9], UDP, &udp([40_000, 53], &question(name)));
    let mut detector = detector();
    let mut port = 1024;
    for number in 0..100u64 {
        let name = format!("host-{number}.example.com");
        let at = START + Nanos::from_secs(2 * number);
        detector.note_other(&asks([192, 168, 1, 60], &name));
        for _ in 0..500 {
            port = if port == u16::MAX { 1024 } else { port + 1 };
            detector.note_other(&ipv4([192, 168, 1, 61], SERVER, UDP, &udp([port, 8080], b"hello")));
        }
        detector.note_confined(at, CAMERA, &asks(CAMERA_ADDRESS, &name), true);
        assert_eq!(detector.judge(at + SOON, &asks(WAN, &name)), None, "{name}");
    }
}

#[test]
fn bytes_that_everybody_sends_are_no_quote() {
    let hello_table =
        b"\x13\x02\x13\x03\x13\x01\xc0\x2c\xc0\x30\xc0\x2b\xc0\x2f\xcc\xa9\xcc\xa8\xc0\x24\xc0\x28\xc0\x23\xc0\x27";
    let hello_end =
        b"\x00\x10\x00\x0e\x00\x0c\x02h2\x08http/1.1\x00\x0d\x00\x2a\x00\x28\x04\x03\x05\x03\x06\x03\x08\x07\x08\x08";
    let host = b"\x00\x00\x00\x18\x00\x16\x00\x00\x13clients3.google.com\x00\x05\x00\x05\x01\x00\x00\x00\x00";
    let ping: Vec<u8> = (0x10..0x38).collect();
    let common: [&[u8]; 7] = [
        &[0; 64],
        &ping,
        b"abcdefghijklmnopqrstuvwabcdefghi",
        b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept-Encoding: gzip, deflate\r\nConnection: close",
        hello_table,
        hello_end,
        host,
    ];
    for bytes in common {
        assert!(!bytes.windows(WINDOW).any(is_telling), "{bytes:02x?}");
        let sent = ipv4(CAMERA_ADDRESS, SERVER, TCP, &tcp([40_000, 443], 7, bytes));
        let left = ipv4(WAN, [203, 0, 113, 99], TCP, &tcp([50_000, 8_443], 9, bytes));
        assert_eq!(found(&sent, &left, SOON), None, "{bytes:02x?}");
    }
    let random = noise(3, 100_000);
    let telling = random.windows(WINDOW).filter(|window| is_telling(window)).count();
    assert!(telling > 95_000, "ciphertext is telling: {telling} of 100000");
    assert!(is_telling(b"d=7f3a9c0e41d258"), "and so is a serial number");
}

/// With `dns.mode` `router` the owner lets shaped devices use the router's resolver.
#[test]
fn names_count_only_where_they_must_not_leave() {
    let sent = ipv4(CAMERA_ADDRESS, ROUTER, UDP, &udp([40_002, 53], &question("a1b2c3d4e5f60718.example.com")));
    let left = ipv4(WAN, [9, 9, 9, 9], UDP, &udp([33_333, 53], &question("a1b2c3d4e5f60718.example.com")));
    let mut detector = detector();
    detector.note_confined(START, CAMERA, &sent, false);
    assert_eq!(detector.judge(START + SOON, &left), None);
    assert_eq!(found(&sent, &left, SOON).map(|(kind, _)| kind), Some(QuoteKind::Name));
}

/// Random packets, whole and cut anywhere: no panic, and no quote between strangers.
#[test]
fn hostile_and_truncated_packets_are_survived() {
    let noise = noise(4, 200_000);
    let mut detector = detector();
    for (index, bytes) in noise.chunks(97).enumerate() {
        let mut packet = bytes.to_vec();
        packet[0] = if index % 2 == 0 { 0x45 } else { 0x60 };
        packet[if index % 2 == 0 { 9 } else { 6 }] = [0, 1, 2, 6, 17, 43, 44, 58, 60][index % 9];
        for end in [packet.len(), index % packet.len()] {
            detector.note_confined(START, CAMERA, &packet[..end], true);
            detector.note_other(&packet[..end]);
        }
        let mut stranger = noise[index..index + 97].to_vec();
        stranger.reverse();
        stranger[0] = packet[0];
        (0..stranger.len()).for_each(|end| assert_eq!(detector.judge(START, &stranger[..end]), None, "{index}"));
    }
}

#[test]
fn kinds_have_distinct_names() {
    for kind in QuoteKind::ALL {
        assert_eq!(QuoteKind::from_name(kind.name()), Some(kind));
    }
    assert_eq!(QuoteKind::from_name("nothing"), None);
}

/// A header that claims to be shorter than any header leaves no trace, and is no reason to panic.
#[test]
fn an_ip_header_that_is_too_short_is_no_packet() {
    for words in 0..5 {
        let mut packet = ipv4(CAMERA_ADDRESS, SERVER, UDP, &udp([40_000, 443], &noise(5, 100)));
        packet[0] = 0x40 | words;
        let mut detector = QuoteDetector::new([]);
        detector.note_confined(START, CAMERA, &packet, true);
        detector.note_other(&packet);
        assert_eq!(detector.judge(START, &packet), None, "{words} words");
    }
}
