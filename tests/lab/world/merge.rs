//! Merges the journals of senders and receivers into one table of packets and one list of faults.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use argh::FromArgs;

/// merge journals into packets.csv and faults.txt
#[derive(FromArgs)]
#[argh(subcommand, name = "merge")]
pub struct Merge {
    /// start of the window, CLOCK_REALTIME in nanoseconds; packets sent earlier are left out
    #[argh(option)]
    start_ns: u64,
    /// end of the window; packets sent later are left out
    #[argh(option)]
    stop_ns: u64,
    /// the run directory
    #[argh(option)]
    out: PathBuf,
    /// journals
    #[argh(positional)]
    journals: Vec<PathBuf>,
}

/// Device, direction, sequence number.
type Key = (String, String, u32);

#[derive(Default)]
struct Journals {
    sent: BTreeMap<Key, (usize, u64)>,
    received: BTreeMap<Key, (usize, u64)>,
    faults: Vec<String>,
}

impl Merge {
    /// Writes both files and prints a line about them.
    pub fn run(self) -> Result<(), String> {
        let mut journals = Journals::default();
        for path in &self.journals {
            let text = fs::read_to_string(path).map_err(|err| format!("reading {}: {err}", path.display()))?;
            for (number, line) in text.lines().enumerate() {
                journals
                    .add(line)
                    .ok_or_else(|| format!("reading {} line {}: malformed line", path.display(), number + 1))?;
            }
        }
        let (table, sent, arrived) = journals.table(self.start_ns, self.stop_ns);
        let faults: String = journals.faults.iter().map(|fault| format!("{fault}\n")).collect();
        for (name, text) in [("packets.csv", &table), ("faults.txt", &faults)] {
            let path = self.out.join(name);
            fs::write(&path, text).map_err(|err| format!("writing {}: {err}", path.display()))?;
        }
        println!("{sent} packets sent, {arrived} arrived, {} faults", journals.faults.len());
        Ok(())
    }
}

impl Journals {
    fn add(&mut self, line: &str) -> Option<()> {
        if let Some(fault) = line.strip_prefix("fault,") {
            self.faults.push(fault.to_string());
            return Some(());
        }
        let mut fields = line.split(',');
        let side = fields.next()?;
        let key = (fields.next()?.to_string(), fields.next()?.to_string(), fields.next()?.parse().ok()?);
        let entry = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        match side {
            "sent" => {
                self.sent.insert(key, entry);
            }
            // The first arrival counts; the receiver's journal has a fault for a second one.
            "received" => {
                self.received.entry(key).or_insert(entry);
            }
            _ => return None,
        }
        Some(())
    }

    /// Returns the table, the number of its packets, and how many of them arrived.
    fn table(&mut self, start_ns: u64, stop_ns: u64) -> (String, usize, usize) {
        let mut table = "device,direction,seq,bytes,sent_ns,received_ns\n".to_string();
        let (mut sent, mut arrived) = (0, 0);
        for ((device, direction, seq), &(bytes, sent_ns)) in &self.sent {
            let arrival = self.received.remove(&(device.clone(), direction.clone(), *seq));
            if let Some((received_bytes, _)) = arrival.filter(|&(received_bytes, _)| received_bytes != bytes) {
                self.faults.push(format!("{device} {direction} {seq}: {bytes} bytes sent, {received_bytes} received"));
            }
            if !(start_ns..=stop_ns).contains(&sent_ns) {
                continue;
            }
            sent += 1;
            arrived += usize::from(arrival.is_some());
            let received_ns = arrival.map(|(_, ns)| ns.to_string()).unwrap_or_default();
            let _ = writeln!(table, "{device},{direction},{seq},{bytes},{sent_ns},{received_ns}");
        }
        for (device, direction, seq) in self.received.keys() {
            self.faults.push(format!("{device} {direction} {seq}: received but never sent"));
        }
        (table, sent, arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_sent_in_the_window_are_matched_with_arrivals() {
        let mut journals = Journals::default();
        let lines = [
            "sent,echo,up,0,60,5",
            "sent,echo,up,1,60,15",
            "received,echo,up,1,60,30",
            "sent,echo,up,2,60,16",
            "sent,echo,up,3,60,17",
            "received,echo,up,3,59,31",
            "received,echo,down,0,59,31",
            "fault,something else",
        ];
        for line in lines {
            assert_eq!(journals.add(line), Some(()), "{line}");
        }
        assert_eq!(journals.add("sent,echo,up"), None);
        let (table, sent, arrived) = journals.table(10, 20);
        assert_eq!((sent, arrived), (3, 2));
        assert_eq!(
            table,
            "device,direction,seq,bytes,sent_ns,received_ns\n\
             echo,up,1,60,15,30\necho,up,2,60,16,\necho,up,3,60,17,31\n"
        );
        assert_eq!(
            journals.faults,
            ["something else", "echo up 3: 60 bytes sent, 59 received", "echo down 0: received but never sent"]
        );
    }
}
