//! A report as it is read back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::report::Figures;

/// What the README needs of a report.
#[derive(Debug, Deserialize)]
pub(super) struct Published {
    pub(super) bench: String,
    pub(super) environment: Environment,
    pub(super) conditions: BTreeMap<String, Value>,
    pub(super) arms: BTreeMap<String, Figures>,
    pub(super) ratios: BTreeMap<String, f64>,
    #[serde(default)]
    pub(super) absent: BTreeMap<String, String>,
}

/// Where it was measured.
#[derive(Debug, Deserialize)]
pub(super) struct Environment {
    pub(super) kernel: String,
    pub(super) cpus: usize,
    pub(super) cpu_model: String,
    pub(super) load: [f64; 3],
    pub(super) commit: String,
    pub(super) optimised: bool,
}

impl Published {
    /// The file's text, and what it says.
    pub(super) fn read(path: &Path) -> Result<(String, Self)> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let report = serde_json::from_str(&text)
            .with_context(|| format!("{} is no report of a benchmark", path.display()))?;
        Ok((text, report))
    }
}
