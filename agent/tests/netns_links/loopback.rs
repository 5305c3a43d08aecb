//! `loopback`.

use plexus_agent::lab::NetNs;
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::link_rig::support::kernel::ip_json;
use crate::link_rig::support::{Node, failed, macvlan, succeeded, with};
use crate::link_rig::traffic::answers;

fn loopback() -> Value {
    json!({"cniVersion": "1.1.0", "name": "cni-loopback", "type": "loopback"})
}

fn is_up(netns: &NetNs) -> bool {
    let link = &ip_json(netns, &["link", "show", "dev", "lo"])[0];
    link["flags"].as_array().unwrap().contains(&json!("UP"))
}

#[test]
fn lo_comes_up_with_its_addresses_and_goes_down() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    pod.netns.ip(&["link", "set", "lo", "down"]).unwrap();
    let result = succeeded(&node.add(&pod, "lo", &loopback()));
    let sandbox = pod.netns.path().to_str().unwrap();
    assert_eq!(result["interfaces"], json!([{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": sandbox}]));
    assert_eq!(
        result["ips"],
        json!([{"interface": 0, "address": "127.0.0.1/8"}, {"interface": 0, "address": "::1/128"}])
    );
    for ip in ["127.0.0.1", "::1"] {
        assert!(answers(&pod.netns, ip.parse().unwrap()), "{ip}");
    }
    succeeded(&node.check(&pod, "lo", &loopback(), &result));
    pod.netns.ip(&["link", "set", "lo", "down"]).unwrap();
    let said = failed(&node.check(&pod, "lo", &loopback(), &result), Code::CheckFailed);
    assert!(said.contains("lo is down"), "{said}");
    pod.netns.ip(&["link", "set", "lo", "up"]).unwrap();
    succeeded(&node.del(&pod, "lo", &loopback()));
    assert!(!is_up(&pod.netns));
    node.assert_clean(&[&pod]);
}

#[test]
fn what_an_earlier_plugin_said_passes_through_and_a_foreign_address_is_refused() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let made = succeeded(&node.add(&pod, "net1", &macvlan()));
    assert_eq!(succeeded(&node.add(&pod, "lo", &with(loopback(), "prevResult", made.clone()))), made);
    succeeded(&node.del(&pod, "lo", &loopback()));
    succeeded(&node.del(&pod, "net1", &macvlan()));
    pod.netns.ip(&["addr", "add", "10.1.1.1/32", "dev", "lo"]).unwrap();
    let said = failed(&node.add(&pod, "lo", &loopback()), Code::Kernel);
    assert!(said.contains("10.1.1.1/32"), "{said}");
}

#[test]
fn del_without_a_namespace_succeeds() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    succeeded(&node.add(&pod, "lo", &loopback()));
    pod.netns.clone().remove().unwrap();
    succeeded(&node.del(&pod, "lo", &loopback()));
    succeeded(&node.del(&pod, "lo", &loopback()));
    node.assert_clean(&[]);
}
