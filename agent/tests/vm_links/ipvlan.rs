//! `ipvlan`: modes, traffic, addresses of an earlier plugin, a parent inside the pod.

use plexus_agent::lab::link::ip;
use plexus_agent::lab::ping::ping;
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::link_rig::support::kernel::{addresses, default_routes, link};
use crate::link_rig::support::{Node, failed, macvlan, succeeded, with};
use crate::link_rig::traffic::{End, address, answers, assert_counted, assert_limited, counted};
use crate::start;

/// On uplink1, with a default route.
pub(crate) fn ipvlan(mode: &str) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "shared", "type": "ipvlan", "master": "uplink1", "mode": mode,
        "ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.4.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
        },
    })
}

/// The machine outside, on the pods' subnet or behind a router, and its address.
fn outside(node: &Node, mode: &str) -> std::net::IpAddr {
    let text = if mode == "l2" {
        node.outside.ip(&["addr", "add", "10.4.0.254/24", "dev", "eth1"]).unwrap();
        "10.4.0.254"
    } else {
        // The host routes: it knows the machine, and the machine knows the way back.
        ip(&["addr", "add", "192.0.2.1/24", "dev", "uplink1"]).unwrap();
        node.outside.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth1"]).unwrap();
        node.outside.ip(&["route", "add", "10.4.0.0/24", "via", "192.0.2.1"]).unwrap();
        "192.0.2.2"
    };
    text.parse().unwrap()
}

fn pods_of_one_master(node: &Node, mode: &str) {
    let (a, b) = (node.pod("a"), node.pod("b"));
    let there = outside(node, mode);
    let at_a = succeeded(&node.add(&a, "net1", &ipvlan(mode)));
    let at_b = succeeded(&node.add(&b, "net2", &ipvlan(mode)));
    let shown = link(&a.netns, "net1").unwrap();
    assert_eq!(
        (&shown["linkinfo"]["info_kind"], &shown["linkinfo"]["info_data"]["mode"]),
        (&json!("ipvlan"), &json!(mode))
    );
    let master = link(node.host.netns(), "uplink1").unwrap();
    assert_eq!(at_a["interfaces"][0]["mac"], master["address"], "children have the master's address");
    assert_eq!(at_a["interfaces"][0]["sandbox"], a.netns.path().to_str().unwrap());
    assert_eq!(default_routes(&a.netns)[0]["gateway"], "10.4.0.1");
    let inside = End { netns: &a.netns, ip: address(&at_a, 0) };
    let sibling = End { netns: &b.netns, ip: address(&at_b, 0) };
    assert!(answers(&b.netns, inside.ip) && answers(&a.netns, there) && answers(&b.netns, there));
    assert!(answers(&node.outside, inside.ip));
    succeeded(&node.check(&a, "net1", &ipvlan(mode), &at_a));
    assert_counted(node, "net1", inside, sibling);
    assert_limited(node, (&a, "net1"), &at_a, inside, sibling);
    // Whoever changes one child changes them all.
    let other = if mode == "l2" { "l3" } else { "l2" };
    b.netns.ip(&["link", "set", "net2", "type", "ipvlan", "mode", other]).unwrap();
    let said = failed(&node.check(&a, "net1", &ipvlan(mode), &at_a), Code::CheckFailed);
    assert!(said.contains(&format!("not in mode {mode}")), "{said}");
    for (pod, ifname) in [(&a, "net1"), (&b, "net2"), (&a, "net1")] {
        succeeded(&node.del(pod, ifname, &ipvlan(mode)));
    }
    node.assert_clean(&[&a, &b]);
}

#[test]
fn in_l2_pods_reach_each_other_and_the_outside_counted_and_limited() {
    let Some(node) = start("in_l2_pods_reach_each_other_and_the_outside_counted_and_limited", &["ipvlan"])
    else {
        return;
    };
    pods_of_one_master(&node, "l2");
}

#[test]
fn in_l3_pods_reach_each_other_and_the_outside_counted_and_limited() {
    let Some(node) = start("in_l3_pods_reach_each_other_and_the_outside_counted_and_limited", &["ipvlan"])
    else {
        return;
    };
    pods_of_one_master(&node, "l3");
}

#[test]
fn in_l3s_pods_reach_each_other_and_the_outside_counted_and_limited() {
    let Some(node) = start("in_l3s_pods_reach_each_other_and_the_outside_counted_and_limited", &["ipvlan"])
    else {
        return;
    };
    pods_of_one_master(&node, "l3s");
}

#[test]
fn traffic_with_the_outside_is_counted_both_ways() {
    let Some(node) = start("traffic_with_the_outside_is_counted_both_ways", &["ipvlan"]) else { return };
    for mode in ["l2", "l3"] {
        let pod = node.pod(mode);
        let there = outside(&node, mode);
        let result = succeeded(&node.add(&pod, "net1", &ipvlan(mode)));
        let inside = End { netns: &pod.netns, ip: address(&result, 0) };
        let peer = End { netns: &node.outside, ip: there };
        assert!(answers(&pod.netns, there));
        assert_counted(&node, "net1", inside, peer);
        assert_limited(&node, (&pod, "net1"), &result, inside, peer);
        succeeded(&node.del(&pod, "net1", &ipvlan(mode)));
        node.outside.ip(&["addr", "flush", "dev", "eth1"]).unwrap();
    }
    node.assert_clean(&[]);
}

#[test]
fn in_l3s_what_comes_from_outside_passes_the_hooks_by_and_ports_says_so() {
    let test = "in_l3s_what_comes_from_outside_passes_the_hooks_by_and_ports_says_so";
    let Some(node) = start(test, &["ipvlan"]) else { return };
    let pod = node.pod("a");
    let there = outside(&node, "l3s");
    succeeded(&node.add(&pod, "net1", &ipvlan("l3s")));
    let lacks = node.query(&Query::Ports)[0]["lacks"].to_string();
    assert!(lacks.contains("l3s"), "{lacks}");
    let before = counted(&node, "net1");
    assert!(ping(&pod.netns, there, 10).unwrap().all_answered());
    let after = counted(&node, "net1");
    assert!(after.0 - before.0 >= 10, "{before:?} {after:?}");
    assert!(
        after.1 - before.1 < 10,
        "the kernel has changed: say so in docs/plugins.md {before:?} {after:?}"
    );
    succeeded(&node.del(&pod, "net1", &ipvlan("l3s")));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_chained_one_takes_master_and_addresses_of_the_result_before_it() {
    let test = "a_chained_one_takes_master_and_addresses_of_the_result_before_it";
    let Some(node) = start(test, &["ipvlan"]) else { return };
    let pod = node.pod("a");
    let mut config = ipvlan("l2");
    for key in ["master", "ipam"] {
        config.as_object_mut().unwrap().remove(key);
    }
    let before = |names: &[&str]| {
        let interfaces: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({
            "cniVersion": "1.1.0", "interfaces": interfaces, "dns": {"nameservers": ["10.0.0.53"]},
            "ips": [{"interface": 0, "address": "10.4.0.9/24", "gateway": "10.4.0.1"}], "routes": [{"dst": "0.0.0.0/0"}],
        })
    };
    let two = with(config.clone(), "prevResult", before(&["uplink0", "uplink1"]));
    let said = failed(&node.add(&pod, "net1", &two), Code::InvalidConfig);
    assert!(said.contains("exactly one interface"), "{said}");
    let one = with(config.clone(), "prevResult", before(&["uplink1"]));
    let result = succeeded(&node.add(&pod, "net1", &one));
    assert_eq!(addresses(&pod.netns, "net1"), ["10.4.0.9/24"]);
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&result["interfaces"][0]["name"], &result["ips"][0]["interface"]),
        (&json!("net1"), &json!(0))
    );
    assert_eq!(result["dns"]["nameservers"], json!(["10.0.0.53"]));
    succeeded(&node.check(&pod, "net1", &config, &result));
    succeeded(&node.del(&pod, "net1", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_link_inside_the_pod_can_be_the_master() {
    let Some(node) = start("a_link_inside_the_pod_can_be_the_master", &["ipvlan"]) else { return };
    let pod = node.pod("a");
    node.outside.ip(&["addr", "add", "10.4.0.254/24", "dev", "eth1"]).unwrap();
    succeeded(&node.add(&pod, "lower", &macvlan()));
    let config = with(with(ipvlan("l2"), "master", json!("lower")), "linkInContainer", json!(true));
    let result = succeeded(&node.add(&pod, "net1", &config));
    assert_eq!(link(&pod.netns, "net1").unwrap()["link"], "lower");
    assert!(answers(&pod.netns, "10.4.0.254".parse().unwrap()));
    succeeded(&node.check(&pod, "net1", &config, &result));
    succeeded(&node.del(&pod, "net1", &config));
    succeeded(&node.del(&pod, "lower", &macvlan()));
    node.assert_clean(&[&pod]);
}
