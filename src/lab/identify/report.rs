//! Results of identification as text.

use super::evaluate::{Evaluation, Split};
use super::identity::{Candidate, HostIdentity};
use super::names::{AddressEvaluation, NameEvaluation};

/// Prints what addresses, names and shapes give away.
pub fn print_evaluation(evaluation: &Evaluation, names: &NameEvaluation, addresses: &AddressEvaluation) {
    if addresses.devices > 0 {
        println!(
            "by vendor prefix: {} of {} devices have a known vendor, {} a prefix of their own; {:.0} % right by prefix alone",
            addresses.vendor_known,
            addresses.devices,
            addresses.unique,
            100.0 * addresses.accuracy
        );
    }
    if names.captures > 0 {
        println!(
            "by names looked up: {} of {} left-out captures given to the right device ({} counting devices with the same names; \
             guessing: {:.0} %); {} of {} devices look up a name of their own",
            names.right,
            names.captures,
            names.right_or_same_names,
            100.0 * names.chance,
            names.devices_with_own_name,
            names.devices_with_names
        );
    }
    println!("by traffic, {} devices, seed {}:", evaluation.devices.len(), evaluation.seed);
    println!(
        "  {:<28} {:<11} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "method", "split", "window s", "sample s", "windows", "accuracy", "balanced", "shuffled"
    );
    for cell in &evaluation.results {
        println!(
            "  {:<28} {:<11} {:>8} {:>8} {:>8} {:>7.1} % {:>7.1} % {:>7.1} %",
            cell.method.to_string(),
            cell.split.to_string(),
            cell.window_s,
            cell.sample_s.map_or("-".to_owned(), |s| s.to_string()),
            cell.windows.iter().sum::<usize>(),
            100.0 * cell.scores.accuracy,
            100.0 * cell.scores.balanced_accuracy,
            100.0 * cell.shuffled.balanced_accuracy
        );
    }
    if let Some(cell) = evaluation.results.first() {
        let silent = evaluation.devices.iter().zip(&cell.windows).filter(|(_, windows)| **windows == 0);
        for (device, _) in silent {
            println!("  {device} is left out: no capture has a whole window with packets to or from the Internet");
        }
    }
    if let Some(cell) = evaluation.best(|cell| cell.split == Split::Capture) {
        println!(
            "\nconfusion of the best by capture ({}, windows of {} s); rows are the truth:",
            cell.method, cell.window_s
        );
        for (index, (name, row)) in evaluation.devices.iter().zip(&cell.scores.confusion).enumerate() {
            let counts: Vec<String> = row.iter().map(|count| format!("{count:>5}")).collect();
            println!("  {index:>2} {name:<20}{}", counts.concat());
        }
    }
    println!("\nbalanced = mean over devices; shuffled = balanced, learned from shuffled labels (chance)");
}

/// Prints what can be said of hosts.
pub fn print_identities(hosts: &[HostIdentity], known: usize) {
    for host in hosts {
        let vendor = match (&host.vendor, host.made_up_address) {
            (_, true) => "address drawn by the host, no vendor".to_owned(),
            (Some(vendor), _) => vendor.clone(),
            (None, _) => "vendor not known; see --oui".to_owned(),
        };
        println!("{} ({vendor}), {} packets to and from the Internet", host.mac, host.packets);
        if !host.same_prefix.is_empty() {
            println!("  same vendor prefix as {}", host.same_prefix.join(", "));
        }
        match host.names.len() {
            0 => println!("  by names: looked up none"),
            asked => println!("  by names: {} of {asked} names", candidates(&host.by_names, "no known device fits")),
        }
        match host.windows {
            0 => println!("  by traffic: less than a minute of it"),
            windows => println!(
                "  by traffic: {} in {windows} windows of 60 s (the nearest of {known} known devices)",
                candidates(&host.by_shape, "nothing to compare with")
            ),
        }
    }
}

fn candidates(candidates: &[Candidate], none: &str) -> String {
    if candidates.is_empty() {
        return format!("{none},");
    }
    let words: Vec<String> =
        candidates.iter().map(|candidate| format!("{} {:.0} %", candidate.device, 100.0 * candidate.fit)).collect();
    format!("{};", words.join(", "))
}
