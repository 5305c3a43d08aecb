//! One metric as it is read at a scrape: name, meaning, and a number for each set of labels.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

/// Labels of one number.
pub(super) type Labels = Vec<(&'static str, String)>;

/// What a number does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up; its name on the page ends with `_total`.
    Counter,
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: Kind,
    pub(super) rows: Vec<(Labels, f64)>,
}

impl Series {
    /// A gauge with these rows.
    pub(super) fn gauge(name: &'static str, help: &'static str, rows: Vec<(Labels, f64)>) -> Self {
        Self { name, help, kind: Kind::Gauge, rows }
    }

    /// A counter with these rows; `name` without `_total`.
    pub(super) fn counter(name: &'static str, help: &'static str, rows: Vec<(Labels, f64)>) -> Self {
        Self { name, help, kind: Kind::Counter, rows }
    }

    /// A gauge of one number without labels.
    pub(super) fn single(name: &'static str, help: &'static str, value: usize) -> Self {
        Self::gauge(name, help, vec![(Labels::new(), number(value as u64))])
    }

    /// Writes it; one without rows still shows that it exists.
    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (labels, value) in &self.rows {
            if labels.is_empty() {
                self.encode_value(&mut metric, *value)?;
            } else {
                self.encode_value(&mut metric.encode_family(labels)?, *value)?;
            }
        }
        Ok(())
    }

    fn encode_value(&self, metric: &mut MetricEncoder<'_>, value: f64) -> fmt::Result {
        match self.kind {
            Kind::Gauge => metric.encode_gauge(&value),
            Kind::Counter => metric.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>),
        }
    }
}

/// A count as the page's number: exact up to 2^53, which is nine petabytes.
#[expect(clippy::cast_precision_loss, reason = "Prometheus' own numbers are f64")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}
