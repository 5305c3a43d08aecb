//! What people see of a port: where its programs stand and why, and the guard on taps.

use std::net::UdpSocket;

use plexus_agent::lab::Pod;
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::{Node, failed, macvlan, succeeded, with};

/// A pod's packets under its own address, and under another one that it gave itself.
fn send(pod: &Pod, source: &str) {
    let sending = || {
        let socket = UdpSocket::bind((source, 0)).unwrap();
        for _ in 0..3 {
            // The kernel takes a dropped packet for a full queue.
            socket.send_to(b"x", "10.1.0.99:9").unwrap_or_default();
        }
    };
    pod.netns.within(sending).unwrap();
}

fn drops(node: &Node, reason: &str) -> u64 {
    node.query(&Query::Counters)[0]["counters"]["drops"][reason].as_u64().unwrap()
}

#[test]
fn a_guarded_macvlan_sends_under_its_own_address_only() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let guard = json!({"macspoofchk": true, "ipspoofchk": true});
    let config = with(macvlan(), "plexus", guard);
    let result = succeeded(&node.add(&pod, "net1", &config));
    let own = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    // Nobody answers ARP there, so it is told.
    let neighbour = ["neigh", "add", "10.1.0.99", "lladdr", "02:00:00:00:00:99", "dev", "net1"];
    pod.netns.ip(&neighbour).unwrap();
    send(&pod, &own);
    assert_eq!(drops(&node, "spoofed-ip"), 0);
    pod.netns.ip(&["addr", "add", "10.1.0.77/32", "dev", "net1"]).unwrap();
    send(&pod, "10.1.0.77");
    assert_eq!(drops(&node, "spoofed-ip"), 3);
    let port = node.query(&Query::Ports)[0].clone();
    assert_eq!((&port["guardMac"], &port["guardIp"]), (&json!(true), &json!(true)), "{port}");
    succeeded(&node.del(&pod, "net1", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_guard_that_is_no_yes_or_no_is_refused() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let config = with(macvlan(), "plexus", json!({"macspoofchk": "on"}));
    let told = failed(&node.add(&pod, "net1", &config), Code::UnsupportedField);
    assert!(told.contains("plexus.macspoofchk"), "{told}");
    node.assert_clean(&[&pod]);
}

#[test]
fn ports_and_explain_say_where_the_programs_stand_and_why() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let config = macvlan();
    succeeded(&node.add(&pod, "net1", &config));
    let port = node.query(&Query::Ports)[0].clone();
    assert!(port["reason"].as_str().is_some_and(|why| why.starts_with("in the pod")), "{port}");
    assert_eq!(port["lacks"], json!([]));
    let names: Vec<&Value> =
        port["state"]["hooks"].as_array().unwrap().iter().map(|hook| &hook["name"]).collect();
    assert_eq!(names, ["pod-tap-tx", "pod-tap-rx"]);
    let explained = node.query(&Query::Explain { pod: pod.container_id.clone() });
    assert!(explained.to_string().contains("its programs stand in the pod"), "{explained}");
    succeeded(&node.del(&pod, "net1", &config));
}
