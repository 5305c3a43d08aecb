//! Chained plugins on real interfaces: what they change, what the kernel then does, and what DEL puts back.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../netns_cni/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests of CNI's sentences use more of it")]
mod support;

mod dataplane_routes;
mod route_override;
mod routes_command;
mod sbr;
mod tuning;

use serde_json::{Value, json};

/// A macvlan on uplink1 with these addresses, each with the first of its subnet as gateway, and routes.
fn macvlan(subnets: &[&str], routes: Value) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    json!({
        "type": "macvlan", "master": "uplink1",
        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
    })
}

/// The meta-plugin with this chain as default network.
fn chain(plugins: Vec<Value>) -> Value {
    support::meta(json!({"cniVersion": "1.1.0", "name": "lan", "plugins": plugins}))
}
