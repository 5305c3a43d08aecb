//! A device of the host is the pod's for a while, and comes back as it was.

use plexus_agent::lab::Pod;
use plexus_agent::lab::ping::ping;
use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::support::crash::{STEPS_MAX, begin, dies, start};
use crate::support::kernel::{ip_json, link};
use crate::support::{Node, failed, succeeded, with};

/// `dev5` in the host, cabled to the outside, with names, an alias, an MTU and an address of its own.
fn device(node: &Node) {
    let host = node.host.netns();
    node.host.cable("dev5", &node.outside, "far5").unwrap();
    for change in [
        &["link", "set", "dev5", "alias", "rack 7, port 3"][..],
        &["link", "set", "dev5", "mtu", "1400"],
        &["link", "property", "add", "dev", "dev5", "altname", "enp7s3", "altname", "nic-of-rack-7"],
    ] {
        host.ip(change).unwrap();
    }
    node.outside.ip(&["addr", "add", "10.5.0.1/24", "dev", "far5"]).unwrap();
}

fn config() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "leased", "type": "host-device", "device": "dev5",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.5.0.0/24", "rangeStart": "10.5.0.5"}]]},
    })
}

/// All that the kernel says of the host's device, but for what follows the carrier or counts.
fn state(node: &Node) -> Value {
    let mut link = link(node.host.netns(), "dev5").unwrap();
    for volatile in ["operstate", "flags", "stats64", "link_index", "carrier_changes"] {
        link.as_object_mut().unwrap().remove(volatile);
    }
    link
}

/// Gives `work` a node with the device, and asserts that the device is as before afterwards.
fn with_device(work: impl FnOnce(&mut Node)) {
    let Some(mut node) = Node::start() else { return };
    device(&node);
    let before = state(&node);
    assert_eq!(before["ifalias"], "rack 7, port 3");
    work(&mut node);
    assert_eq!(state(&node), before);
    assert_eq!(node.leases("leased"), Vec::<String>::new());
}

#[test]
fn a_device_is_the_pods_with_addresses_and_traffic_and_comes_back_as_it_was() {
    with_device(|node| {
        let pod = node.pod("a");
        let mac = state(node)["address"].clone();
        let result = succeeded(&node.add(&pod, "net1", &config()));
        let real = link(&pod.netns, "net1").unwrap();
        assert!(real["ifindex"].as_u64().unwrap() >= 0x0100_0000, "{real}");
        assert_eq!(
            result["interfaces"],
            json!([{"name": "net1", "mac": mac, "mtu": 1400, "sandbox": pod.netns.path()}])
        );
        assert_eq!(
            (&result["ips"][0]["address"], &result["ips"][0]["interface"]),
            (&json!("10.5.0.5/24"), &json!(0))
        );
        assert!(link(node.host.netns(), "dev5").is_none());
        assert!(ping(&pod.netns, "10.5.0.1".parse().unwrap(), 2).unwrap().all_answered());
        succeeded(&node.check(&pod, "net1", &config(), &result));
        succeeded(&node.del(&pod, "net1", &config()));
        succeeded(&node.del(&pod, "net1", &config()));
    });
}

#[test]
fn what_the_pod_did_to_its_device_is_undone() {
    with_device(|node| {
        let pod = node.pod("a");
        succeeded(&node.add(&pod, "net1", &config()));
        for change in [
            &["link", "set", "net1", "down"][..],
            &["link", "set", "net1", "name", "mine"],
            &["link", "set", "mine", "address", "02:00:00:00:00:66", "mtu", "900"],
            &["link", "set", "mine", "alias", "not yours"],
            &["link", "set", "mine", "promisc", "on", "allmulticast", "on", "txqueuelen", "77"],
            &["link", "property", "add", "dev", "mine", "altname", "uplink0"],
            &["link", "property", "del", "dev", "mine", "altname", "enp7s3"],
        ] {
            pod.netns.ip(change).unwrap();
        }
        succeeded(&node.del(&pod, "net1", &config()));
    });
}

#[test]
fn a_name_that_is_taken_in_the_pod_leaves_the_device_alone() {
    with_device(|node| {
        let pod = node.pod("a");
        pod.netns.ip(&["link", "add", "net1", "type", "veth", "peer", "name", "net9"]).unwrap();
        failed(&node.add(&pod, "net1", &config()), Code::InterfaceExists);
    });
}

#[test]
fn alternative_names_that_the_pod_has_already_do_not_hinder_and_come_back() {
    with_device(|node| {
        let pod = node.pod("a");
        pod.netns.ip(&["link", "add", "enp7s3", "type", "veth", "peer", "name", "net9"]).unwrap();
        succeeded(&node.add(&pod, "nic-of-rack-7", &config()));
        succeeded(&node.del(&pod, "nic-of-rack-7", &config()));
    });
}

#[test]
fn a_device_that_a_pod_has_is_refused_to_another_with_the_pods_name() {
    with_device(|node| {
        let (first, second) = (node.pod("first"), node.pod("second"));
        let mac = state(node)["address"].clone();
        succeeded(&node.add(&first, "net1", &config()));
        let mut by_mac = with(config(), "hwaddr", mac);
        by_mac["device"] = Value::Null;
        for config in [config(), by_mac] {
            let text = failed(&node.add(&second, "net1", &config), Code::DeviceUnavailable);
            assert!(text.contains("default/first") && text.contains("net1"), "{text}");
            succeeded(&node.del(&second, "net1", &config));
        }
        assert!(link(&first.netns, "net1").is_some());
        succeeded(&node.del(&first, "net1", &config()));
    });
}

#[test]
fn a_device_is_found_by_its_hardware_address_and_a_loopback_is_refused() {
    with_device(|node| {
        let pod = node.pod("a");
        let mut by_mac = with(config(), "hwaddr", state(node)["address"].clone());
        by_mac["device"] = Value::Null;
        succeeded(&node.add(&pod, "net1", &by_mac));
        succeeded(&node.del(&pod, "net1", &by_mac));
        let text =
            failed(&node.add(&pod, "net1", &with(config(), "device", json!("lo"))), Code::DeviceUnavailable);
        assert!(text.contains("loopback"), "{text}");
        let text = failed(
            &node.add(&pod, "net1", &with(config(), "device", json!("none"))),
            Code::DeviceUnavailable,
        );
        assert!(text.contains("none"), "{text}");
    });
}

#[test]
fn a_name_and_an_index_that_were_taken_meanwhile_do_not_keep_the_device_from_coming_back() {
    let Some(node) = Node::start() else { return };
    device(&node);
    let (pod, before) = (node.pod("a"), state(&node));
    succeeded(&node.add(&pod, "net1", &config()));
    let index = before["ifindex"].to_string();
    let host = node.host.netns();
    host.ip(&["link", "add", "dev5", "index", &index, "type", "veth", "peer", "name", "other5"]).unwrap();
    succeeded(&node.del(&pod, "net1", &config()));
    let all = ip_json(host, &["-d", "link"]);
    let returned = all.iter().find(|link| link["altnames"] == before["altnames"]).unwrap();
    assert_ne!(returned["ifname"], "dev5");
    assert!(returned["ifindex"].as_u64().unwrap() < 0x0100_0000, "{returned}");
    for key in ["address", "mtu", "ifalias"] {
        assert_eq!(returned[key], before[key]);
    }
}

#[test]
fn a_virtual_device_that_ended_with_its_pod_is_a_success_and_its_address_is_released() {
    let Some(node) = Node::start() else { return };
    device(&node);
    let pod = node.pod("a");
    succeeded(&node.add(&pod, "net1", &config()));
    assert_eq!(node.leases("leased"), ["10.5.0.5"]);
    let environment = [
        ("CNI_COMMAND", Command::Del.as_str()),
        ("CNI_CONTAINERID", &*pod.container_id),
        ("CNI_IFNAME", "net1"),
        ("CNI_PATH", &*node.runtime.path),
    ];
    pod.netns.clone().remove().unwrap();
    drop(pod.netns);
    succeeded(&node.runtime.execute(&environment, config().to_string().as_bytes()).unwrap());
    assert_eq!(node.leases("leased"), Vec::<String>::new());
}

#[test]
fn an_add_that_fails_late_gives_the_device_back() {
    with_device(|node| {
        let pod = node.pod("a");
        let mut config = config();
        config["ipam"]["routes"] = json!([{"dst": "10.9.0.0/16", "gw": "172.31.0.1"}]);
        failed(&node.add(&pod, "net1", &config), Code::Kernel);
        assert!(link(&pod.netns, "net1").is_none());
    });
}

#[test]
fn a_limit_holds_on_the_device_inside_the_pod() {
    with_device(|node| {
        let list = json!({
            "cniVersion": "1.1.0", "name": "leased",
            "plugins": [config(), {"type": "bandwidth", "egressRate": 1_000_000, "egressBurst": 100_000}],
        });
        node.network("leased", &list);
        let pod = node.known_pod("a", "leased");
        let meta = crate::support::meta(crate::support::macvlan());
        succeeded(&node.add(&pod, "eth0", &meta));
        let sent = ping(&pod.netns, "10.5.0.1".parse().unwrap(), 2).unwrap();
        assert!(sent.all_answered());
        let ports = node.query(&plexus_cni::wire::Query::Ports);
        assert!(ports.to_string().contains("1000000"), "{ports}");
        succeeded(&node.del(&pod, "eth0", &meta));
    });
}

#[test]
fn sigkill_at_each_step_of_an_add_loses_no_device() {
    with_device(|node| {
        let (pod, before) = (node.pod("a"), state(node));
        for at in 1..STEPS_MAX {
            start(node, Some(at));
            let mut adding = begin(&node.runtime, &pod, &config());
            let has_died = dies(node, &mut adding);
            adding.kill().ok();
            adding.wait().unwrap();
            if has_died {
                start(node, None);
            }
            succeeded(&node.del(&pod, "eth0", &config()));
            assert_eq!(state(node), before, "after step {at}");
            assert_eq!(node.leases("leased"), Vec::<String>::new(), "after step {at}");
            if !has_died {
                assert!(at > 12, "an ADD has only {at} steps");
                return;
            }
        }
        panic!("an ADD has more than {STEPS_MAX} steps");
    });
}

#[test]
fn what_was_borrowed_in_an_earlier_boot_is_not_looked_for() {
    let Some(mut node) = Node::start() else { return };
    device(&node);
    let pod = node.pod("a");
    succeeded(&node.add(&pod, "net1", &config()));
    node.plexusd.kill().unwrap();
    // After a boot this index and this name are somebody else's.
    let path = node.host.state_dir().join("records").join(format!("{}.json", pod.container_id));
    let text = std::fs::read_to_string(&path).unwrap();
    let mut record: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    record["bootId"] = json!("an earlier one");
    std::fs::write(&path, format!("{record}\n")).unwrap();
    start(&mut node, None);
    assert!(!path.exists() && node.leases("leased").is_empty(), "{}", node.plexusd.log_tail());
    assert!(link(&pod.netns, "net1").is_some());
}

#[test]
fn what_the_reference_plugin_took_is_given_back() {
    let Some(node) = Node::start() else { return };
    if !plexus_agent::lab::skip::require_binary_or_skip(
        "what_the_reference_plugin_took_is_given_back",
        "/usr/lib/cni/host-device",
        "containernetworking-plugins",
    ) {
        return;
    }
    device(&node);
    let pod: Pod = node.pod("a");
    let before = state(&node);
    let reference = plexus_agent::lab::Runtime::of_plugin("/usr/lib/cni/host-device".as_ref());
    let config = with(config(), "cniVersion", json!("1.0.0"));
    succeeded(&reference.add(&pod, "net1", &config).unwrap());
    assert_eq!(link(&pod.netns, "net1").unwrap()["ifalias"], "dev5");
    succeeded(&node.del(&pod, "net1", &config));
    let after = link(node.host.netns(), "dev5").unwrap();
    for key in ["address", "mtu", "ifname"] {
        assert_eq!(after[key], before[key]);
    }
    assert!(after.get("ifalias").is_none() && after["ifindex"].as_u64().unwrap() < 0x0100_0000, "{after}");
    assert_eq!(node.leases("leased"), Vec::<String>::new());
}
