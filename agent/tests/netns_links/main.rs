//! Main plugins whose links this kernel has anyway (`ptp`, `loopback`, `tap`), from the shim to traffic: each test on a
//! throw-away host.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../link_rig/mod.rs"]
mod link_rig;

mod loopback;
mod parent;
mod ptp;
mod ptp_reference;
mod tap;
