//! `ptp` beside the reference plugin.

use std::path::PathBuf;

use plexus_agent::lab::skip::skipped;
use plexus_agent::lab::{NetNs, Pod, Runtime};
use serde_json::{Value, json};

use crate::link_rig::support::kernel::ip_json;
use crate::link_rig::support::{Node, succeeded, with};
use crate::ptp;

fn reference_or_skip(test: &str, plugin: &str) -> Option<Runtime> {
    let dir = std::env::var("CNI_REFERENCE_BIN").unwrap_or_else(|_| "/usr/lib/cni".into());
    let path = PathBuf::from(dir).join(plugin);
    if path.is_file() {
        return Some(Runtime::of_plugin(&path));
    }
    skipped(test, &format!("{} is missing (`apt-get install containernetworking-plugins`)", path.display()));
    None
}

/// Without masquerading, which is nftables here and iptables there.
fn plain(ipam: Value) -> Value {
    with(with(with(ptp::ptp(), "ipMasq", json!(false)), "cniVersion", json!("1.0.0")), "ipam", ipam)
}

/// A result without the names and addresses that chance chose.
fn without_chance(mut result: Value) -> Value {
    for interface in result["interfaces"].as_array_mut().unwrap() {
        interface["mac"].take();
    }
    result["interfaces"][0]["name"].take();
    if result["dns"] == json!({}) {
        result.as_object_mut().unwrap().remove("dns");
    }
    result
}

/// Routes of both families, in the pod or over the host's end.
fn routes(netns: &NetNs, device: &str) -> Vec<Value> {
    let mut routes = Vec::new();
    for family in ["-4", "-6"] {
        routes.extend(ip_json(netns, &["-d", family, "route", "show", "dev", device]));
    }
    // What the kernel makes by itself for link-local addresses.
    routes.retain(|route| !route["dst"].as_str().unwrap().starts_with("fe80::"));
    routes
}

struct Seen {
    result: Value,
    pod_routes: Vec<Value>,
    host_routes: Vec<Value>,
}

fn look(node: &Node, pod: &Pod, result: Value) -> Seen {
    let host_end = result["interfaces"][0]["name"].as_str().unwrap().to_owned();
    Seen {
        pod_routes: routes(&pod.netns, "eth0"),
        host_routes: routes(node.host.netns(), &host_end),
        result: without_chance(result),
    }
}

#[test]
fn results_and_routes_are_the_reference_plugins() {
    let test = "results_and_routes_are_the_reference_plugins";
    let Some(reference) = reference_or_skip(test, "ptp") else { return };
    let Some(node) = Node::start() else { return };
    let two = json!([[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd09::/64"}]]);
    let all = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.20.0.0/16", "gw": "10.9.0.9"}]);
    for config in [
        plain(json!({"type": "host-local", "subnet": "10.9.0.0/24"})),
        plain(json!({"type": "host-local", "ranges": two, "routes": all})),
        with(
            plain(
                json!({"type": "static", "addresses": [{"address": "10.9.0.9/24", "gateway": "10.9.0.1"}]}),
            ),
            "dns",
            json!({"nameservers": ["10.0.0.53"]}),
        ),
    ] {
        let pod = node.pod("a");
        let ours = look(&node, &pod, succeeded(&node.add(&pod, "eth0", &config)));
        succeeded(&node.del(&pod, "eth0", &config));
        std::fs::remove_dir_all(node.host.leases_dir().join("p2p")).ok();
        let theirs = look(&node, &pod, reference.add(&pod, "eth0", &config).unwrap().success().unwrap());
        assert_eq!(ours.result, theirs.result, "{config}");
        assert_eq!(ours.pod_routes, theirs.pod_routes, "{config}");
        assert_eq!(ours.host_routes, theirs.host_routes, "{config}");
        // Theirs is deleted by ours, which knows nothing of it.
        succeeded(&node.del(&pod, "eth0", &config));
        std::fs::remove_dir_all(node.host.leases_dir().join("p2p")).ok();
        node.assert_clean(&[&pod]);
        pod.netns.remove().unwrap();
    }
}
