//! What is wanted of the figures.

use super::SHAPED_RATIO;
use crate::report::BenchReport;

/// Adds the worst figure of Plexus of each kind; docs/reports.md defines each.
pub(super) fn ratios(report: &mut BenchReport) {
    for (name, kind, worst) in [
        ("rate_error_percent_max", "rate_error.plexus", f64::max as fn(f64, f64) -> f64),
        ("first_second_excess_percent_max", "first_second_excess.plexus", f64::max),
        ("tcp_goodput_policed_percent_min", "tcp_goodput.plexus.", f64::min),
        (SHAPED_RATIO, "tcp_goodput_shaped.plexus.", f64::min),
    ] {
        let of_kind = report.arms.iter().filter(|(arm, _)| arm.starts_with(kind));
        let medians = of_kind.map(|(_, figures)| figures.median);
        let seen = match name {
            // Too little is as wrong as too much.
            "rate_error_percent_max" => medians.map(f64::abs).reduce(worst),
            _ => medians.reduce(worst),
        };
        if let Some(seen) = seen {
            report.ratios.insert(name, seen);
        } else {
            let why = || "no rate was offered enough to be judged".to_owned();
            report.absent.entry(name).or_insert_with(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Figures;

    #[test]
    fn the_worst_rate_of_plexus_counts() {
        let mut report = BenchReport::begin("police");
        for (arm, median) in [
            ("rate_error.plexus.1M", 0.5),
            ("rate_error.plexus_2_cpus.1G", -0.8),
            ("rate_error.standard.1M", 9.0),
            ("tcp_goodput.plexus.10M", 95.0),
            ("tcp_goodput.plexus.1G", 91.0),
            ("tcp_goodput_shaped.plexus.10M", 97.5),
            ("tcp_goodput_shaped.tbf.10M", 90.0),
        ] {
            report.arms.insert(arm.into(), Figures::of_rounds(&[median], "%").unwrap());
        }
        ratios(&mut report);
        assert!((report.ratios["rate_error_percent_max"] - 0.8).abs() < 1e-9);
        assert!((report.ratios["tcp_goodput_policed_percent_min"] - 91.0).abs() < 1e-9);
        assert!((report.ratios[SHAPED_RATIO] - 97.5).abs() < 1e-9);
        assert!(report.absent.contains_key("first_second_excess_percent_max"));
    }
}
