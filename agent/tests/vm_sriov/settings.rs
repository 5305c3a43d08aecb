//! What the config says reaches the card, CHECK sees what differs, and DEL puts everything back.

use plexus_cni::Code;
use serde_json::json;

use crate::kernel::link;
use crate::node::{Node, sriov, with};
use crate::outcome::{failed, succeeded};

#[test]
fn all_settings_are_made_and_undone() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 2);
    node.machine.cards()[0].wait_for_link().unwrap();
    let host = node.machine.host().netns();
    host.ip(&["link", "property", "add", "dev", &vfs[0].ifname, "altname", "first-of-the-card"]).unwrap();
    host.ip(&["link", "set", &vfs[0].ifname, "alias", "rack 7", "mtu", "1450"]).unwrap();
    let before = node.links();
    let pod = node.pod("a");
    let config = with(
        sriov(&vfs[0]),
        &json!({
            "vlan": 100, "vlanQoS": 3, "mac": "02:00:00:00:0c:01", "mtu": 1400, "max_tx_rate": 200, "spoofchk": "off",
            "trust": "on", "logLevel": "debug",
        }),
    );
    let result = succeeded(&node.add(&pod, &config));
    let interface = &result["interfaces"][0];
    assert_eq!(
        (&interface["mac"], &interface["mtu"], &interface["pciID"]),
        (&json!("02:00:00:00:0c:01"), &json!(1400), &json!(vfs[0].pci_address))
    );
    let real = link(&pod.netns, "net1").unwrap();
    assert_eq!((&real["address"], &real["mtu"]), (&interface["mac"], &interface["mtu"]));
    let info = node.vf_info(0, 0);
    assert_eq!(info["address"], "02:00:00:00:0c:01", "{info}");
    assert_eq!(info["vlan_list"], json!([{"vlan": 100, "qos": 3}]), "{info}");
    assert_eq!((&info["spoofchk"], &info["trust"]), (&json!(false), &json!(true)), "{info}");
    assert_eq!(info["rate"]["max_tx"], 200, "{info}");
    assert_eq!(
        node.vf_info(0, 1),
        before.iter().find(|link| link["ifname"] == node.card(0)).unwrap()["vfinfo_list"][1]
    );
    succeeded(&node.check(&pod, &config, &result));
    for (change, back) in [(["vlan", "200"], ["vlan", "100"]), (["spoofchk", "on"], ["spoofchk", "off"])] {
        let set = |[key, value]: [&str; 2]| node.ip(&["link", "set", node.card(0), "vf", "0", key, value]);
        set(change);
        failed(&node.check(&pod, &config, &result), Code::CheckFailed);
        set(back);
        if back[0] == "vlan" {
            node.ip(&["link", "set", node.card(0), "vf", "0", "vlan", "100", "qos", "3"]);
        }
    }
    succeeded(&node.check(&pod, &config, &result));
    succeeded(&node.del(&pod, &config));
    assert_eq!(node.links(), before);
    assert!(node.leases().is_empty());
    succeeded(&node.del(&pod, &config));
}

#[test]
fn an_address_follows_where_another_one_was_assigned_before() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    // As an administrator would have it: assigned, and learnt by the driver.
    let own = node.links().iter().find(|link| link["ifname"] == vfs[0].ifname).unwrap()["address"].clone();
    node.ip(&["link", "set", node.card(0), "vf", "0", "mac", own.as_str().unwrap()]);
    let before = node.links();
    let pod = node.pod("a");
    let config = with(sriov(&vfs[0]), &json!({"mac": "02:00:00:00:0c:02"}));
    for _ in 0..2 {
        succeeded(&node.add(&pod, &config));
        assert_eq!(link(&pod.netns, "net1").unwrap()["address"], "02:00:00:00:0c:02");
        assert_eq!(node.vf_info(0, 0)["address"], "02:00:00:00:0c:02");
        // The pod has no right to another one; igbvf of Linux 6.1 does not say so, but gets none.
        pod.netns.ip(&["link", "set", "net1", "address", "02:00:00:00:0c:99"]).ok();
        assert_eq!(node.vf_info(0, 0)["address"], "02:00:00:00:0c:02");
        succeeded(&node.del(&pod, &config));
        assert_eq!(node.links(), before);
    }
}

#[test]
fn what_a_trusted_pod_did_to_its_device_is_undone() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let before = node.links();
    let pod = node.pod("a");
    let config = with(sriov(&vfs[0]), &json!({"trust": "on"}));
    succeeded(&node.add(&pod, &config));
    for change in [
        &["link", "set", "net1", "down"][..],
        &["link", "set", "net1", "name", "mine"],
        &["link", "set", "mine", "address", "02:00:00:00:0c:66"],
        &["link", "set", "mine", "mtu", "900", "promisc", "on"],
    ] {
        pod.netns.ip(change).unwrap();
    }
    succeeded(&node.del(&pod, &config));
    assert_eq!(node.links(), before);
}

#[test]
fn what_the_card_cannot_do_is_named_and_undone() {
    let Some(node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let before = node.links();
    let pod = node.pod("a");
    for (keys, named) in [
        (json!({"vlan": 7, "link_state": "enable"}), "link state"),
        (json!({"vlan": 7, "vlanProto": "802.1ad"}), "802.1ad"),
        (json!({"vlan": 7, "min_tx_rate": 10, "max_tx_rate": 50}), "rates"),
    ] {
        let text = failed(&node.add(&pod, &with(sriov(&vfs[0]), &keys)), Code::Kernel);
        assert!(text.contains(named) && text.contains(&vfs[0].pci_address), "{text}");
        assert_eq!(node.links(), before);
        assert!(node.leases().is_empty());
    }
}
