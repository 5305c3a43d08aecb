//! CHECK: finds what differs, tolerates what others may change, changes nothing.

use std::fs;

use plexus_agent::lab::{NetNs, Pod};
use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::support::{Node, failed, fastpath, macvlan, meta, snapshot, succeeded, with};

/// Attaches a pod anew, lets `harm` do something, and returns what CHECK says of it.
fn after(node: &Node, config: &Value, harm: impl FnOnce(&Pod)) -> String {
    let pod = node.known_pod("a", "");
    let result = succeeded(&node.add(&pod, "eth0", config));
    succeeded(&node.check(&pod, "eth0", config, &result));
    harm(&pod);
    let text = failed(&node.check(&pod, "eth0", config, &result), Code::CheckFailed);
    succeeded(&node.del(&pod, "eth0", config));
    pod.netns.remove().unwrap();
    text
}

fn ip(netns: &NetNs, command: &str) {
    netns.ip(&command.split(' ').collect::<Vec<_>>()).unwrap();
}

#[test]
fn c085_c087_to_c089_check_finds_what_changed_in_the_container() {
    let Some(node) = Node::start() else { return };
    for single in [macvlan(), fastpath()] {
        let mut single = single;
        single["ipam"]["routes"] = json!([{"dst": "10.9.0.0/16"}]);
        for config in [single.clone(), meta(single)] {
            let harms = [
                ("link del eth0", "eth0 is not in the container"),
                ("link set eth0 down name eth9", "eth0 is not in the container"),
                ("link set eth0 address 02:00:00:00:00:99", "02:00:00:00:00:99"),
                ("addr flush dev eth0", "lacks an address"),
                ("route del 10.9.0.0/16", "10.9.0.0/16"),
            ];
            for (harm, told) in harms {
                let text = after(&node, &config, |pod| ip(&pod.netns, harm));
                assert!(text.contains(told) && text.contains("eth0"), "{harm}: {text}");
            }
            let other = node.host.netns_named("other").unwrap();
            let moved = format!("link set eth0 netns {}", other.path().display());
            let text = after(&node, &config, |pod| ip(&pod.netns, &moved));
            assert!(text.contains("eth0 is not in the container"), "{text}");
            other.remove().unwrap();
        }
    }
    node.assert_clean(&[]);
}

#[test]
fn c087_check_finds_another_interface_under_the_name() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath()] {
        let text = after(&node, &config, |pod| {
            ip(&pod.netns, "link del eth0");
            ip(&pod.netns, "link add eth0 type veth peer name eth9");
        });
        assert!(text.contains("hardware address"), "{text}");
    }
}

#[test]
fn c086_check_expects_what_the_result_says_and_needs_it() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath()] {
        let pod = node.pod(config["type"].as_str().unwrap());
        let result = succeeded(&node.add(&pod, "eth0", &config));
        let without = node.runtime.call(Command::Check, &pod, "eth0", &config).unwrap();
        assert!(failed(&without, Code::InvalidConfig).contains("prevResult"));
        let at = result["interfaces"].as_array().unwrap().len() - 1;
        let mut other = result.clone();
        other["interfaces"][at]["mac"] = json!("02:00:00:00:00:98");
        failed(&node.check(&pod, "eth0", &config, &other), Code::CheckFailed);
        let mut other = result.clone();
        other["ips"][0]["address"] = json!("10.99.0.2/24");
        failed(&node.check(&pod, "eth0", &config, &other), Code::CheckFailed);
        succeeded(&node.check(&pod, "eth0", &config, &result));
        let stranger = node.pod(&format!("{}-stranger", pod.name));
        failed(&node.check(&stranger, "eth0", &config, &result), Code::CheckFailed);
    }
}

#[test]
fn c091_check_finds_a_detached_program() {
    let Some(node) = Node::start() else { return };
    let limit = json!({"type": "bandwidth", "ingressRate": 1_000_000});
    for main in [macvlan(), fastpath()] {
        let config = meta(json!({"cniVersion": "1.1.0", "name": "n", "plugins": [main, limit.clone()]}));
        let text = after(&node, &config, |pod| {
            // On the host's end of a veth, else inside the pod.
            let host_end =
                node.host.netns().interfaces().unwrap().into_iter().find(|name| name.starts_with("plx"));
            let (netns, device) =
                host_end.map_or((&pod.netns, "eth0".to_owned()), |end| (node.host.netns(), end));
            netns.run("tc", &["qdisc", "del", "dev", &device, "clsact"]).unwrap();
        });
        assert!(text.contains("does not run our program") || text.contains("no port"), "{text}");
    }
    node.assert_clean(&[]);
}

#[test]
fn c091_check_finds_a_lost_or_changed_limit() {
    let Some(node) = Node::start() else { return };
    let limit =
        |rate: u64| json!({"cniVersion": "1.1.0", "name": "lan", "type": "bandwidth", "ingressRate": rate});
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, "eth0", &macvlan()));
    let limited = with(limit(1_000_000), "prevResult", result.clone());
    succeeded(&node.add(&pod, "eth0", &limited));
    succeeded(&node.check(&pod, "eth0", &limited, &result));
    succeeded(&node.del(&pod, "eth0", &limited));
    failed(&node.check(&pod, "eth0", &limited, &result), Code::CheckFailed);
    succeeded(&node.check(&pod, "eth0", &macvlan(), &result));
}

#[test]
fn c092_check_finds_a_reservation_that_is_gone_or_anothers() {
    let Some(node) = Node::start() else { return };
    for (config, network) in [(macvlan(), "lan"), (meta(fastpath()), "blue")] {
        let lease = |node: &Node| node.host.leases_dir().join(network).join(&node.leases(network)[0]);
        let text = after(&node, &config, |_| fs::remove_file(lease(&node)).unwrap());
        assert!(text.contains("reservation"), "{text}");
        let text = after(&node, &config, |_| fs::write(lease(&node), "somebody\r\neth0").unwrap());
        assert!(text.contains("somebody"), "{text}");
        fs::remove_file(lease(&node)).unwrap();
    }
}

#[test]
fn c094_check_fails_while_the_uplink_is_down() {
    let Some(node) = Node::start() else { return };
    for (config, uplink) in [(macvlan(), "uplink1"), (fastpath(), "uplink0")] {
        let down = ["link", "set", uplink, "down"];
        let text = after(&node, &config, |_| node.host.netns().ip(&down).unwrap());
        assert!(text.contains(uplink) && text.contains("down"), "{text}");
        node.host.netns().ip(&["link", "set", uplink, "up"]).unwrap();
    }
}

#[test]
fn c095_c098_c162_check_tolerates_a_later_plugins_changes_and_changes_nothing() {
    let Some(node) = Node::start() else { return };
    for single in [macvlan(), fastpath()] {
        for config in [single.clone(), meta(single)] {
            let pod = node.known_pod("a", "");
            let result = succeeded(&node.add(&pod, "eth0", &config));
            ip(&pod.netns, "link set eth0 mtu 1300");
            ip(&pod.netns, "addr add 192.0.2.1/24 dev eth0");
            ip(&pod.netns, "route add 10.55.0.0/16 dev eth0");
            let before = snapshot::take(&node.host, &[&pod]);
            for _ in 0..3 {
                let outcome = node.check(&pod, "eth0", &config, &result);
                assert_eq!((succeeded(&outcome), &*outcome.stdout), (Value::Null, ""));
            }
            assert_eq!(snapshot::take(&node.host, &[&pod]), before);
            succeeded(&node.del(&pod, "eth0", &config));
            pod.netns.remove().unwrap();
        }
    }
}

#[test]
fn c095_check_goes_by_the_hardware_address_that_a_later_plugin_reported() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let mut result = succeeded(&node.add(&pod, "eth0", &macvlan()));
    ip(&pod.netns, "link set eth0 address 02:00:00:00:00:44");
    result["interfaces"][0]["mac"] = json!("02:00:00:00:00:44");
    succeeded(&node.check(&pod, "eth0", &macvlan(), &result));
}

#[test]
fn c096_an_error_of_a_delegates_check_is_passed_on() {
    let Some(node) = Node::start() else { return };
    let body = r#"case "$CNI_COMMAND" in
ADD) printf '{"cniVersion":"1.1.0","ips":[{"address":"10.77.0.5/24"}]}' ;;
CHECK) printf '{"code":779,"msg":"it is gone"}'; exit 1 ;;
esac"#;
    node.plugin("poor-ipam", body);
    let pod = node.known_pod("a", "");
    let single = with(macvlan(), "ipam", json!({"type": "poor-ipam"}));
    for config in [single.clone(), meta(single)] {
        let result = succeeded(&node.add(&pod, "eth0", &config));
        let text = failed(&node.check(&pod, "eth0", &config, &result), Code::Other(779));
        assert!(text.contains("it is gone") && text.contains("poor-ipam"), "{text}");
        succeeded(&node.del(&pod, "eth0", &config));
    }
}
