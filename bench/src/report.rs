//! Reports: JSON files whose shape docs/reports.md fixes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::profile::Profile;

/// A benchmark's report.
#[derive(Debug, Serialize)]
pub(crate) struct BenchReport {
    /// The benchmark's name.
    pub(crate) bench: &'static str,
    /// Where it ran.
    pub(crate) environment: Environment,
    /// What else a reader must know, e.g. the number of rounds.
    pub(crate) conditions: BTreeMap<&'static str, serde_json::Value>,
    /// What was measured, by arm.
    pub(crate) arms: BTreeMap<String, Figures>,
    /// What is compared.
    pub(crate) ratios: BTreeMap<&'static str, f64>,
    /// What was to be compared and is not in `ratios`, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) absent: BTreeMap<&'static str, String>,
    /// Where the time goes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) profiles: BTreeMap<&'static str, Profile>,
}

impl BenchReport {
    /// A report without figures, of this machine.
    pub(crate) fn begin(bench: &'static str) -> Self {
        Self {
            bench,
            environment: Environment::look(),
            conditions: BTreeMap::new(),
            arms: BTreeMap::new(),
            ratios: BTreeMap::new(),
            absent: BTreeMap::new(),
            profiles: BTreeMap::new(),
        }
    }

    /// The median of an arm, if it was measured.
    pub(crate) fn median(&self, arm: &str) -> Option<f64> {
        self.arms.get(arm).map(|figures| figures.median)
    }

    /// Adds the ratio `name` of the medians of two arms; one whose arms are missing is left out.
    pub(crate) fn compare(&mut self, name: &'static str, of: &str, to: &str) {
        let ratio = self.median(of).zip(self.median(to)).map(|(of, to)| of / to);
        if let Some(ratio) = ratio.filter(|ratio| ratio.is_finite()) {
            self.ratios.insert(name, ratio);
        }
    }
}

/// The distribution of one arm's samples.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of `median`, `p99`, `min` and `max`.
    pub(crate) unit: Cow<'static, str>,
    /// Half of the samples are at most this.
    pub(crate) median: f64,
    /// 99 of 100 samples are at most this; with fewer than 100 samples it is the highest.
    pub(crate) p99: f64,
    /// 999 of 1,000 samples are at most this; only where samples are single events, such as round trips.
    #[serde(rename = "p99.9", default, skip_serializing_if = "Option::is_none")]
    pub(crate) p99_9: Option<f64>,
    /// The lowest sample.
    pub(crate) min: f64,
    /// The highest sample.
    pub(crate) max: f64,
    /// Number of samples.
    pub(crate) n: u64,
}

impl Figures {
    /// Summarises samples recorded in units of `1 / scale` of `unit`.
    pub(crate) fn of(histogram: &Histogram<u64>, unit: &'static str, scale: f64) -> Self {
        #[expect(
            clippy::cast_precision_loss,
            reason = "nanoseconds of seconds and KiB of memory are far below 2^53"
        )]
        let value = |raw: u64| raw as f64 / scale;
        Self {
            unit: unit.into(),
            median: value(histogram.value_at_quantile(0.5)),
            p99: value(histogram.value_at_quantile(0.99)),
            p99_9: None,
            min: value(histogram.min()),
            max: value(histogram.max()),
            n: histogram.len(),
        }
    }

    /// As [`Self::of`], for samples that are single events: their tail is told too.
    pub(crate) fn of_events(histogram: &Histogram<u64>, unit: &'static str, scale: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of seconds are far below 2^53")]
        let tail = histogram.value_at_quantile(0.999) as f64 / scale;
        Self { p99_9: Some(tail), ..Self::of(histogram, unit, scale) }
    }

    /// Summarises a few samples, one per round; none without samples.
    pub(crate) fn of_rounds(samples: &[f64], unit: &'static str) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = [sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]];
        let rank = (sorted.len() * 99).div_ceil(100) - 1;
        Some(Self {
            unit: unit.into(),
            median: middle[0].midpoint(middle[1]),
            p99: sorted[rank],
            p99_9: None,
            min,
            max,
            n: sorted.len() as u64,
        })
    }
}

/// Writes a report; the file is complete or not there.
pub(crate) fn write<T: Serialize>(path: &Path, report: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(report).context("cannot encode the report")?;
    text.push('\n');
    write_text(path, &text)
}

/// Writes a text file; it is complete or not there.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("draft");
    fs::write(&draft, text).and_then(|()| fs::rename(&draft, path)).with_context(|| {
        format!("cannot write the report {}: choose a directory that you may write to", path.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_scaled_and_the_p99_of_few_samples_is_the_highest() {
        let mut histogram = Histogram::new(3).unwrap();
        for sample in [1_000, 2_000, 3_000] {
            histogram.record(sample).unwrap();
        }
        let figures = Figures::of(&histogram, "us", 1_000.0);
        assert_eq!(figures.n, 3);
        assert!((figures.median - 2.0).abs() < 0.01);
        assert!((figures.p99 - 3.0).abs() < 0.01);
    }

    #[test]
    fn a_few_rounds_have_a_middle_and_ends() {
        let figures = Figures::of_rounds(&[3.0, 1.0, 2.0, 10.0], "pps").unwrap();
        assert_eq!(
            [figures.median, figures.min, figures.max, figures.p99].map(|it| it.to_string()),
            ["2.5", "1", "10", "10"]
        );
        assert!(Figures::of_rounds(&[], "pps").is_none());
    }

    #[test]
    fn a_ratio_without_its_arms_is_left_out() {
        let mut report = BenchReport::begin("forward");
        report.arms.insert("a".into(), Figures::of_rounds(&[6.0], "pps").unwrap());
        report.arms.insert("b".into(), Figures::of_rounds(&[4.0], "pps").unwrap());
        report.compare("a_vs_b", "a", "b");
        report.compare("a_vs_c", "a", "c");
        assert_eq!(report.ratios.len(), 1);
        assert!((report.ratios["a_vs_b"] - 1.5).abs() < 1e-9);
    }
}
