use super::*;
use crate::config;
use crate::daemon::control::encode;

const SETTINGS: &str = "
config millpond 'main'
	option enabled '0'
config device
	option name 'Door camera'
	option mac '18:b4:30:26:34:40'
config device
	option name 'Plug'
	option address '192.168.1.30'
	option policy 'block'
config device
	option name 'In the drawer'
	option mac '00:16:6c:ab:6b:88'
	option policy 'direct'
config network
	option name 'iot'
	option device 'eth0.3'
";

fn settings() -> Settings {
    config::parse(SETTINGS.as_bytes()).settings.expect("good settings")
}

fn neighbour(mac: [u8; 6], address: &str, interface: &str, age: u64) -> LanNeighbour {
    let (address, interface) = (address.parse().unwrap(), interface.to_owned());
    LanNeighbour { neighbour: Neighbour { mac: Mac(mac), address }, interface, age: Duration::from_secs(age) }
}

const CAMERA: [u8; 6] = [0x18, 0xb4, 0x30, 0x26, 0x34, 0x40];
const PLUG: [u8; 6] = [0xa0, 0x92, 0x08, 0x7b, 0x03, 0x1c];
const PHONE: [u8; 6] = [0xda, 0x01, 0x02, 0x03, 0x04, 0x05];

fn sample() -> DeviceList {
    let neighbours = vec![
        neighbour(PHONE, "192.168.3.7", "eth0.3", 5),
        neighbour(CAMERA, "fd00::11", "br-lan", 2),
        neighbour(CAMERA, "192.168.1.11", "br-lan", 300),
        neighbour(PLUG, "192.168.1.30", "br-lan", 60),
    ];
    let lease = Lease { mac: Mac(CAMERA), address: "192.168.1.11".parse().unwrap(), hostname: Some("cam\"01".into()) };
    let mut stats = Stats::default();
    *stats.devices.entry(DeviceId(1)) =
        DeviceStats { packets: 2, bytes: 300, delay_sum: Nanos::from_millis(30), delay_max: Nanos::from_millis(20) };
    merge(&settings(), neighbours, vec![lease], Some(&stats), &TrafficByDevice::default())
}

#[test]
fn all_sources_are_merged_into_one_entry() {
    let text = encode::to_json(&sample().answer()).unwrap();
    assert!(
        text.starts_with(
            "{\"devices\":[{\"mac\":\"18:b4:30:26:34:40\",\"random_mac\":false,\"addresses\":[\"192.168.1.11\",\
             \"fd00::11\"],\"hostname\":\"cam\\\"01\",\"name\":\"Door camera\",\"network\":\"lan\",\"interface\":\
             \"br-lan\",\"policy\":\"shape\",\"chosen_by\":\"device\",\"last_seen_s\":2,\"upload_packets\":2,\
             \"upload_bytes\":300,\"download_packets\":0,\"download_bytes\":0,\"delay_mean_ms\":15.000,\
             \"delay_max_ms\":20.000}"
        ),
        "{text}"
    );
}

#[test]
fn a_devices_policy_precedes_its_networks() {
    let list = sample();
    let shown: Vec<_> =
        list.devices.iter().map(|device| (device.name.as_deref(), device.policy, device.chosen_by)).collect();
    assert_eq!(
        shown,
        [
            (Some("Door camera"), Some(Policy::Shape), PolicySource::Device),
            (Some("Plug"), Some(Policy::Block), PolicySource::Device),
            (Some("In the drawer"), Some(Policy::Direct), PolicySource::Device),
            (None, Some(Policy::Shape), PolicySource::Network),
        ]
    );
    assert_eq!(list.devices[1].macs, [Mac(PLUG)], "found by its address");
    let text = list.answer().to_string();
    assert!(text.contains("shape  da:01:02:03:04:05 -, 192.168.3.7, iot, seen 5 s ago, changes its MAC"), "{text}");
    assert!(text.contains("block  a0:92:08:7b:03:1c Plug, 192.168.1.30, lan, seen 60 s ago\n"), "{text}");
}

#[test]
fn devices_seen_longest_ago_are_left_out() {
    let many = (0..200u8).map(|n| neighbour([0, 0, 0, 0, 1, n], &format!("10.0.0.{n}"), "br-lan", 1000 - u64::from(n)));
    let list = merge(&settings(), many.collect(), Vec::new(), None, &TrafficByDevice::default());
    assert!(list.truncated);
    assert_eq!(list.devices.len(), 3 + MAX_DEVICES);
    assert!(list.devices.iter().any(|device| device.macs == [Mac([0, 0, 0, 0, 1, 199])]));
    assert!(!list.devices.iter().any(|device| device.macs == [Mac([0, 0, 0, 0, 1, 10])]));
    let bytes = encode::to_table(&list.answer()).unwrap().contents().len();
    assert!(bytes < 64 * 1024, "{bytes} bytes");
}

#[test]
fn a_device_with_two_macs_is_one_entry() {
    let text = "config millpond 'main'\n\toption enabled '0'\nconfig device\n\toption name 'Laptop'\n\
        \tlist mac '18:b4:30:26:34:40'\n\tlist mac 'a0:92:08:7b:03:1c'\n";
    let settings = config::parse(text.as_bytes()).settings.expect("good settings");
    let neighbours = vec![
        neighbour(CAMERA, "192.168.1.11", "br-lan", 300),
        neighbour(PLUG, "192.168.1.30", "br-lan", 60),
        neighbour(PHONE, "192.168.1.7", "br-lan", 5),
    ];
    let answer = merge(&settings, neighbours, Vec::new(), None, &TrafficByDevice::default()).answer();
    let [laptop, phone] = &answer.devices[..] else { panic!("{answer:?}") };
    assert_eq!((laptop.name.as_deref(), laptop.policy.as_deref()), (Some("Laptop"), Some("shape")));
    assert_eq!(laptop.mac.as_deref(), Some("a0:92:08:7b:03:1c"), "seen last");
    assert_eq!(laptop.other_macs, ["18:b4:30:26:34:40"]);
    assert_eq!(laptop.addresses, ["192.168.1.11", "192.168.1.30"]);
    assert_eq!((phone.name.as_deref(), phone.policy.as_deref()), (None, Some("direct")));
}

#[test]
fn the_routers_own_interfaces_are_no_devices() {
    let mut neighbours =
        vec![neighbour(CAMERA, "192.168.1.11", "br-lan", 2), neighbour(PLUG, "192.168.1.30", "br-lan", 60)];
    let lease = |mac| Lease { mac: Mac(mac), address: "192.168.1.11".parse().unwrap(), hostname: None };
    let mut leases = vec![lease(PLUG), lease(CAMERA)];
    retain_others(&[Mac(PLUG)], &mut neighbours, &mut leases);
    assert_eq!(neighbours, [neighbour(CAMERA, "192.168.1.11", "br-lan", 2)]);
    assert_eq!(leases, [lease(CAMERA)]);
}
