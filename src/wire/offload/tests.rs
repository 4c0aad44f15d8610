use super::*;

/// A header as the kernel writes it: flags, type, header length (a hint), segment size, start and offset of the
/// checksum.
fn header(flags: u8, kind: u8, segment_bytes: u16, start: u16, offset: u16) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    (header[0], header[1]) = (flags, kind);
    for (at, number) in [(2, 60_000), (4, segment_bytes), (6, start), (8, offset)] {
        header[at..at + 2].copy_from_slice(&number.to_ne_bytes());
    }
    header
}

/// Whether the checksum over the pseudo header and all after the IP header is right.
fn has_transport_checksum(packet: &[u8]) -> bool {
    let (addresses, start, protocol) =
        if packet[0] >> 4 == 4 { (&packet[12..20], 20, packet[9]) } else { (&packet[8..40], 40, packet[6]) };
    fold(sum(sum(u64::from(protocol) + (packet.len() - start) as u64, addresses), &packet[start..])) == 0xffff
}

/// A TCP packet with `payload` bytes; its checksum field is that of the pseudo header, as the kernel leaves it.
fn tcp(is_v4: bool, flags: u8, payload: usize) -> Vec<u8> {
    let mut packet = if is_v4 {
        vec![0x45, 0x08, 0, 0, 0xff, 0xfe, 0x40, 0, 64, 6, 0, 0, 192, 168, 1, 7, 9, 9, 9, 9]
    } else {
        [&[0x60, 0, 0, 0, 0, 0, 6, 64][..], &[0xfd; 16], &[0x20; 16]].concat()
    };
    let ip_bytes = packet.len();
    packet.extend([0x1f, 0x90, 0, 80, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 9, 0x80, flags, 1, 0, 0, 0, 0, 0]);
    packet.extend([1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8]);
    packet.extend((0..payload).map(|byte| (byte * 7 + byte / 251) as u8));
    let total = packet.len();
    if is_v4 {
        packet[2..4].copy_from_slice(&(total as u16).to_be_bytes());
    } else {
        packet[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
    }
    let addresses = if is_v4 { packet[12..20].to_vec() } else { packet[8..40].to_vec() };
    let pseudo = fold(sum(6 + (total - ip_bytes) as u64, &addresses));
    packet[ip_bytes + 16..ip_bytes + 18].copy_from_slice(&pseudo.to_be_bytes());
    packet
}

fn completed(header: [u8; HEADER_BYTES], packet: &mut [u8]) -> (bool, Vec<Vec<u8>>) {
    let (mut scratch, mut out) = ([0xaa; 1500], Vec::new());
    let is_understood = Offload::parse(&header).complete(packet, &mut scratch, |packet| out.push(packet.to_vec()));
    (is_understood, out)
}

#[test]
fn a_complete_packet_stays_as_it_is() {
    let mut packet = tcp(true, 0x10, 5);
    let before = packet.clone();
    assert!(
        Offload::parse(&header(0, 0, 0, 0, 0)).is_complete() && Offload::parse(&header(2, 0, 0, 0, 0)).is_complete()
    );
    assert_eq!(completed(header(0, 0, 0, 0, 0), &mut packet), (true, vec![before]));
}

#[test]
fn a_missing_checksum_is_computed() {
    for (is_v4, start) in [(true, 20), (false, 40)] {
        for payload in [0, 1, 2, 3, 997] {
            let mut packet = tcp(is_v4, 0x10, payload);
            assert!(!has_transport_checksum(&packet));
            let (is_understood, out) = completed(header(1, 0, 0, start, 16), &mut packet);
            assert!(is_understood && out.len() == 1 && has_transport_checksum(&out[0]), "{is_v4} {payload}");
        }
    }
}

#[test]
fn segments_are_those_that_the_sender_would_have_sent() {
    for (is_v4, kind, start) in [(true, 1, 20), (false, 4, 40), (true, 0x81, 20)] {
        // FIN, PSH, ACK, CWR.
        let whole = tcp(is_v4, 0x99, 3_000);
        let (is_understood, out) = completed(header(1, kind, 1_400, start, 16), &mut whole.clone());
        assert!(is_understood);
        let header_bytes = usize::from(start) + 32;
        let sizes: Vec<_> = out.iter().map(|packet| packet.len() - header_bytes).collect();
        assert_eq!(sizes, [1_400, 1_400, 200]);
        let payload: Vec<u8> = out.iter().flat_map(|packet| packet[header_bytes..].to_vec()).collect();
        assert_eq!(payload, whole[header_bytes..]);
        let tcp = |packet: &[u8]| packet[usize::from(start)..].to_vec();
        let flags: Vec<_> = out.iter().map(|packet| tcp(packet)[13]).collect();
        assert_eq!(flags, [0x90, 0x10, 0x19], "CWR with the first, FIN and PSH with the last");
        let sequence = |packet: &Vec<u8>| u32::from_be_bytes(tcp(packet)[4..8].try_into().unwrap());
        assert_eq!(out.iter().map(sequence).collect::<Vec<_>>(), [0xffff_fff0, 1_384, 2_784]);
        for packet in &out {
            assert!(ip::Packet::parse(packet).is_ok() && has_transport_checksum(packet));
            assert!(!is_v4 || fold(sum(0, &packet[..20])) == 0xffff, "the checksum of the IP header");
        }
        if is_v4 {
            let ids: Vec<_> = out.iter().map(|packet| u16::from_be_bytes([packet[4], packet[5]])).collect();
            assert_eq!(ids, [0xfffe, 0xffff, 0]);
        }
    }
}

#[test]
fn what_does_not_fit_together_gives_nothing() {
    let mut packet = tcp(true, 0x10, 3_000);
    for bad in [
        header(1, 1, 0, 20, 16),
        header(1, 1, 1_480, 20, 16),
        header(1, 4, 1_400, 20, 16),
        header(1, 3, 1_400, 20, 16),
        header(1, 0, 0, 5_000, 16),
        header(1, 0, 0, 20, 60_000),
    ] {
        assert!(!completed(bad, &mut packet.clone()).0, "{bad:?}");
    }
    packet[32] = 0x40;
    assert_eq!(completed(header(1, 1, 1_400, 20, 16), &mut packet), (false, vec![]), "a TCP header of 16 bytes");
    for length in 0..=52 {
        assert_eq!(
            completed(header(1, 1, 1_400, 20, 16), &mut tcp(true, 0x10, 3_000)[..length]).1,
            Vec::<Vec<u8>>::new()
        );
    }
}
