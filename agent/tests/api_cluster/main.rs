//! The real plexusd and the real shim against a real API server with RBAC, in throw-away hosts.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

mod node;

mod denied;
mod fast;
mod follow;
mod identity;
mod manifests;
mod outage;
mod reconcile;
mod refusal;
mod scale;
mod source;
mod status;
mod whereabouts;
