//! Chained plugins that need a kernel with VRFs, and source based routing on kernels of distributions.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../netns_cni/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of CNI's sentences use more of it")]
mod support;

mod sbr;
mod vrf;

use serde_json::{Value, json};

/// A macvlan with these addresses, each with the first of its subnet as gateway, and routes.
fn macvlan(master: &str, subnets: &[&str], routes: Value) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    json!({
        "type": "macvlan", "master": master,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
    })
}

/// A network with this chain.
fn network(name: &str, plugins: Vec<Value>) -> Value {
    json!({"cniVersion": "1.1.0", "name": name, "plugins": plugins})
}
