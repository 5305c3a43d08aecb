//! Reports: JSON files whose shape docs/reports.md fixes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::environment::Environment;

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
}

/// The distribution of one arm's samples.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// Of `median`, `p99`, `min` and `max`.
    pub(crate) unit: &'static str,
    /// Half of the samples are at most this.
    pub(crate) median: f64,
    /// 99 of 100 samples are at most this; with fewer than 100 samples it is the highest.
    pub(crate) p99: f64,
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
            unit,
            median: value(histogram.value_at_quantile(0.5)),
            p99: value(histogram.value_at_quantile(0.99)),
            min: value(histogram.min()),
            max: value(histogram.max()),
            n: histogram.len(),
        }
    }
}

/// Writes a report; the file is complete or not there.
pub(crate) fn write<T: Serialize>(path: &Path, report: &T) -> Result<()> {
    let mut text = serde_json::to_string_pretty(report).context("cannot encode the report")?;
    text.push('\n');
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
}
