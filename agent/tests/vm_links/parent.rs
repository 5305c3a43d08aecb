//! The master goes down, gets another name, is gone, while pods hang on it.

use plexus_agent::lab::link::ip;
use plexus_agent::lab::{NetNs, Pod};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::ipvlan::ipvlan;
use crate::link_rig::support::kernel::link;
use crate::link_rig::support::{Node, failed, succeeded, wait, with};
use crate::link_rig::traffic::answers;
use crate::start;
use crate::vlan::{KIND, tagged_outside, vlan};

fn reaches(pod: &Pod, target: &str) -> bool {
    answers(&pod.netns, target.parse().unwrap())
}

/// With the master down there is no traffic, and CHECK says why; afterwards everything is as before.
fn goes_down_and_comes_back(node: &Node, pod: &Pod, config: &Value, result: &Value, outside: &str) {
    assert!(reaches(pod, outside));
    ip(&["link", "set", "uplink1", "down"]).unwrap();
    assert!(!reaches(pod, outside));
    let said = failed(&node.check(pod, "net1", config, result), Code::CheckFailed);
    assert!(said.contains("master uplink1 is down"), "{said}");
    ip(&["link", "set", "uplink1", "up"]).unwrap();
    wait::until("traffic is back", || reaches(pod, outside).then_some(()));
    succeeded(&node.check(pod, "net1", config, result));
}

/// A name is nothing to the kernel; CHECK looks for the master that the config names.
fn gets_another_name(node: &Node, pod: &Pod, config: &Value, result: &Value, outside: &str) {
    rename(node.host.netns(), "uplink1", "renamed");
    wait::until("traffic is back", || reaches(pod, outside).then_some(()));
    let said = failed(&node.check(pod, "net1", config, result), Code::InvalidConfig);
    assert!(said.contains("\"uplink1\" does not exist"), "{said}");
    rename(node.host.netns(), "renamed", "uplink1");
    wait::until("traffic is back", || reaches(pod, outside).then_some(()));
    succeeded(&node.check(pod, "net1", config, result));
}

/// Kernels before 6.2 rename only what is down.
fn rename(netns: &NetNs, from: &str, to: &str) {
    for arguments in [&["set", from, "down"][..], &["set", from, "name", to], &["set", to, "up"]] {
        netns.ip(&[&["link"], arguments].concat()).unwrap();
    }
}

/// The pod's interface goes with the master; DEL has nothing to do, and an ADD says what is wrong.
fn is_removed(node: &Node, pod: &Pod, config: &Value, result: &Value) {
    ip(&["link", "del", "uplink1"]).unwrap();
    assert!(link(&pod.netns, "net1").is_none());
    let said = failed(&node.check(pod, "net1", config, result), Code::CheckFailed);
    assert!(said.contains("net1 is not in the container"), "{said}");
    succeeded(&node.del(pod, "net1", config));
    let said = failed(&node.add(pod, "net1", config), Code::InvalidConfig);
    assert!(said.contains("uplink1"), "{said}");
    node.assert_clean(&[pod]);
}

#[test]
fn an_ipvlan_pod_survives_what_its_master_goes_through() {
    let Some(node) = start("an_ipvlan_pod_survives_what_its_master_goes_through", &["ipvlan"]) else {
        return;
    };
    node.outside.ip(&["addr", "add", "10.4.0.254/24", "dev", "eth1"]).unwrap();
    let (pod, config) = (node.pod("a"), ipvlan("l2"));
    let result = succeeded(&node.add(&pod, "net1", &config));
    goes_down_and_comes_back(&node, &pod, &config, &result, "10.4.0.254");
    gets_another_name(&node, &pod, &config, &result, "10.4.0.254");
    is_removed(&node, &pod, &config, &result);
}

#[test]
fn a_vlan_pod_survives_what_its_master_goes_through() {
    let Some(node) = start("a_vlan_pod_survives_what_its_master_goes_through", KIND) else { return };
    tagged_outside(&node, 100, "10.5.0.254/24");
    // Routes and IPv6 addresses are what a link loses that goes down itself.
    let ipam = json!({
        "type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24"}], [{"subnet": "fd05::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    });
    let (pod, config) = (node.pod("a"), with(vlan(100), "ipam", ipam));
    let result = succeeded(&node.add(&pod, "net1", &config));
    goes_down_and_comes_back(&node, &pod, &config, &result, "10.5.0.254");
    gets_another_name(&node, &pod, &config, &result, "10.5.0.254");
    is_removed(&node, &pod, &config, &result);
}
