//! fastpath over netkit pairs, where the kernel has them: from the shim to traffic.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "helpers of tests fail as tests do, and take what `json!` makes"
)]

#[path = "../link_rig/mod.rs"]
#[allow(dead_code, reason = "the tests of main plugins use more of it")]
mod link_rig;

use std::net::SocketAddr;
use std::time::Duration;

use plexus_agent::lab::link::ip;
use plexus_agent::lab::skip::skipped;
use plexus_agent::lab::traffic::{Flow, FlowSpec, tcp};
use plexus_agent::lab::{NetNs, vm};
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::link_rig::support::kernel::link;
use crate::link_rig::support::{Node, failed, fastpath, succeeded, with};
use crate::link_rig::traffic::{End, address, answers, assert_counted, assert_limited};

const OUTSIDE: &str = "10.2.0.254";

/// A node whose kernel has netkit, with a machine outside in the network's VLAN; else says that the test is skipped.
fn start(test: &str) -> Option<Node> {
    let node = Node::start()?;
    match ip(&["link", "add", "probe0", "type", "netkit"]) {
        Ok(()) => ip(&["link", "del", "probe0"]).unwrap(),
        // There the kernel has it, whatever `ip` knows.
        Err(_) if vm::series().is_some_and(|series| series != "6.1") => {}
        Err(error) => {
            skipped(test, &format!("this kernel makes no netkit links: {error}"));
            return None;
        }
    }
    node.outside
        .ip(&["link", "add", "eth0.100", "link", "eth0", "type", "vlan", "id", "100"])
        .and_then(|()| node.outside.ip(&["addr", "add", &format!("{OUTSIDE}/24"), "dev", "eth0.100"]))
        .and_then(|()| node.outside.ip(&["link", "set", "eth0.100", "up"]))
        .unwrap();
    Some(node)
}

fn over(choice: &str) -> Value {
    with(fastpath(), "plexus", json!({"link": choice}))
}

fn kind(netns: &NetNs) -> Value {
    link(netns, "net1").unwrap()["linkinfo"]["info_kind"].clone()
}

/// The port as `plexusctl ports` shows it.
fn port(node: &Node, pod: &str) -> Value {
    let ports = node.query(&Query::Ports);
    let found = ports.as_array().unwrap().iter().find(|port| port["pod"].as_str().unwrap().ends_with(pod));
    found.unwrap_or_else(|| panic!("{ports}")).clone()
}

/// Datagrams for a while, at a rate that an emulated machine keeps up with.
fn flow(from: &NetNs, to: End<'_>) -> Flow {
    let spec = FlowSpec {
        to: SocketAddr::new(to.ip, 5001),
        rate_pps: 50,
        payload_bytes: 1_000,
        duration: Duration::from_mins(1),
        warm_up: Duration::ZERO,
    };
    Flow::start(from, to.netns, spec).unwrap()
}

#[test]
fn pods_over_netkit_reach_each_other_a_veth_and_the_outside_and_leave_nothing() {
    let test = "pods_over_netkit_reach_each_other_a_veth_and_the_outside_and_leave_nothing";
    let Some(mut node) = start(test) else { return };
    let pods = [node.pod("a"), node.pod("b"), node.pod("c")];
    let configs = [over("netkit"), over("auto"), over("veth")];
    let results = [0, 1, 2].map(|at| succeeded(&node.add(&pods[at], "net1", &configs[at])));
    assert_eq!([0, 1, 2].map(|at| kind(&pods[at].netns)), ["netkit", "netkit", "veth"]);
    let shown = port(&node, "a");
    assert_eq!(shown["kind"]["fastpath"]["link"]["kind"], "netkit", "{shown}");
    assert_eq!(
        (&shown["state"]["hooks"][0]["name"], &shown["state"]["hooks"][0]["mode"]),
        (&json!("from-pod-netkit"), &json!("netkit"))
    );
    let real = link(&pods[0].netns, "net1").unwrap();
    assert_eq!(real["address"], results[0]["interfaces"][1]["mac"]);
    let outside = End { netns: &node.outside, ip: OUTSIDE.parse().unwrap() };
    let [a, b, c] = [0, 1, 2].map(|at| End { netns: &pods[at].netns, ip: address(&results[at], 0) });
    for (from, to) in [(a, b), (a, c), (c, a), (a, outside), (outside, b)] {
        assert!(answers(from.netns, to.ip), "{} to {}", from.ip, to.ip);
    }
    for to in [b, c, outside] {
        let moved =
            tcp::transfer(a.netns, to.netns, SocketAddr::new(to.ip, 5002), Duration::from_millis(300));
        assert!(moved.unwrap().bytes > 256 << 10, "to {}", to.ip);
    }
    let sending = flow(a.netns, outside);
    node.plexusd.kill().unwrap();
    node.plexusd.restart().unwrap();
    let report = sending.finish().unwrap();
    assert!(report.lost == 0 && report.sent > 100, "{report:?}");
    succeeded(&node.check(&pods[0], "net1", &configs[0], &results[0]));
    for at in 0..3 {
        succeeded(&node.del(&pods[at], "net1", &configs[at]));
    }
    node.assert_clean(&[&pods[0], &pods[1], &pods[2]]);
}

#[test]
fn a_pod_over_netkit_is_counted_limited_and_guarded_on_a_network_that_learns() {
    let test = "a_pod_over_netkit_is_counted_limited_and_guarded_on_a_network_that_learns";
    let Some(node) = start(test) else { return };
    let pod = node.pod("a");
    let config = with(fastpath(), "plexus", json!({"link": "netkit", "learning": true}));
    let result = succeeded(&node.add(&pod, "net1", &config));
    let inside = End { netns: &pod.netns, ip: address(&result, 0) };
    let outside = End { netns: &node.outside, ip: OUTSIDE.parse().unwrap() };
    assert_counted(&node, "net1", inside, outside);
    assert_limited(&node, (&pod, "net1"), &result, inside, outside);
    pod.netns.ip(&["addr", "add", "10.2.0.99/24", "dev", "net1"]).unwrap();
    assert!(
        !plexus_agent::lab::ping::ping_from(&pod.netns, "10.2.0.99", outside.ip, 2).unwrap().all_answered()
    );
    assert!(node.query(&Query::Counters)[0]["counters"]["drops"]["spoofed-ip"].as_u64().unwrap() >= 2);
    pod.netns.ip(&["addr", "del", "10.2.0.99/24", "dev", "net1"]).unwrap();
    // Whoever takes the program away is found out, and nothing passes meanwhile.
    let index =
        link(node.host.netns(), result["interfaces"][0]["name"].as_str().unwrap()).unwrap()["ifindex"]
            .clone();
    std::fs::remove_file(node.host.bpffs().join("netkit").join(index.to_string())).unwrap();
    let said = failed(&node.check(&pod, "net1", &config, &result), Code::CheckFailed);
    assert!(said.contains("from-pod-netkit-learning"), "{said}");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!answers(&pod.netns, outside.ip));
    succeeded(&node.del(&pod, "net1", &config));
    node.assert_clean(&[&pod]);
}
