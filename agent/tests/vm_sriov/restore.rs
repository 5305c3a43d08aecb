//! The function comes back whatever became of the pod, or of its driver.

use std::fs;
use std::time::{Duration, Instant};

use plexus_cni::Code;
use serde_json::json;

use crate::kernel::link;
use crate::node::{Node, end_netns, sriov, with};
use crate::outcome::{failed, succeeded};

#[test]
fn a_function_whose_pod_vanished_is_put_back_by_the_del_that_follows() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let before = node.links();
    let config =
        with(sriov(&vfs[0]), &json!({"vlan": 100, "mac": "02:00:00:00:0e:01", "mtu": 1400, "trust": "on"}));
    for name in ["a", "b"] {
        let pod = node.pod(name);
        succeeded(&node.add(&pod, &config));
        let id = end_netns(pod);
        succeeded(&node.del_without_netns(&id, &config));
        assert_eq!(node.links(), before);
        assert!(node.leases().is_empty());
    }
}

#[test]
fn a_function_in_a_namespace_that_lives_on_is_not_forgotten() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let before = node.links();
    let config = with(sriov(&vfs[0]), &json!({"vlan": 100}));
    let pod = node.pod("a");
    succeeded(&node.add(&pod, &config));
    // A process holds it, but nothing leads there any more.
    let netns = pod.netns.clone();
    let id = end_netns(pod);
    // The pod need not wait: the DEL is kept, and done once the function is back.
    succeeded(&node.del_without_netns(&id, &config));
    assert_eq!(node.vf_info(0, 0)["vlan_list"][0]["vlan"], 100);
    let other = node.pod("b");
    failed(&node.add(&other, &config), Code::DeviceUnavailable);
    drop(netns);
    let begun = Instant::now();
    while node.links() != before {
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?} {}", node.links(), node.plexusd.log_tail());
        std::thread::sleep(Duration::from_millis(200));
    }
    succeeded(&node.add(&other, &config));
    succeeded(&node.del(&other, &config));
}

#[test]
fn a_function_whose_driver_was_taken_under_the_pod_is_told_by_check_and_put_back() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let before = node.vf_info(0, 0);
    let config = with(sriov(&vfs[0]), &json!({"vlan": 100, "mac": "02:00:00:00:0e:02"}));
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, &config));
    let driver = |what: &str| {
        fs::write(format!("/sys/bus/pci/drivers/igbvf/{what}"), &vfs[0].pci_address).unwrap();
    };
    driver("unbind");
    assert!(link(&pod.netns, "net1").is_none());
    let text = failed(&node.check(&pod, &config, &result), Code::CheckFailed);
    assert!(text.contains("net1"), "{text}");
    succeeded(&node.del(&pod, &config));
    let after = node.vf_info(0, 0);
    for key in ["vlan_list", "spoofchk", "trust", "rate"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    driver("bind");
    // The next pod gets it as if nothing had been.
    let back = node.machine.cards()[0].vf(0).unwrap();
    let pod = node.pod("b");
    succeeded(&node.add(&pod, &sriov(&back)));
    succeeded(&node.del(&pod, &sriov(&back)));
}

#[test]
fn a_function_whose_driver_was_restarted_under_the_pod_comes_back_with_its_name() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let config = with(sriov(&vfs[0]), &json!({"vlan": 100}));
    let before = node.links();
    let pod = node.pod("a");
    succeeded(&node.add(&pod, &config));
    for what in ["unbind", "bind"] {
        fs::write(format!("/sys/bus/pci/drivers/igbvf/{what}"), &vfs[0].pci_address).unwrap();
    }
    succeeded(&node.del(&pod, &config));
    let named = |links: &[serde_json::Value]| {
        links.iter().find(|link| link["ifname"] == vfs[0].ifname).map(|link| link["address"].clone())
    };
    assert_eq!(named(&node.links()), named(&before));
}

#[test]
fn functions_that_were_abolished_under_their_pods_are_no_reason_to_fail() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 2);
    let pods = [node.pod("a"), node.pod("b")];
    for (pod, vf) in pods.iter().zip(&vfs) {
        succeeded(&node.add(pod, &with(sriov(vf), &json!({"vlan": 100}))));
    }
    node.machine.cards()[0].remove_vfs().unwrap();
    for (pod, vf) in pods.iter().zip(&vfs) {
        succeeded(&node.del(pod, &sriov(vf)));
    }
    assert!(node.leases().is_empty());
}
