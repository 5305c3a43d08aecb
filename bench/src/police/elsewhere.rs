//! Figures of the shaper that were measured on another machine, such as a guest whose kernel has fq.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::shaped::{GOODPUT, LATENCY, LOST};
use crate::report::{BenchReport, Figures};

/// The condition that says where it was.
pub(super) const CONDITION: &str = "shaped_measured_on";
/// How the processor of a machine is called that QEMU translates.
const TRANSLATED: &str = "QEMU TCG";

/// What is read of a report of `police --shaped`.
#[derive(Debug, Deserialize)]
struct Elsewhere {
    environment: Machine,
    arms: BTreeMap<String, Figures>,
    #[serde(default)]
    absent: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    kernel: String,
    cpus: usize,
    cpu_model: String,
}

impl Machine {
    fn description(&self) -> String {
        let emulated = if self.cpu_model.contains(TRANSLATED) { ", emulated" } else { "" };
        format!("a guest, kernel {}, {} CPUs ({}){emulated}", self.kernel, self.cpus, self.cpu_model)
    }
}

/// Adds the arms of that report, and where they are from; the inner error says why there are none.
pub(super) fn add(report: &mut BenchReport, path: &Path) -> Result<Result<(), String>> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let elsewhere: Elsewhere = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no report of `police --shaped`", path.display()))?;
    Ok(take(report, elsewhere))
}

fn take(report: &mut BenchReport, elsewhere: Elsewhere) -> Result<(), String> {
    let place = elsewhere.environment.description();
    if let Some(why) = elsewhere.absent.get(super::SHAPED_RATIO) {
        return Err(format!("{place}: {why}"));
    }
    let is_shaped =
        |arm: &str| [GOODPUT, LATENCY, LOST].iter().any(|quantity| arm.split('.').next() == Some(quantity));
    report.arms.extend(elsewhere.arms.into_iter().filter(|(arm, _)| is_shaped(arm)));
    report.conditions.insert(CONDITION, place.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: &str = r#"{"environment": {"kernel": "6.12", "cpus": 2, "cpu_model": "QEMU TCG CPU"},
        "arms": {"tcp_goodput_shaped.plexus.10M": {"unit": "%", "median": 98.5, "p99": 98.5, "min": 98.5, "max": 98.5, "n": 1},
                 "tcp_goodput.plexus.10M": {"unit": "%", "median": 1, "p99": 1, "min": 1, "max": 1, "n": 1}}}"#;

    #[test]
    fn figures_of_a_guest_say_that_they_are() {
        let mut report = BenchReport::begin("police");
        take(&mut report, serde_json::from_str(GUEST).unwrap()).unwrap();
        assert_eq!(report.arms.keys().collect::<Vec<_>>(), ["tcp_goodput_shaped.plexus.10M"]);
        assert_eq!(report.conditions[CONDITION], "a guest, kernel 6.12, 2 CPUs (QEMU TCG CPU), emulated");
    }

    #[test]
    fn a_guest_that_did_not_shape_says_why() {
        let text = GUEST
            .replace("\"arms\"", "\"absent\": {\"tcp_goodput_shaped_percent_min\": \"no fq\"}, \"arms\"");
        let mut report = BenchReport::begin("police");
        let why = take(&mut report, serde_json::from_str(&text).unwrap()).unwrap_err();
        assert!(why.ends_with("no fq") && report.arms.is_empty(), "{why}");
    }
}
