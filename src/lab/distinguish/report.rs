//! Prints and draws a comparison, and states its verdict.

use std::path::{Path, PathBuf};

use super::{Attack, AttackScore, DistinguishReport};
use crate::lab::error::Error;
use crate::lab::plot::{Chart, Series, SeriesStyle, save};
use crate::lab::trace::Direction;

/// Minimum number of guesses about each condition for a confidence interval that bounds a leak.
const MIN_GUESSES_FOR_BOUND: usize = 100;
/// Maximum number of tests that are printed; JSON contains all.
const MAX_PRINTED_TESTS: usize = 8;

/// Prints the report.
pub fn print(report: &DistinguishReport) {
    for index in 0..2 {
        let sizes: Vec<String> =
            report.sizes[index].iter().take(6).map(|(bytes, count)| format!("{bytes} B x {count}")).collect();
        println!(
            "{}: {} packets up, {} down in {:.0} s; sizes {}; handshakes {} up, {} down; packets outside the tunnel {}",
            report.names[index],
            report.packets[index][0],
            report.packets[index][1],
            report.seconds[index],
            sizes.join(", "),
            report.handshakes[index][0],
            report.handshakes[index][1],
            report.strays[index]
        );
    }
    for flaw in &report.flaws {
        println!("NOT UNIFORM: {flaw}");
    }
    println!("\n{} tests on all packets, in ascending order of p:", report.tests.len());
    println!("  {:<56} {:<5} {:>12} {:>12} {:>9} {:>10}", "test", "way", "first", "second", "p", "corrected");
    for test in report.tests.iter().take(MAX_PRINTED_TESTS) {
        println!(
            "  {:<56} {:<5} {:>12.6} {:>12.6} {:>9.2e} {:>10.2e}",
            test.name,
            test.direction.map_or("both", Direction::name),
            test.values[0],
            test.values[1],
            test.p_value,
            test.p_corrected
        );
    }
    println!("\nguesses about the later half after training on the earlier half (seed {}):", report.seed);
    println!("  {:>17} {:>13} {:>26} {:>26}", "packets per guess", "guesses", "area under curve", "labels shuffled");
    for attack in &report.attacks {
        println!("  {}", attack.name);
        for point in &attack.points {
            println!(
                "  {:>17} {:>6}+{:<6} {:>26} {:>26}",
                point.packets_per_guess,
                point.guesses[0],
                point.guesses[1],
                interval(&point.area),
                interval(&point.shuffled)
            );
        }
    }
    println!("\n{}", report.verdict);
}

/// Returns the verdict in words, which claims no more than was measured.
pub(super) fn verdict(report: &DistinguishReport) -> String {
    let flaws = match report.flaws.len() {
        0 => String::new(),
        _ => format!(" Regardless of the condition, the tunnel is not uniform: {}.", report.flaws.join("; ")),
    };
    let [a, b] = report.packets.map(|counts| counts[0] + counts[1]);
    let names = report.names.join(" and ");
    let level = 100.0 * report.alpha;
    let best = report.tests.first().map_or_else(String::new, |test| {
        format!(
            "{} ({}), {:.6} against {:.6}, p = {:.1e}, {:.1e} corrected for {} tests",
            test.name,
            test.direction.map_or("both", Direction::name),
            test.values[0],
            test.values[1],
            test.p_value,
            test.p_corrected,
            report.tests.len()
        )
    });
    if report.told_apart {
        let count = report.tests.iter().filter(|test| test.p_corrected < report.alpha).count();
        return format!(
            "TOLD APART: {names} differ in {count} of {} tests at a significance level of {level} % over {a} and {b} \
             packets. Strongest difference: {best}.{}{flaws}",
            report.tests.len(),
            strongest(report).map_or_else(String::new, |(attack, point)| format!(
                " Best attack: with {} packets per guess, {} reaches an area under the curve of {} (0.5 is a blind \
                 guess).",
                point.packets_per_guess,
                attack.name,
                interval(&point.area)
            ))
        );
    }
    let bound = highest(report).map_or_else(String::new, |(attack, point)| {
        format!(
            " With {} packets per guess, the highest upper bound of an area under the curve is {:.3} ({}: {}; 0.5 is a \
             blind guess). This does not exclude a smaller leak, another method, or a result from more packets.",
            point.packets_per_guess,
            point.area.ci95[1],
            attack.name,
            interval(&point.area)
        )
    });
    format!(
        "not told apart: none of {} tests finds a difference between {names} at a significance level of {level} % \
         over {a} and {b} packets (smallest p-value: {best}).{bound}{flaws}",
        report.tests.len()
    )
}

/// Draws the areas under the curve over the packets per guess. Returns the path of the figure.
pub fn draw(report: &DistinguishReport, folder: &Path) -> Result<PathBuf, Error> {
    let mut series = Vec::new();
    for attack in &report.attacks {
        let line = |value: fn(&AttackScore) -> f64| -> Vec<(f64, f64)> {
            attack.points.iter().map(|point| ((point.packets_per_guess as f64).log10(), value(point))).collect()
        };
        let short = attack.name.split(':').next().unwrap_or_default().replace("best statistic of ", "");
        series.push(Series { name: short, style: SeriesStyle::Line, values: line(|point| point.area.auc) });
        let bounds = [line(|point| point.area.ci95[0]), line(|point| point.area.ci95[1])].concat();
        series.push(Series { name: "  its 95 % interval".to_owned(), style: SeriesStyle::Points, values: bounds });
    }
    series.push(Series { name: String::new(), style: SeriesStyle::Points, values: vec![(2.0, 0.0), (2.0, 1.0)] });
    let chart = Chart {
        title: format!("Telling {} from {}", report.names[1], report.names[0]),
        x: "packets per guess, power of ten".to_owned(),
        y: "area under curve (0.5: blind guess)".to_owned(),
        logarithmic: false,
        series,
    };
    save(folder, "distinguish", &chart.svg())
}

fn strongest(report: &DistinguishReport) -> Option<(&Attack, &AttackScore)> {
    points(report).max_by(|x, y| x.1.area.ci95[0].total_cmp(&y.1.area.ci95[0]))
}

/// Returns the attack with the highest upper bound. Of each attack, uses the most packets per guess that leave enough
/// guesses.
fn highest(report: &DistinguishReport) -> Option<(&Attack, &AttackScore)> {
    let enough = |point: &&AttackScore| point.guesses.iter().all(|count| *count >= MIN_GUESSES_FOR_BOUND);
    let best = |attack: &'_ Attack| attack.points.iter().rposition(|point| enough(&point)).unwrap_or(0);
    let chosen = report.attacks.iter().filter_map(|attack| Some((attack, attack.points.get(best(attack))?)));
    chosen.max_by(|x, y| x.1.area.ci95[1].total_cmp(&y.1.area.ci95[1]))
}

fn points(report: &DistinguishReport) -> impl Iterator<Item = (&Attack, &AttackScore)> {
    report.attacks.iter().flat_map(|attack| attack.points.iter().map(move |point| (attack, point)))
}

fn interval(area: &crate::lab::stats::Auc) -> String {
    format!("{:.3} [{:.3}, {:.3}]", area.auc, area.ci95[0], area.ci95[1])
}
