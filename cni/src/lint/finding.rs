//! One thing that is to be said.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know: where Plexus differs from Multus, and what must be on the node.
    Note,
    /// It works, but probably not as meant.
    Warning,
    /// Pods that use it do not start, or plexusd does not.
    Error,
}

/// What is wrong, where, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file, as it was named.
    pub file: String,
    /// Its line, from 1; none where the whole file is meant.
    pub line: Option<u32>,
    /// The character in the line, from 1.
    pub column: Option<u32>,
    /// The object: kind, namespace and name, or what kind of config it is.
    pub object: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do.
    pub action: String,
}
