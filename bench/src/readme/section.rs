//! The README's section: for each report where it was measured, its chart, and its ratios.

use std::fmt::Write as _;

use serde_json::Value;

use super::published::Published;
use crate::html::number;
use crate::wanted;

/// The benchmarks that the README shows, in this order.
pub(super) const BENCHES: [&str; 2] = ["forward", "police"];
/// Lines between which the section stands.
pub(super) const MARKS: [&str; 2] = ["<!-- figures: begin -->", "<!-- figures: end -->"];

/// The text between the marks.
pub(super) fn of(reports: &[Published]) -> String {
    let mut out = String::new();
    for report in reports {
        let bench = &report.bench;
        let environment = &report.environment;
        let condition = |name: &str| report.conditions.get(name).map(ToString::to_string);
        // Writing to a string cannot fail.
        write!(
            out,
            "\n`{bench}`, commit {}, kernel {}, {} CPUs ({}), load {:.1} at the start",
            environment.commit,
            environment.kernel,
            environment.cpus,
            environment.cpu_model,
            environment.load[0],
        )
        .ok();
        for (name, text) in [
            ("rounds", "rounds"),
            ("seconds", "s each"),
            ("seconds_after_the_first", "s each after the first"),
        ] {
            if let Some(value) = condition(name) {
                write!(out, ", {value} {text}").ok();
            }
        }
        if let Some(place) = report.conditions.get("shaped_measured_on").and_then(Value::as_str) {
            write!(out, ", TCP through the shaper in {place}").ok();
        }
        // One busy CPU of two still lets the other one measure.
        if environment.load[0] > 0.5 * f64::from(u32::try_from(environment.cpus).unwrap_or(u32::MAX)) {
            out.push_str(", **other work ran on the machine and blurs the figures**");
        }
        if !environment.optimised {
            out.push_str(", **a build without optimisation, whose figures mean nothing**");
        }
        write!(
            out,
            ":\n\n![{bench}](docs/bench/{bench}.svg)\n\n| ratio | wanted | seen | |\n|---|---|---|---|\n"
        )
        .ok();
        for (name, seen) in &report.ratios {
            let (bound, met) = wanted::judge(name, *seen);
            let word = met.map_or("", |met| if met { "met" } else { "missed" });
            writeln!(out, "| `{name}` | {} | {} | {word} |", bound.unwrap_or_default(), number(*seen)).ok();
        }
        for (name, reason) in &report.absent {
            let bound = wanted::judge(name, 0.0).0.unwrap_or_default();
            writeln!(out, "| `{name}` | {bound} | | absent: {} |", reason.replace('|', "\\|")).ok();
        }
    }
    out
}

/// The README with this section instead of the one that it has; nothing if it has no place for one.
pub(super) fn replace(readme: &str, section: &str) -> Option<String> {
    let [begin, end] = MARKS;
    let (before, rest) = readme.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", section.trim_end_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"bench": "forward", "environment": {"kernel": "6.18", "cpus": 2, "cpu_model": "X", "load": [0.5, 0, 0],
        "commit": "abc", "optimised": true, "governor": null}, "conditions": {"rounds": 10}, "arms": {},
        "ratios": {"pod_pod_vs_bridge_pps": 2.125, "features_overhead_ns": 61}, "absent": {"routes_100k_vs_10": "not | yet"}}"#;

    #[test]
    fn every_ratio_stands_in_the_table_with_its_verdict() {
        let section = of(&[serde_json::from_str(REPORT).unwrap()]);
        for line in [
            "| `pod_pod_vs_bridge_pps` | ≥ 1.5 | 2.12 | met |\n",
            "| `features_overhead_ns` | ≤ 40 | 61.0 | missed |\n",
            "| `routes_100k_vs_10` | ≤ 3 | | absent: not \\| yet |\n",
            "load 0.5 at the start, 10 rounds",
        ] {
            assert!(section.contains(line), "{line} is not in\n{section}");
        }
        assert!(!section.contains("without optimisation") && !section.contains("other work"));
        let guest = REPORT.replace("10}", "10, \"shaped_measured_on\": \"a guest, emulated\"}");
        assert!(of(&[serde_json::from_str(&guest).unwrap()]).contains("the shaper in a guest, emulated"));
        let busy = REPORT.replace("\"load\": [0.5", "\"load\": [4.5");
        assert!(of(&[serde_json::from_str(&busy).unwrap()]).contains("other work"));
    }

    #[test]
    fn only_what_is_between_the_marks_changes_and_a_second_time_nothing() {
        let [begin, end] = MARKS;
        let readme = format!("before\n{begin}\nold\n{end}\nafter\n");
        let new = replace(&readme, "\nnew\n").unwrap();
        assert_eq!(new, format!("before\n{begin}\n\nnew\n{end}\nafter\n"));
        assert_eq!(replace(&new, "\nnew\n").unwrap(), new);
        assert!(replace("no marks", "new").is_none());
    }
}
