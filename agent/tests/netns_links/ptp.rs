//! `ptp`.

use std::net::IpAddr;

use plexus_agent::lab::link::ip;
use plexus_agent::lab::require_binary_or_skip;
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::link_rig::support::kernel::{ip_json, link};
use crate::link_rig::support::{Node, failed, succeeded, with};
use crate::link_rig::traffic::{End, address, answers, assert_counted, assert_limited};

/// The host's own address on its way out, and the machine there, which knows no way back to the pods.
const OUTSIDE: &str = "192.0.2.2";

/// Addresses of both families, and masquerading.
pub(crate) fn ptp() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "p2p", "type": "ptp", "ipMasq": true,
        "ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd09::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
        },
    })
}

fn start(test: &str) -> Option<Node> {
    if !require_binary_or_skip(test, "nft", "nftables") {
        return None;
    }
    let node = Node::start()?;
    ip(&["addr", "add", "192.0.2.1/24", "dev", "uplink0"]).unwrap();
    node.outside.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]).unwrap();
    Some(node)
}

#[test]
fn pods_reach_each_other_and_masqueraded_the_outside_through_the_host() {
    let test = "pods_reach_each_other_and_masqueraded_the_outside_through_the_host";
    let Some(node) = start(test) else { return };
    let (a, b) = (node.pod("a"), node.pod("b"));
    let at_a = succeeded(&node.add(&a, "eth0", &ptp()));
    let at_b = succeeded(&node.add(&b, "eth0", &ptp()));
    for family in 0..2 {
        assert!(answers(&a.netns, address(&at_b, family)));
        assert!(answers(&b.netns, address(&at_a, family)));
    }
    for host in ["10.9.0.1", "fd09::1", OUTSIDE] {
        assert!(answers(&a.netns, host.parse().unwrap()), "{host}");
    }
    succeeded(&node.check(&a, "eth0", &ptp(), &at_a));
    succeeded(&node.del(&a, "eth0", &ptp()));
    assert!(answers(&b.netns, OUTSIDE.parse().unwrap()), "the other pod keeps its rules");
    succeeded(&node.del(&b, "eth0", &ptp()));
    succeeded(&node.del(&b, "eth0", &ptp()));
    node.assert_clean(&[&a, &b]);
}

#[test]
fn c045_c047_the_result_lists_both_ends_as_the_kernel_has_them() {
    let Some(node) = start("c045_c047_the_result_lists_both_ends_as_the_kernel_has_them") else { return };
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, "eth0", &with(ptp(), "mtu", json!(1400))));
    let host_end = result["interfaces"][0]["name"].as_str().unwrap();
    let places = [(node.host.netns(), host_end, None), (&pod.netns, "eth0", pod.netns.path().to_str())];
    for (at, (netns, name, sandbox)) in places.into_iter().enumerate() {
        let (said, seen) = (&result["interfaces"][at], link(netns, name).unwrap());
        assert_eq!(said["name"], name);
        assert_eq!((&said["mac"], &said["mtu"]), (&seen["address"], &json!(1400)), "{seen}");
        assert_eq!(seen["mtu"], 1400);
        assert_eq!(said.get("sandbox").and_then(Value::as_str), sandbox);
    }
    assert_eq!(result["ips"][0], json!({"interface": 1, "address": "10.9.0.2/24", "gateway": "10.9.0.1"}));
    assert_eq!(result["ips"][1]["interface"], 1);
}

#[test]
fn traffic_is_counted_and_kept_to_a_limit() {
    let Some(node) = start("traffic_is_counted_and_kept_to_a_limit") else { return };
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, "eth0", &ptp()));
    let inside = End { netns: &pod.netns, ip: address(&result, 0) };
    let host = End { netns: node.host.netns(), ip: "10.9.0.1".parse().unwrap() };
    assert_counted(&node, "eth0", inside, host);
    assert_limited(&node, (&pod, "eth0"), &result, inside, host);
    succeeded(&node.del(&pod, "eth0", &ptp()));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_single_address_is_routed_to_a_gateway_outside_of_it() {
    let Some(node) = start("a_single_address_is_routed_to_a_gateway_outside_of_it") else { return };
    let addresses = json!([{"address": "10.9.0.7/32", "gateway": "169.254.1.1"}]);
    let ipam = json!({"type": "static", "addresses": addresses, "routes": [{"dst": "0.0.0.0/0"}]});
    let (pod, config) = (node.pod("a"), with(ptp(), "ipam", ipam));
    let result = succeeded(&node.add(&pod, "eth0", &config));
    assert!(answers(&pod.netns, IpAddr::from([169, 254, 1, 1])));
    assert!(answers(&pod.netns, OUTSIDE.parse().unwrap()));
    succeeded(&node.check(&pod, "eth0", &config, &result));
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn c014_a_config_that_cannot_work_is_refused_and_leaves_nothing() {
    let Some(node) = start("c014_a_config_that_cannot_work_is_refused_and_leaves_nothing") else { return };
    let pod = node.pod("a");
    let no_gateway = json!({"type": "static", "addresses": [{"address": "10.9.0.7/24"}]});
    for (config, code, named) in [
        (with(ptp(), "ipam", json!({})), Code::InvalidConfig, "\"ipam\""),
        (with(ptp(), "ipam", no_gateway), Code::InvalidConfig, "10.9.0.7/24 has no gateway"),
        (with(ptp(), "mtu", json!(65_536)), Code::InvalidConfig, "\"mtu\""),
        (with(ptp(), "ipMasqBackend", json!("pf")), Code::InvalidConfig, "ipMasqBackend"),
        // The kernel refuses it after the lease was taken.
        (with(ptp(), "mtu", json!(10)), Code::Kernel, "veth"),
    ] {
        let said = failed(&node.add(&pod, "eth0", &config), code);
        assert!(said.contains(named), "{said}");
        succeeded(&node.del(&pod, "eth0", &config));
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn c087_c090_check_finds_what_somebody_changed() {
    let Some(node) = start("c087_c090_check_finds_what_somebody_changed") else { return };
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, "eth0", &ptp()));
    let end = result["interfaces"][0]["name"].as_str().unwrap();
    let shell = |script: &str| node.host.netns().run("sh", &["-c", script]).map(drop).unwrap();
    let in_pod = |script: &str| pod.netns.run("sh", &["-c", script]).map(drop).unwrap();
    let refused = |named: &str| {
        let said = failed(&node.check(&pod, "eth0", &ptp(), &result), Code::CheckFailed);
        assert!(said.contains(named), "{said}");
    };
    for (named, change, restore) in [
        (
            "lacks gateway 10.9.0.1/32",
            format!("ip addr del 10.9.0.1/32 dev {end}"),
            // The kernel takes the routes of a link without any address.
            format!("ip addr add 10.9.0.1/32 dev {end} && ip route add 10.9.0.2 dev {end} scope host"),
        ),
        (
            "no route to 10.9.0.2/32",
            format!("ip route del 10.9.0.2 dev {end}"),
            format!("ip route add 10.9.0.2 dev {end} scope host"),
        ),
        ("masquerading", "nft delete table inet plexus".into(), String::new()),
    ] {
        succeeded(&node.check(&pod, "eth0", &ptp(), &result));
        shell(&change);
        refused(named);
        shell(&restore);
    }
    in_pod("ip route del 10.9.0.0/24 && ip route del default && ip route del 10.9.0.1");
    refused("lacks a route");
    shell(&format!("ip link del {end}"));
    refused("eth0 is not in the container");
    succeeded(&node.del(&pod, "eth0", &ptp()));
    node.assert_clean(&[&pod]);
}

#[test]
fn c072_c077_del_without_namespace_or_record_removes_everything() {
    let Some(mut node) = start("c072_c077_del_without_namespace_or_record_removes_everything") else {
        return;
    };
    let pod = node.pod("a");
    succeeded(&node.add(&pod, "eth0", &ptp()));
    pod.netns.clone().remove().unwrap();
    succeeded(&node.del(&pod, "eth0", &ptp()));
    node.assert_clean(&[]);
    let pod = node.pod("b");
    succeeded(&node.add(&pod, "eth0", &ptp()));
    node.plexusd.kill().unwrap();
    std::fs::remove_dir_all(node.host.state_dir().join("records")).unwrap();
    node.plexusd.restart().unwrap();
    succeeded(&node.del(&pod, "eth0", &ptp()));
    let rest = ip_json(node.host.netns(), &["link"]);
    assert!(rest.iter().all(|link| !link["ifname"].as_str().unwrap().starts_with("veth")), "{rest:?}");
    assert_eq!(node.leases("p2p"), Vec::<String>::new());
}
