//! Tables of docs/ that claim something of the code claim it of every row, and name only tests that exist.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod conformance;
mod multus;
mod table;
