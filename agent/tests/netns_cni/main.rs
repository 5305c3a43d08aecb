//! The real shim and the real plexusd in throw-away hosts: what CNI and its users expect, sentence by sentence
//! (`cNNN` are the numbers of docs/conformance.md).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../mock_kubelet/mod.rs"]
#[allow(dead_code, reason = "the tests of its client use more of it")]
mod mock_kubelet;
mod support;

mod add;
mod add_chain;
mod bad_input;
mod bad_socket;
mod check;
mod churn;
mod crash;
mod del;
mod del_state;
mod devices;
mod follow;
mod foreign;
mod foreign_harm;
mod gc;
mod host_device;
mod install;
mod meta;
mod metrics;
mod node_network;
mod pair;
mod parent_links;
mod placement;
mod routing_pod;
mod runtime_duties;
mod runtime_order;
mod seeing;
mod selection;
mod sequence;
mod status;
mod takeover;
