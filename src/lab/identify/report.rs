//! Prints the results of identification.

use super::evaluate::{Evaluation, Split};
use super::identity::{Candidate, HostIdentity};
use super::names::{AddressEvaluation, NameEvaluation};

/// Prints how well addresses, DNS names and traffic patterns identify devices.
pub fn print_evaluation(evaluation: &Evaluation, names: &NameEvaluation, addresses: &AddressEvaluation) {
    if addresses.devices > 0 {
        println!(
            "by vendor prefix: {} of {} devices have a known vendor, {} a unique prefix; \
            the prefix alone identifies {:.0} %",
            addresses.vendor_known,
            addresses.devices,
            addresses.unique,
            100.0 * addresses.accuracy
        );
    }
    if names.captures > 0 {
        println!(
            "by DNS names: {} of {} left-out captures assigned to the right device \
            ({} including devices with the same names; by chance: {:.0} %); \
            {} of {} devices look up a name that no other device looks up",
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
    for result in &evaluation.results {
        println!(
            "  {:<28} {:<11} {:>8} {:>8} {:>8} {:>7.1} % {:>7.1} % {:>7.1} %",
            result.method.to_string(),
            result.split.to_string(),
            result.window_s,
            result.sample_s.map_or("-".to_owned(), |s| s.to_string()),
            result.windows.iter().sum::<usize>(),
            100.0 * result.scores.accuracy,
            100.0 * result.scores.balanced_accuracy,
            100.0 * result.shuffled.balanced_accuracy
        );
    }
    if let Some(result) = evaluation.results.first() {
        let silent = evaluation.devices.iter().zip(&result.windows).filter(|(_, windows)| **windows == 0);
        for (device, _) in silent {
            println!("  {device} is left out: its captures contain no complete window with Internet traffic");
        }
    }
    if let Some(result) = evaluation.best(|result| result.split == Split::Capture) {
        println!(
            "\nconfusion matrix of the best method, split by capture ({}, windows of {} s); rows are the true devices:",
            result.method, result.window_s
        );
        for (index, (name, row)) in evaluation.devices.iter().zip(&result.scores.confusion).enumerate() {
            let counts: Vec<String> = row.iter().map(|count| format!("{count:>5}")).collect();
            println!("  {index:>2} {name:<20}{}", counts.concat());
        }
    }
    println!(
        "\nbalanced: mean accuracy over devices; shuffled: balanced accuracy after training on shuffled labels (chance)"
    );
}

/// Prints the candidates for each host.
pub fn print_identities(hosts: &[HostIdentity], known: usize) {
    for host in hosts {
        let vendor = match (&host.vendor, host.made_up_address) {
            (_, true) => "random address without a vendor".to_owned(),
            (Some(vendor), _) => vendor.clone(),
            (None, _) => "unknown vendor; see --oui".to_owned(),
        };
        println!("{} ({vendor}), {} packets to and from the Internet", host.mac, host.packets);
        if !host.same_prefix.is_empty() {
            println!("  same vendor prefix as {}", host.same_prefix.join(", "));
        }
        match host.names.len() {
            0 => println!("  by DNS names: no lookups"),
            count => println!("  by {count} DNS names: {}", candidates(&host.by_names, "no known device matches")),
        }
        match host.windows {
            0 => println!("  by traffic: no complete window of 60 s"),
            windows => println!(
                "  by traffic in {windows} windows of 60 s: {} (most similar of {known} known devices)",
                candidates(&host.by_shape, "no known devices")
            ),
        }
    }
}

fn candidates(candidates: &[Candidate], none: &str) -> String {
    if candidates.is_empty() {
        return none.to_owned();
    }
    let words: Vec<String> =
        candidates.iter().map(|candidate| format!("{} {:.0} %", candidate.device, 100.0 * candidate.fit)).collect();
    words.join(", ")
}
