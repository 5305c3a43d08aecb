//! What the settings do to frames.

use std::net::IpAddr;

use plexus_agent::lab::Pod;
use plexus_agent::lab::ping::{ping, ping_from};
use plexus_agent::lab::vm::wait_for_answer;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::kernel::{addresses, ip_json};
use crate::node::{Node, sriov, with};
use crate::outcome::succeeded;

fn address(pod: &Pod) -> IpAddr {
    addresses(&pod.netns, "net1")[0].split('/').next().unwrap().parse().unwrap()
}

#[test]
fn pods_of_one_vlan_reach_each_other_and_the_tag_is_on_the_wire() {
    let Some(node) = Node::start() else { return };
    let (near, far) = (node.vfs(0, 1), node.vfs(1, 2));
    let pods = [node.pod("near"), node.pod("far"), node.pod("untagged")];
    let tag = json!({"vlan": 100, "mac": "02:00:00:00:0d:01"});
    succeeded(&node.add(&pods[0], &with(sriov(&near[0]), &tag)));
    succeeded(&node.add(&pods[1], &with(sriov(&far[0]), &json!({"vlan": 100}))));
    succeeded(&node.add(&pods[2], &sriov(&far[1])));
    wait_for_answer(&pods[0].netns, address(&pods[1])).unwrap();
    assert!(ping(&pods[1].netns, address(&pods[0]), 3).unwrap().all_answered());
    assert_eq!(ping(&pods[0].netns, address(&pods[2]), 2).unwrap().received, 0);
    // The other card's own link sees the tag.
    let outside = node.machine.host().netns_named("outside").unwrap();
    let netns = outside.path().display().to_string();
    node.ip(&["link", "add", "link", node.card(1), "name", "tagged", "type", "vlan", "id", "100"]);
    node.ip(&["link", "set", "tagged", "netns", &netns]);
    outside.ip(&["addr", "add", "10.6.0.200/24", "dev", "tagged"]).unwrap();
    outside.ip(&["link", "set", "tagged", "up"]).unwrap();
    wait_for_answer(&pods[0].netns, "10.6.0.200".parse().unwrap()).unwrap();
    for (pod, vf) in [(&pods[0], &near[0]), (&pods[1], &far[0]), (&pods[2], &far[1])] {
        succeeded(&node.del(pod, &sriov(vf)));
    }
}

/// Whether the neighbour hears a request that the pod sends under another hardware address than its own.
fn is_forgery_heard(node: &Node, name: &str, keys: &Value) -> bool {
    let (near, far) = (node.vfs(0, 1), node.vfs(1, 1));
    let (pod, neighbour) = (node.pod(name), node.pod(&format!("{name}-neighbour")));
    let config = with(sriov(&near[0]), keys);
    succeeded(&node.add(&pod, &config));
    succeeded(&node.add(&neighbour, &sriov(&far[0])));
    wait_for_answer(&pod.netns, address(&neighbour)).unwrap();
    pod.netns.ip(&["link", "add", "forged", "link", "net1", "type", "macvlan", "mode", "private"]).unwrap();
    pod.netns.ip(&["addr", "add", "10.6.0.66/24", "dev", "forged"]).unwrap();
    pod.netns.ip(&["link", "set", "forged", "up"]).unwrap();
    // The card does not receive for the other address, so no answer comes: what counts is who heard the question.
    ping_from(&pod.netns, "forged", address(&neighbour), 3).unwrap();
    let heard = ip_json(&neighbour.netns, &["neigh"]).iter().any(|entry| entry["dst"] == "10.6.0.66");
    succeeded(&node.del(&pod, &config));
    succeeded(&node.del(&neighbour, &sriov(&far[0])));
    heard
}

/// The emulated card takes `spoofchk` and drops nothing, so it is the data plane's guard that is shown to.
#[test]
fn frames_under_another_address_do_not_leave_a_guarded_pod() {
    let Some(node) = Node::start() else { return };
    let mac = json!({"mac": "02:00:00:00:0d:02", "spoofchk": "on"});
    assert!(is_forgery_heard(&node, "free", &with(mac.clone(), &json!({"spoofchk": "off"}))));
    assert!(!is_forgery_heard(&node, "guarded", &with(mac, &json!({"plexus": {"macspoofchk": true}}))));
}

#[test]
fn what_a_pod_sends_over_its_function_is_counted() {
    let Some(node) = Node::start() else { return };
    let vfs = [node.vfs(0, 1).remove(0), node.vfs(1, 1).remove(0)];
    let pods = [node.pod("near"), node.pod("far")];
    for (pod, vf) in pods.iter().zip(&vfs) {
        succeeded(&node.add(pod, &sriov(vf)));
    }
    wait_for_answer(&pods[0].netns, address(&pods[1])).unwrap();
    let counters = node.plexusd.ask(&Query::Counters).unwrap();
    let near = counters.as_array().unwrap().iter().find(|port| port["pod"] == "default/near").unwrap();
    for counter in ["rxPackets", "txPackets"] {
        assert!(near["counters"][counter].as_u64().unwrap() > 0, "{near}");
    }
    for (pod, vf) in pods.iter().zip(&vfs) {
        succeeded(&node.del(pod, &sriov(vf)));
    }
}
