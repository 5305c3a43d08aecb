//! A benchmark's figures for people.

use crate::report::BenchReport;
use crate::screen::{Screen, table};
use crate::wanted;

/// Prints two tables: the arms, and wanted against seen.
pub(crate) fn show(report: &BenchReport, screen: &Screen) {
    let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    let rows = report.arms.iter().map(|(name, figures)| {
        let [median, p99] = [figures.median, figures.p99].map(number);
        vec![name.clone(), median, p99, figures.unit.to_string(), figures.n.to_string()]
    });
    screen.heading("Figures");
    screen.block(&table(&["arm", ">median", ">p99", "unit", ">n"], rows));
    let rows = report.ratios.iter().map(|(name, seen)| {
        let (bound, verdict) = wanted::judge(name, *seen);
        let paint = screen.paint();
        let verdict = match verdict {
            Some(true) => paint.green("✓"),
            Some(false) => paint.red("✗"),
            None => String::new(),
        };
        vec![(*name).to_owned(), bound.unwrap_or_default(), number(*seen), verdict]
    });
    if !report.ratios.is_empty() {
        screen.heading("Wanted and seen");
        screen.block(&table(&["ratio", ">wanted", ">seen", ""], rows));
    }
    for (name, reason) in &report.absent {
        screen.note(&format!("{name} is absent: {reason}"));
    }
    let environment = &report.environment;
    let load = environment.load[0];
    screen.note(&format!(
        "kernel {}, {} CPUs ({}), load {load:.1} at the start, commit {}",
        environment.kernel, environment.cpus, environment.cpu_model, environment.commit
    ));
    if !environment.optimised {
        screen.note("this is an unoptimised build: the figures of plexus mean nothing");
    }
}
