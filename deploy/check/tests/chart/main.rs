//! The chart and the manifests rendered from it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod flags;
mod options;
mod permissions;
mod rendered;
mod support;
mod values;
