//! `route-override`: the kernel's routes and the result agree, whatever is flushed, deleted and added.

use plexus_agent::lab::NetNs;
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::kernel::ip_json;
use crate::support::{Node, failed, succeeded};
use crate::{chain, macvlan};

const SUBNETS: [&str; 2] = ["10.1.0.0/24", "fd01::/64"];

/// Destination and next hop of the main table's routes of both families, without those that the kernel made for addresses.
fn set_routes(netns: &NetNs) -> Vec<String> {
    let both = ["-4", "-6"].map(|family| ip_json(netns, &[family, "route"])).concat();
    let set = both.into_iter().filter(|route| route["protocol"] != "kernel");
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    set.map(|route| format!("{} {}", text(&route["dst"]), text(&route["gateway"]))).collect()
}

fn with_routes(keys: Value) -> Value {
    let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "10.9.0.0/16"}, {"dst": "fd09::/64"}]);
    let mut plugin = keys;
    plugin["type"] = json!("route-override");
    chain(vec![macvlan(&SUBNETS, routes), plugin])
}

#[test]
fn routes_are_flushed_deleted_and_added_in_kernel_and_result() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let all = ["default 10.1.0.1", "10.9.0.0/16 10.1.0.1", "default fd01::1", "fd09::/64 fd01::1"];
    let cases: [(Value, &[&str]); 5] = [
        (json!({}), &[all[0], all[1], all[3], all[2]]),
        (json!({"flushgateway": true}), &[all[1], all[3]]),
        (json!({"flushroutes": true}), &[]),
        (json!({"delroutes": [{"dst": "10.9.0.0/16"}, {"dst": "::/0"}]}), &[all[0], all[3]]),
        (
            json!({
                "flushroutes": true,
                "addroutes": [{"dst": "10.8.0.0/16", "gw": "10.1.0.77"}, {"dst": "fd08::/64"}],
            }),
            &["10.8.0.0/16 10.1.0.77", "fd08::/64 fd01::1"],
        ),
    ];
    for (keys, expected) in cases {
        let config = with_routes(keys.clone());
        let result = succeeded(&node.add(&pod, "eth0", &config));
        assert_eq!(set_routes(&pod.netns), expected, "{keys}");
        assert_eq!(result["routes"].as_array().map_or(0, Vec::len), expected.len(), "{keys}");
        let has_gateway = result["ips"][0].get("gateway").is_some();
        assert_eq!(has_gateway, keys.get("flushgateway").is_none(), "{keys}");
        succeeded(&node.check(&pod, "eth0", &config, &result));
        succeeded(&node.del(&pod, "eth0", &config));
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn a_pods_arguments_take_the_place_of_the_configs_keys() {
    let Some(node) = Node::start() else { return };
    let routes = json!([{"dst": "10.9.0.0/16"}]);
    let network = json!({
        "cniVersion": "1.1.0", "name": "lan2",
        "plugins": [macvlan(&SUBNETS[..1], routes), {"type": "route-override", "flushroutes": true}],
    });
    node.network("lan2", &network);
    let selection =
        json!([{"name": "lan2", "cni-args": {"flushroutes": false, "addroutes": [{"dst": "10.7.0.0/16"}]}}]);
    let pod = node.known_pod("a", &selection.to_string());
    let config = chain(vec![json!({"type": "passthru"})]);
    succeeded(&node.add(&pod, "eth0", &config));
    assert_eq!(set_routes(&pod.netns), ["10.7.0.0/16 10.1.0.1", "10.9.0.0/16 10.1.0.1"]);
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn check_notices_a_route_that_came_back_unless_told_to_skip() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    for is_skipped in [false, true] {
        let config = with_routes(json!({"flushgateway": true, "skipcheck": is_skipped}));
        let result = succeeded(&node.add(&pod, "eth0", &config));
        pod.netns.ip(&["route", "add", "default", "via", "10.1.0.1"]).unwrap();
        let checked = node.check(&pod, "eth0", &config, &result);
        if is_skipped {
            succeeded(&checked);
        } else {
            assert!(failed(&checked, Code::CheckFailed).contains("0.0.0.0/0"));
        }
        succeeded(&node.del(&pod, "eth0", &config));
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn a_route_that_cannot_be_added_fails_the_add_and_leaves_the_routes_of_a_foreign_interface() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let netns = &pod.netns;
    netns.ip(&["link", "add", "net1", "type", "veth", "peer", "name", "far"]).unwrap();
    netns.ip(&["address", "add", "10.5.0.2/24", "dev", "net1"]).unwrap();
    netns.ip(&["link", "set", "far", "up"]).unwrap();
    netns.ip(&["link", "set", "net1", "up"]).unwrap();
    netns.ip(&["route", "add", "10.9.0.0/16", "via", "10.5.0.1", "metric", "7"]).unwrap();
    let before = ip_json(netns, &["route"]);
    let config = |gateway: &str| {
        json!({
            "cniVersion": "1.1.0", "name": "foreign", "type": "route-override", "flushroutes": true,
            "addroutes": [{"dst": "10.8.0.0/16", "gw": "10.5.0.9"}, {"dst": "10.7.0.0/16", "gw": gateway}],
            "prevResult": {
                "cniVersion": "1.1.0", "interfaces": [{"name": "net1", "sandbox": netns.path()}],
                "ips": [{"address": "10.5.0.2/24", "interface": 0}],
            },
        })
    };
    let text = failed(&node.add(&pod, "net1", &config("192.168.1.1")), Code::Kernel);
    assert!(text.contains("10.7.0.0/16") && text.contains("net1"), "{text}");
    assert_eq!(ip_json(netns, &["route"]), before);
    let mut result = succeeded(&node.add(&pod, "net1", &config("10.5.0.9")));
    assert_eq!(set_routes(netns), ["10.7.0.0/16 10.5.0.9", "10.8.0.0/16 10.5.0.9"]);
    result["routes"].as_array_mut().unwrap().clear();
    succeeded(&node.del(&pod, "net1", &config("10.5.0.9")));
    succeeded(&node.del(&pod, "net1", &config("10.5.0.9")));
}

#[test]
fn what_it_cannot_do_is_refused() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let unasked = with_routes(json!({"plexus": {"routes": [{"dst": "10.0.0.0/8", "type": "blackhole"}]}}));
    assert!(failed(&node.add(&pod, "eth0", &unasked), Code::UnsupportedField).contains("dataplane"));
    let alone = json!({"cniVersion": "1.1.0", "name": "lan", "type": "route-override"});
    assert!(failed(&node.add(&pod, "net1", &alone), Code::InvalidConfig).contains("prevResult"));
    node.assert_clean(&[&pod]);
}
