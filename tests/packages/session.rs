//! A short session of router and endpoint in virtual time, cross-built for other processors and run by an emulator. It
//! prints a digest of everything on the wire. The digest must be the same on every processor, whatever its word length
//! and byte order.

use std::process::ExitCode;

use millpond::core::{CellKind, Engine, Limits, Pace, Params};
use millpond::law::Law;
use millpond::sys::panic_hook;
use millpond::units::{BitsPerSec, Nanos};
use millpond::wire::MAX_PACKET_BYTES;
use millpond::wire::control::{ControlMessage, ShapingRequest};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

const T: Nanos = Nanos(25_400_000);
const CELLS: usize = 2_000;
const PAYLOAD_BYTES: usize = 420;

/// FNV-1a, 64 bits.
struct Digest(u64);

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

fn engine(law: Law) -> Engine {
    let pace = Pace { law, mean: T, spread_percent: 15 };
    let params = Params { payload_bytes: PAYLOAD_BYTES, pace, lead: Nanos::ZERO, limits: Limits::default() };
    Engine::new(params, [3; 32], Nanos::ZERO)
}

/// An IPv4/UDP packet of `bytes` bytes that contains `number`, from one of six ports of a device.
fn packet(number: u32, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 4, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 168, 1, 7, 192, 0, 2, 7];
    packet[2..4].copy_from_slice(&(bytes as u16).to_be_bytes());
    packet.extend((1000 + number as u16 % 6).to_be_bytes());
    packet.extend([0, 7, 0, 0, 0, 0]);
    packet.extend(number.to_be_bytes());
    packet.resize(bytes, number as u8);
    packet
}

/// Runs a session and adds everything on the wire to `digest`. Returns how many packets were sent and how many arrived;
/// the latter is 0 if the control message did not arrive.
fn session(law: Law, digest: &mut Digest) -> (u32, usize) {
    let mut rng = ChaCha12Rng::from_seed([9; 32]);
    let (mut router, mut endpoint) = (engine(law), engine(law));
    let (mut sent, mut arrived) = (0, 0);
    let mut buf = [0; MAX_PACKET_BYTES];
    let request = ControlMessage::ShapingRequest(ShapingRequest {
        id: 1,
        law,
        spread_percent: 15,
        cell_bytes: 512,
        rate: BitsPerSec(160_000),
        cover: true,
        trains: [1; 2],
    });
    router.send_control(request);
    for cell in 0..CELLS {
        let now = router.poll_timeout().0;
        if cell < CELLS / 2 && rng.random_bool(0.5) {
            router.handle_packet(now, &packet(sent, rng.random_range(32..700)));
            sent += 1;
        }
        let transmit = router.poll_transmit(now, &mut buf).expect("a cell at its departure time");
        let wire = buf[..transmit.len].to_vec();
        digest.add(&[u8::from(transmit.kind == CellKind::Data)]);
        digest.add(&wire);
        // With laws that use logarithms, mathematical libraries may differ by a nanosecond.
        if law == Law::Constant {
            digest.add(&transmit.scheduled.0.to_be_bytes());
        }
        endpoint.handle_cell(&wire);
        while let Some(length) = endpoint.poll_packet(&mut buf) {
            digest.add(&buf[..length]);
            arrived += 1;
        }
    }
    if endpoint.poll_control() != Some(request) {
        return (sent, 0);
    }
    (sent, arrived)
}

fn main() -> ExitCode {
    let mut digest = Digest(0xcbf2_9ce4_8422_2325);
    for law in Law::ALL {
        let (sent, arrived) = session(law, &mut digest);
        if arrived != sent as usize {
            eprintln!("session: law {law}: only {arrived} of {sent} packets arrived");
            return ExitCode::FAILURE;
        }
    }
    println!("{:016x}", digest.0);
    // The index comes from the command line, so that the compiler cannot foresee the panic.
    if std::env::args().nth(1).is_some_and(|word| word == "fail") {
        panic_hook::install();
        let cells: Vec<u64> = std::env::args().map(|_| digest.0).collect();
        println!("{}", cells[cells.len()]);
    }
    ExitCode::SUCCESS
}
