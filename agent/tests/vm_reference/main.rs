//! Native plugins beside the reference plugins, on a kernel that has every kind of link.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../reference/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod reference;

use reference::table::{Ground::Vm, compare};

#[test]
fn bridge_with_vlans_does_what_the_reference_plugin_does() {
    compare("bridge", Vm);
}

#[test]
fn ipvlan_does_what_the_reference_plugin_does() {
    compare("ipvlan", Vm);
}

#[test]
fn vlan_does_what_the_reference_plugin_does() {
    compare("vlan", Vm);
}

#[test]
fn vrf_does_what_the_reference_plugin_does() {
    compare("vrf", Vm);
}
