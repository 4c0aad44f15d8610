//! Prints a bound.

use super::BoundReport;

/// Prints the report.
pub fn print(report: &BoundReport) {
    println!(
        "law {}, spread {} %, mean interval {:.3} ms",
        report.law,
        report.spread_percent,
        report.interval_ns as f64 / 1e6
    );
    for (name, late) in report.names.iter().zip(&report.lateness) {
        println!(
            "{name}: {} departures, {} missed; lateness mean {:.1} us, sd {:.1}, p50 {:.1}, p99 {:.1}, max {:.1}; \
             correlation of successive ones {:.3}",
            late.count,
            late.missed_slots,
            late.mean_us,
            late.sd_us,
            late.p50_us,
            late.p99_us,
            late.max_us,
            late.correlation
        );
    }
    println!("\ndivergence, in nats a packet ({} simulated packets, seed {}):", report.packets, report.seed);
    for (way, (divergence, grid_error)) in report.divergence.iter().zip(report.grid_error).enumerate() {
        println!(
            "  {} from {}: {:.3e} +- {:.1e} (simulation), +- {:.1e} (grid)",
            report.names[way],
            report.names[1 - way],
            divergence.nats_per_packet,
            divergence.standard_error,
            divergence.nats_per_packet * grid_error
        );
    }
    println!("  between the two halves of one record: {:.3e}", report.floor);
    println!("\nthe best possible test of this end's departures needs:");
    for needed in &report.needed {
        println!(
            "  for an error of {:>2.0} %: {:.3e} packets, {} days",
            100.0 * needed.error,
            needed.packets,
            days(needed.days)
        );
    }
    let least = report.divergence.iter().map(|divergence| divergence.nats_per_packet).fold(f64::INFINITY, f64::min);
    if least < 2.0 * report.floor {
        println!(
            "The conditions differ no more than two halves of one record: the best test needs at least so much. A \
             longer record would show more."
        );
    }
}

fn days(days: f64) -> String {
    match days {
        0.0..10.0 => format!("{days:.4}"),
        10.0..100_000.0 => format!("{days:.0}"),
        _ => format!("{days:.1e}"),
    }
}
