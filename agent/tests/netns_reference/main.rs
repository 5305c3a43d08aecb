//! Native plugins beside the reference plugins, in throw-away hosts on this machine's kernel.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../reference/mod.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod reference;

use reference::table::{Ground::Namespaces, compare};

#[test]
fn macvlan_does_what_the_reference_plugin_does() {
    compare("macvlan", Namespaces);
}

#[test]
fn bridge_does_what_the_reference_plugin_does() {
    compare("bridge", Namespaces);
}

#[test]
fn bandwidth_does_what_the_reference_plugin_does() {
    compare("bandwidth", Namespaces);
}

#[test]
fn ptp_does_what_the_reference_plugin_does() {
    compare("ptp", Namespaces);
}

#[test]
fn loopback_does_what_the_reference_plugin_does() {
    compare("loopback", Namespaces);
}

#[test]
fn portmap_does_what_the_reference_plugin_does() {
    compare("portmap", Namespaces);
}

#[test]
fn firewall_does_what_the_reference_plugin_does() {
    compare("firewall", Namespaces);
}

#[test]
fn host_device_does_what_the_reference_plugin_does() {
    compare("host-device", Namespaces);
}

#[test]
fn tuning_does_what_the_reference_plugin_does() {
    compare("tuning", Namespaces);
}

#[test]
fn sbr_does_what_the_reference_plugin_does() {
    compare("sbr", Namespaces);
}
