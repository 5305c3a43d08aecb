//! Where the time of a packet, or a limit, goes: parts that add up to a whole.

use serde::Serialize;

use crate::report::BenchReport;
use crate::wanted;

/// Some wholes that are compared part by part.
#[derive(Debug, Serialize)]
pub(crate) struct Profile {
    /// How the parts were found, and what they are not.
    pub(crate) what: String,
    /// Of every value.
    pub(crate) unit: &'static str,
    /// Ratios of the same report that missed their aim, and that this explains.
    pub(crate) explains: Vec<&'static str>,
    /// The wholes.
    pub(crate) rows: Vec<Row>,
}

/// One whole.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The arm that it is of.
    pub(crate) name: String,
    /// The sum of its parts.
    pub(crate) total: f64,
    /// In the order in which they are drawn; a difference of two measurements may be a little below zero.
    pub(crate) parts: Vec<Part>,
}

/// One part.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    /// What it is.
    pub(crate) name: String,
    /// How much of it.
    pub(crate) value: f64,
}

impl Row {
    /// A whole made of these parts.
    pub(crate) fn of(name: &str, parts: impl IntoIterator<Item = (String, f64)>) -> Self {
        let parts: Vec<_> = parts.into_iter().map(|(name, value)| Part { name, value }).collect();
        Self { name: name.to_owned(), total: parts.iter().map(|part| part.value).sum(), parts }
    }
}

/// Adds a profile under `name`; of the ratios that it could explain those are named that missed their aim.
pub(crate) fn add(
    report: &mut BenchReport,
    name: &'static str,
    mut profile: Profile,
    ratios: &[&'static str],
) {
    let missed = |ratio: &&&'static str| {
        let seen = report.ratios.get(**ratio);
        seen.is_some_and(|seen| wanted::judge(ratio, *seen).1 == Some(false))
    };
    profile.explains = ratios.iter().filter(missed).copied().collect();
    report.profiles.insert(name, profile);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_names_the_ratios_that_missed_and_no_others() {
        let mut report = BenchReport::begin("forward");
        report.ratios.extend([("features_overhead_ns", 52.0), ("ports_1000_vs_1", 1.0)]);
        let rows = vec![Row::of("plexus", [("parse".to_owned(), 30.0), ("clock".to_owned(), 22.0)])];
        let profile = Profile { what: "measured".into(), unit: "ns/run", explains: Vec::new(), rows };
        add(&mut report, "cost", profile, &["features_overhead_ns", "ports_1000_vs_1", "routes_100k_vs_10"]);
        let profile = &report.profiles["cost"];
        assert_eq!(profile.explains, ["features_overhead_ns"]);
        assert!((profile.rows[0].total - 52.0).abs() < 1e-9);
    }
}
