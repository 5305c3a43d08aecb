//! From what was seen to arms and ratios.

use hdrhistogram::Histogram;

use super::run::Outcome;
use crate::report::{BenchReport, Figures};

/// Adds the arms of one run: `QUANTITY.MODE.NODES`.
pub(super) fn add(report: &mut BenchReport, mode: &str, nodes: usize, outcome: &Outcome) {
    let mut arm = |quantity: &str, figures: Option<Figures>| {
        if let Some(figures) = figures {
            report.arms.insert(format!("{quantity}.{mode}.{nodes}"), figures);
        }
    };
    let times = |histogram: &Histogram<u64>| {
        (!histogram.is_empty()).then(|| Figures::of_events(histogram, "us", 1000.0))
    };
    let single = |value: f64, unit: &'static str| Figures::of_rounds(&[value], unit);
    let per_address = |count: u64| ratio(count, outcome.addresses);
    arm("add", times(&outcome.add));
    arm("add_first", times(&outcome.cold));
    arm("del", times(&outcome.del));
    arm("rate", single(outcome.rate, "addresses/s"));
    arm("addresses", single(float(outcome.addresses), "addresses"));
    arm("requests_add", single(per_address(outcome.requests[0].all), "requests/address"));
    arm("requests_del", single(per_address(outcome.requests[1].all), "requests/address"));
    arm("conflicts", single(per_address(outcome.requests[0].conflicts), "requests/address"));
    arm("failures", single(float(outcome.failures), "ADDs"));
    arm("releases_put_off", single(float(outcome.settled), "DELs"));
    arm("duplicates", single(float(outcome.duplicates), "addresses"));
    arm("leaks", single(float(outcome.leaks), "addresses"));
    if outcome.is_cut {
        arm("cut", single(1.0, "1 where the limit ended it"));
    }
}

/// Adds what is compared; docs/reports.md defines each.
pub(super) fn ratios(report: &mut BenchReport) {
    for (name, quantity) in [("duplicates", "duplicates."), ("leaks", "leaks.")] {
        let of_kind = report.arms.iter().filter(|(arm, _)| arm.starts_with(quantity));
        let sum = of_kind.map(|(_, figures)| figures.median).sum();
        report.ratios.insert(name, sum);
    }
    for (name, arm) in [
        ("classic_requests_per_allocation", "requests_add.classic.1"),
        ("fast_requests_per_allocation", "requests_add.fast.64"),
    ] {
        match report.median(arm) {
            Some(seen) => drop(report.ratios.insert(name, seen)),
            None => drop(report.absent.insert(name, format!("{arm} was not measured"))),
        }
    }
    for (name, of, to) in [
        ("fast_p99_growth_1_to_64", "add.fast_paced.64", "add.fast_paced.1"),
        ("fast_p99_growth_1_to_256", "add.fast_paced.256", "add.fast_paced.1"),
        ("classic_p99_growth_1_to_256", "add.classic.256", "add.classic.1"),
    ] {
        let p99 = |arm: &str| report.arms.get(arm).map(|figures| figures.p99);
        match p99(of).zip(p99(to)).map(|(of, to)| of / to).filter(|ratio| ratio.is_finite()) {
            Some(seen) => drop(report.ratios.insert(name, seen)),
            None => drop(report.absent.insert(name, format!("{of} or {to} was not measured"))),
        }
    }
    report.compare("classic_rate_256_vs_1", "rate.classic.256", "rate.classic.1");
    report.compare("fast_rate_256_vs_1", "rate.fast.256", "rate.fast.1");
}

fn ratio(of: u64, to: u64) -> f64 {
    if to == 0 { 0.0 } else { float(of) / float(to) }
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_leaks_of_all_runs_are_summed_and_growth_is_of_the_p99() {
        let mut report = BenchReport::begin("ipam");
        for (arm, values) in [
            ("duplicates.fast.1", &[0.0][..]),
            ("duplicates.classic.64", &[2.0]),
            ("leaks.classic.1", &[1.0]),
            ("requests_add.classic.1", &[2.0]),
            ("add.fast_paced.1", &[1.0, 2.0]),
            ("add.fast_paced.64", &[1.0, 3.0]),
        ] {
            report.arms.insert(arm.into(), Figures::of_rounds(values, "x").unwrap());
        }
        ratios(&mut report);
        let seen = |name: &str| report.ratios[name].to_string();
        assert_eq!(["duplicates", "leaks", "fast_p99_growth_1_to_64"].map(seen), ["2", "1", "1.5"]);
        assert_eq!(seen("classic_requests_per_allocation"), "2");
        assert!(report.absent.contains_key("fast_requests_per_allocation"));
        assert!(!report.ratios.contains_key("fast_rate_256_vs_1"));
    }
}
