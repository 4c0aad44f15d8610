//! Devices with many flows, and many devices.

use super::*;

/// Bytes that leave before the packet of a quiet device, which arrives while another device has `flows` flows. Each of
/// those has `waiting` packets, and new ones arrive all the time if they are `short`.
fn bytes_before_a_sparse_packet(flows: u32, waiting: usize, short: bool) -> usize {
    let mut line = Harness::new();
    for flow in 0..flows {
        line.push_many(waiting, 1, flow * 7, 100);
    }
    let mut worst = 0;
    for round in 0..200 {
        for new in 0..if short { flows / 4 + 1 } else { 1 } {
            line.push(1, (round + new) % flows * 7, 100);
        }
        let quiet = line.push(2, round * 11, 100);
        let before = std::iter::from_fn(|| line.leave().filter(|(id, _)| *id != quiet)).map(|(_, bytes)| bytes).sum();
        worst = worst.max(before);
        line.devices(3);
    }
    worst
}

/// However many flows one device has, and whether they last or come and go, they do not delay another device's packet.
#[test]
fn many_flows_of_one_device_do_not_delay_a_sparse_packet_of_another() {
    for (waiting, short) in [(30, false), (3, true)] {
        let [one, many] =
            [1, 400].map(|flows| bytes_before_a_sparse_packet(flows, waiting * 400 / flows as usize, short));
        println!("short {short}: {one} bytes beside one flow, {many} beside 400");
        assert!(many <= one.max(QUANTUM_BYTES as usize), "short {short}: {many} bytes instead of {one}");
    }
}

/// Thousands of devices share equally, and a packet of one that was quiet still goes first.
#[test]
fn ten_thousand_devices_share_equally() {
    let mut line = Harness::new();
    line.queue = FairQueue::new(AGE, 20_000);
    let devices = 10_000;
    for device in 1..=devices {
        line.push_many(2, device, device.into(), 128);
    }
    let mut sent = vec![0; usize::from(devices) + 1];
    for _ in 0..devices {
        let (id, bytes) = line.leave().expect("a packet waits");
        sent[usize::from(line.device(id))] += bytes;
    }
    assert!(sent[1..].iter().all(|bytes| *bytes <= 256), "nobody gets more than a quantum");
    let quiet = line.push(devices + 1, 0, 100);
    let mut before = 0;
    while line.leave().expect("a packet waits").0 != quiet {
        before += 1;
    }
    assert!(before <= devices, "only devices that were new, too, go before it: {before}");
}

/// A full queue finds the device with most bytes among thousands without a look at each of them.
#[test]
fn the_heaviest_of_many_devices_loses_packets() {
    let mut line = Harness::new();
    line.queue = FairQueue::new(AGE, 20_000);
    for device in 1..=5_000 {
        line.push(device, 0, 100);
    }
    let heavy = line.push_many(50, 6_000, 0, 100);
    line.store.max_bytes = line.store.bytes;
    for new in 0..40 {
        assert!(line.make_room(100));
        line.push(7_000 + new, 0, 100);
    }
    assert_eq!(heavy.iter().filter(|id| line.store.holds(**id)).count(), 10, "only its packets went");
}

/// With more busy flows than there is memory for, flows share, and no packet is lost.
#[test]
fn a_table_that_is_full_shares_flows() {
    let mut line = Harness::new();
    line.queue = FairQueue::new(AGE, 16);
    let sent: usize = (1..=100).map(|device| line.push_many(2, device, device.into(), 100).len()).sum();
    assert_eq!(line.drain().len(), sent);
    assert!(line.queue.is_empty());
    let quiet = line.push(200, 0, 100);
    assert_eq!(line.leave(), Some((quiet, 100)), "flows are free again");
}
