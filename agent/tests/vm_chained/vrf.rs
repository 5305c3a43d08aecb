//! `vrf`: made where it is missing, entered with addresses and routes, left, and gone with its last member.

use plexus_agent::lab::ping::ping_from;
use plexus_agent::lab::{NetNs, require_machine_or_skip};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::kernel::{addresses, ip_json, link};
use crate::support::{Node, failed, meta, succeeded};
use crate::{macvlan, network};

const SUBNETS: [&str; 2] = ["10.1.0.0/24", "fd01::/64"];

fn member(name: &str, keys: Value) -> Value {
    let routes = json!([{"dst": "10.9.0.0/16"}, {"dst": "fd09::/64"}]);
    let mut vrf = keys;
    vrf["type"] = json!("vrf");
    network(name, vec![macvlan("uplink1", &SUBNETS, routes), vrf])
}

/// The routes of a table that are not the kernel's own, as `destination next-hop`.
fn set_routes(netns: &NetNs, table: &str) -> Vec<String> {
    let family = |family| {
        let printed = netns.run("ip", &["-j", family, "route", "show", "table", table]);
        serde_json::from_str::<Vec<Value>>(printed.map(|ended| ended.stdout).unwrap_or_default().trim())
            .unwrap_or_default()
    };
    let both = ["-4", "-6"].map(family).concat();
    let set = both.iter().filter(|route| route["gateway"].is_string());
    set.map(|route| format!("{} {}", route["dst"].as_str().unwrap(), route["gateway"].as_str().unwrap()))
        .collect()
}

#[test]
fn an_interface_enters_a_vrf_with_its_addresses_and_routes() {
    if !require_machine_or_skip("an_interface_enters_a_vrf_with_its_addresses_and_routes") {
        return;
    }
    let Some(node) = Node::start() else { return };
    for address in ["10.1.0.1/24", "fd01::1/64"] {
        let mut arguments = vec!["address", "add", address, "dev", "eth1"];
        arguments.extend(address.contains(':').then_some("nodad"));
        node.outside.ip(&arguments).unwrap();
    }
    let pod = node.known_pod("a", "");
    let config = meta(member("lan", json!({"vrfname": "blue"})));
    let result = succeeded(&node.add(&pod, "eth0", &config));
    let vrf = link(&pod.netns, "blue").unwrap();
    assert_eq!(vrf["linkinfo"]["info_data"]["table"], 1, "the first that is free");
    assert_eq!(link(&pod.netns, "eth0").unwrap()["master"], "blue");
    assert_eq!(addresses(&pod.netns, "eth0"), ["10.1.0.2/24", "fd01::2/64"]);
    assert_eq!(set_routes(&pod.netns, "1"), ["10.9.0.0/16 10.1.0.1", "fd09::/64 fd01::1"]);
    assert_eq!(set_routes(&pod.netns, "main"), Vec::<String>::new());
    for gateway in ["10.1.0.1", "fd01::1"] {
        assert!(
            ping_from(&pod.netns, "blue", gateway.parse().unwrap(), 3).unwrap().all_answered(),
            "{gateway}"
        );
    }
    succeeded(&node.check(&pod, "eth0", &config, &result));
    pod.netns.ip(&["link", "set", "eth0", "nomaster"]).unwrap();
    assert!(failed(&node.check(&pod, "eth0", &config, &result), Code::CheckFailed).contains("eth0"));
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_vrf_lives_as_long_as_it_has_members() {
    if !require_machine_or_skip("a_vrf_lives_as_long_as_it_has_members") {
        return;
    }
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    // Two calls of the runtime, each for one network.
    let part = |ifname: &str, table: u32| {
        let main = json!({"cniVersion": "1.1.0", "name": ifname, "type": "macvlan", "master": "uplink1"});
        let result = succeeded(&node.add(&pod, ifname, &main));
        let vrf = json!({
            "cniVersion": "1.1.0", "name": ifname, "type": "vrf", "vrfname": "blue", "table": table, "prevResult": result,
        });
        (main, vrf)
    };
    let first = part("net1", 55);
    succeeded(&node.add(&pod, "net1", &first.1));
    let second = part("net2", 0);
    succeeded(&node.add(&pod, "net2", &second.1));
    let third = part("net3", 56);
    assert!(failed(&node.add(&pod, "net3", &third.1), Code::InvalidConfig).contains("55"));
    succeeded(&node.del(&pod, "net1", &first.1));
    assert!(link(&pod.netns, "blue").is_some());
    assert!(link(&pod.netns, "net1").unwrap()["master"].is_null());
    for _ in 0..2 {
        succeeded(&node.del(&pod, "net2", &second.1));
        assert!(link(&pod.netns, "blue").is_none());
    }
    for (ifname, main) in [("net1", first.0), ("net2", second.0), ("net3", third.0)] {
        succeeded(&node.del(&pod, ifname, &main));
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn leaving_a_vrf_puts_addresses_and_routes_back() {
    if !require_machine_or_skip("leaving_a_vrf_puts_addresses_and_routes_back") {
        return;
    }
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let netns = &pod.netns;
    netns.ip(&["link", "add", "net1", "type", "dummy"]).unwrap();
    netns.ip(&["address", "add", "10.5.0.2/24", "dev", "net1"]).unwrap();
    netns.ip(&["address", "add", "fd05::2/64", "dev", "net1", "nodad"]).unwrap();
    netns.ip(&["link", "set", "net1", "up"]).unwrap();
    netns.ip(&["route", "add", "default", "via", "10.5.0.1"]).unwrap();
    netns.ip(&["route", "add", "fd09::/64", "via", "fd05::1"]).unwrap();
    let before = (addresses(netns, "net1"), set_routes(netns, "main"));
    let config = json!({
        "cniVersion": "1.1.0", "name": "foreign", "type": "vrf", "vrfname": "blue",
        "prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "net1", "sandbox": netns.path()}]},
    });
    succeeded(&node.add(&pod, "net1", &config));
    assert_eq!(set_routes(netns, "main"), Vec::<String>::new());
    succeeded(&node.del(&pod, "net1", &config));
    assert_eq!((addresses(netns, "net1"), set_routes(netns, "main")), before);
    assert!(ip_json(netns, &["link", "show", "type", "vrf"]).is_empty());
}

#[test]
fn what_is_no_vrf_is_refused() {
    if !require_machine_or_skip("what_is_no_vrf_is_refused") {
        return;
    }
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    for (keys, named) in [
        (json!({}), "vrfname"),
        (json!({"vrfname": "eth0"}), "own name"),
        (json!({"vrfname": "lo"}), "no VRF"),
        (json!({"vrfname": "a/b"}), "a/b"),
    ] {
        let text = failed(&node.add(&pod, "eth0", &meta(member("lan", keys))), Code::InvalidConfig);
        assert!(text.contains(named), "{text}");
        node.assert_clean(&[&pod]);
    }
}
