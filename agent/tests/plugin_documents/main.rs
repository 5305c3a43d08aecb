//! docs/plugins.md covers every plugin and key, and docs/differences-from-plugins.md is the table that the comparisons with
//! the reference plugins hold to.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../reference/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod reference;

mod coverage;
mod differences;
mod keys;
