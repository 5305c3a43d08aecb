//! `vlan`.

use plexus_agent::lab::link::ip;
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::link_rig::support::kernel::link;
use crate::link_rig::support::{Node, failed, macvlan, succeeded, with};
use crate::link_rig::traffic::{End, address, answers, assert_counted, assert_limited};
use crate::start;

/// The kind, as `ip link add` wants it.
pub(crate) const KIND: &[&str] = &["vlan", "id", "9"];

/// A VLAN of uplink1; `10.5.0.0/24` holds its addresses.
pub(crate) fn vlan(id: u16) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "tagged", "type": "vlan", "master": "uplink1", "vlanId": id,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}]]},
    })
}

/// The machine outside in that VLAN: what it gets came with that tag.
pub(crate) fn tagged_outside(node: &Node, id: u16, address: &str) {
    let (name, id) = (format!("eth1.{id}"), id.to_string());
    node.outside.ip(&["link", "add", &name, "link", "eth1", "type", "vlan", "id", &id]).unwrap();
    node.outside.ip(&["addr", "add", address, "dev", &name]).unwrap();
    node.outside.ip(&["link", "set", &name, "up"]).unwrap();
}

#[test]
fn a_pod_is_in_its_vlan_alone_counted_and_limited() {
    let Some(node) = start("a_pod_is_in_its_vlan_alone_counted_and_limited", KIND) else { return };
    tagged_outside(&node, 100, "10.5.0.254/24");
    let (a, b) = (node.pod("a"), node.pod("b"));
    let at_a = succeeded(&node.add(&a, "net1", &vlan(100)));
    succeeded(&node.add(&b, "net2", &vlan(200)));
    let shown = link(&a.netns, "net1").unwrap();
    let info = &shown["linkinfo"]["info_data"];
    assert_eq!((&info["id"], &info["protocol"]), (&json!(100), &json!("802.1Q")));
    assert_eq!((&at_a["interfaces"][0]["mac"], &shown["mtu"]), (&shown["address"], &json!(1500)));
    let there = "10.5.0.254".parse().unwrap();
    let inside = End { netns: &a.netns, ip: address(&at_a, 0) };
    let peer = End { netns: &node.outside, ip: there };
    assert!(answers(&a.netns, there), "the tag is right");
    assert!(!answers(&b.netns, there), "the other VLAN does not lead there");
    succeeded(&node.check(&a, "net1", &vlan(100), &at_a));
    assert_counted(&node, "net1", inside, peer);
    assert_limited(&node, (&a, "net1"), &at_a, inside, peer);
    let path = a.netns.path().to_str().unwrap();
    a.netns.ip(&["link", "del", "net1"]).unwrap();
    let mac = at_a["interfaces"][0]["mac"].as_str().unwrap();
    let other = [
        "link", "add", "link", "uplink1", "name", "net1", "netns", path, "address", mac, "type", "vlan",
        "id", "101",
    ];
    ip(&other).unwrap();
    a.netns.ip(&["addr", "add", &format!("{}/24", inside.ip), "dev", "net1"]).unwrap();
    let said = failed(&node.check(&a, "net1", &vlan(100), &at_a), Code::CheckFailed);
    assert!(said.contains("not in VLAN 100"), "{said}");
    a.netns.ip(&["link", "del", "net1"]).unwrap();
    succeeded(&node.del(&a, "net1", &vlan(100)));
    succeeded(&node.del(&a, "net1", &vlan(100)));
    succeeded(&node.del(&b, "net2", &vlan(200)));
    node.assert_clean(&[&a, &b]);
}

#[test]
fn a_taken_vlan_is_refused_and_names_its_holder() {
    let Some(node) = start("a_taken_vlan_is_refused_and_names_its_holder", KIND) else { return };
    let (a, b) = (node.pod("a"), node.pod("b"));
    succeeded(&node.add(&a, "net1", &vlan(100)));
    let said = failed(&node.add(&b, "net2", &vlan(100)), Code::Kernel);
    assert!(said.contains("VLAN 100 of uplink1 is taken") && said.contains("interface net1 of "), "{said}");
    succeeded(&node.del(&b, "net2", &vlan(100)));
    ip(&["link", "add", "mine", "link", "uplink1", "type", "vlan", "id", "101"]).unwrap();
    let said = failed(&node.add(&b, "net2", &vlan(101)), Code::Kernel);
    assert!(said.contains("link mine beside it"), "{said}");
    ip(&["link", "del", "mine"]).unwrap();
    assert_eq!(node.leases("tagged"), ["10.5.0.2"]);
    succeeded(&node.del(&a, "net1", &vlan(100)));
    succeeded(&node.add(&b, "net2", &vlan(100)));
    succeeded(&node.del(&b, "net2", &vlan(100)));
    node.assert_clean(&[&a, &b]);
}

#[test]
fn c014_a_config_that_cannot_work_is_refused_and_leaves_nothing() {
    let Some(node) = start("c014_a_config_that_cannot_work_is_refused_and_leaves_nothing", KIND) else {
        return;
    };
    let pod = node.pod("a");
    let without = |key: &str| {
        let mut config = vlan(100);
        config.as_object_mut().unwrap().remove(key);
        config
    };
    for (config, named) in [
        (with(vlan(1), "vlanId", json!(4095)), "\"vlanId\" is 4095"),
        (with(vlan(1), "vlanId", json!(-1)), "\"vlanId\" is -1"),
        (without("vlanId"), "\"vlanId\" is missing"),
        (without("master"), "\"master\" is missing"),
        (with(vlan(1), "master", json!("none0")), "none0"),
        (with(vlan(1), "mtu", json!(1501)), "\"mtu\" is 1501"),
    ] {
        let said = failed(&node.add(&pod, "net1", &config), Code::InvalidConfig);
        assert!(said.contains(named), "{said}");
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn mtu_no_addresses_and_a_master_inside_the_pod() {
    let Some(node) = start("mtu_no_addresses_and_a_master_inside_the_pod", KIND) else { return };
    let pod = node.pod("a");
    let plain = with(with(vlan(100), "ipam", json!({})), "mtu", json!(1400));
    let result = succeeded(&node.add(&pod, "net1", &plain));
    assert!(result.get("ips").is_none());
    let shown = link(&pod.netns, "net1").unwrap();
    assert_eq!(shown["mtu"], 1400);
    // Not its operstate, which the kernel works out a moment later.
    assert!(shown["flags"].as_array().unwrap().contains(&json!("UP")), "{shown}");
    succeeded(&node.check(&pod, "net1", &plain, &result));
    succeeded(&node.del(&pod, "net1", &plain));
    succeeded(&node.add(&pod, "lower", &macvlan()));
    let inner = with(with(vlan(100), "master", json!("lower")), "linkInContainer", json!(true));
    let result = succeeded(&node.add(&pod, "net1", &inner));
    assert_eq!(link(&pod.netns, "net1").unwrap()["link"], "lower");
    succeeded(&node.check(&pod, "net1", &inner, &result));
    succeeded(&node.del(&pod, "net1", &inner));
    succeeded(&node.del(&pod, "lower", &macvlan()));
    node.assert_clean(&[&pod]);
}
