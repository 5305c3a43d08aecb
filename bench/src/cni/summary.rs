//! The figures for people, and what is wanted of them.

use std::collections::BTreeMap;

use crate::report::{BenchReport, Figures};
use crate::screen::{Screen, table};

/// A bound on a ratio.
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

/// The project's aims.
const WANTED: [(&str, Wanted); 4] = [
    ("add_vs_reference", Wanted::AtMost(0.333)),
    ("add_vs_floor", Wanted::AtMost(2.5)),
    ("parallel40_throughput_vs_reference", Wanted::AtLeast(4.0)),
    ("agent_rss_mb", Wanted::AtMost(25.0)),
];

/// The report's `ratios`, of medians; docs/reports.md defines each. One whose arms were left out is left out.
pub(super) fn ratios(arms: &BTreeMap<String, Figures>) -> BTreeMap<&'static str, f64> {
    let median = |name: &str| arms.get(name).map(|figures| figures.median);
    let ratio = |of: &str, to: &str| Some(median(of)? / median(to)?).filter(|ratio| ratio.is_finite());
    let memory = ["agent_rss.single_plugins", "agent_rss.meta_plugin"].into_iter().filter_map(median);
    [
        ("add_vs_reference", ratio("plexus.add", "reference.add")),
        ("add_vs_floor", ratio("plexus.add", "floor.add")),
        ("del_vs_reference", ratio("plexus.del", "reference.del")),
        ("del_vs_floor", ratio("plexus.del", "floor.del")),
        ("parallel40_throughput_vs_reference", ratio("plexus.parallel40", "reference.parallel40")),
        ("meta_add_vs_multus", ratio("plexus_meta.add", "multus.add")),
        ("meta_del_vs_multus", ratio("plexus_meta.del", "multus.del")),
        ("agent_rss_mb", memory.reduce(f64::max)),
    ]
    .into_iter()
    .filter_map(|(name, ratio)| Some((name, ratio?)))
    .collect()
}

/// Prints two tables: the arms, and wanted against seen.
pub(super) fn show(report: &BenchReport, screen: &Screen) {
    let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
    let rows = report.arms.iter().map(|(name, figures)| {
        let [median, p99] = [figures.median, figures.p99].map(number);
        vec![name.clone(), median, p99, figures.unit.into(), figures.n.to_string()]
    });
    screen.heading("Figures");
    screen.block(&table(&["arm", ">median", ">p99", "unit", ">n"], rows));
    let rows = report.ratios.iter().map(|(name, seen)| {
        let wanted = WANTED.iter().find(|(wanted, _)| wanted == name).map(|(_, bound)| bound);
        let (bound, verdict) = judge(wanted, *seen);
        let paint = screen.paint();
        let verdict = match verdict {
            Some(true) => paint.green("✓"),
            Some(false) => paint.red("✗"),
            None => String::new(),
        };
        vec![(*name).to_owned(), bound, number(*seen), verdict]
    });
    screen.heading("Wanted and seen");
    screen.block(&table(&["ratio", ">wanted", ">seen", ""], rows));
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

fn judge(wanted: Option<&Wanted>, seen: f64) -> (String, Option<bool>) {
    match wanted {
        Some(Wanted::AtMost(bound)) => (format!("≤ {bound}"), Some(seen <= *bound)),
        Some(Wanted::AtLeast(bound)) => (format!("≥ {bound}"), Some(seen >= *bound)),
        None => (String::new(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arms(medians: &[(&str, f64)]) -> BTreeMap<String, Figures> {
        let figures = |median| Figures { unit: "ms", median, p99: median, min: median, max: median, n: 1 };
        medians.iter().map(|(name, median)| ((*name).to_owned(), figures(*median))).collect()
    }

    #[test]
    fn ratios_are_of_medians_and_missing_arms_leave_theirs_out() {
        let ratios = ratios(&arms(&[("plexus.add", 2.0), ("reference.add", 8.0), ("floor.add", 0.0)]));
        assert_eq!(ratios.keys().copied().collect::<Vec<_>>(), ["add_vs_reference"]);
        assert!((ratios["add_vs_reference"] - 0.25).abs() < 1e-9);
    }

    #[test]
    fn memory_is_the_worse_of_both_ways() {
        let arms = arms(&[("agent_rss.single_plugins", 9.0), ("agent_rss.meta_plugin", 11.0)]);
        assert!((ratios(&arms)["agent_rss_mb"] - 11.0).abs() < 1e-9);
    }

    #[test]
    fn bounds_are_inclusive() {
        assert_eq!(judge(Some(&Wanted::AtMost(2.5)), 2.5).1, Some(true));
        assert_eq!(judge(Some(&Wanted::AtLeast(4.0)), 3.9).1, Some(false));
    }
}
