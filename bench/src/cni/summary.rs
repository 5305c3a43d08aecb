//! What is compared.

use std::collections::BTreeMap;

use crate::report::Figures;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn arms(medians: &[(&str, f64)]) -> BTreeMap<String, Figures> {
        let figures = |median: &f64| Figures::of_rounds(&[*median], "ms").unwrap();
        medians.iter().map(|(name, median)| ((*name).to_owned(), figures(median))).collect()
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
}
