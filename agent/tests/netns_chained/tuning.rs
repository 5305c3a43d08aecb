//! `tuning`: what it sets, who may set what, and that DEL puts everything back.

use std::fs;

use plexus_agent::lab::ping::ping;
use plexus_agent::lab::{NetNs, Pod};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::crash::{STEPS_MAX, begin, dies, kill_at_every_step, start};
use crate::support::kernel::link;
use crate::support::{Node, failed, fastpath, succeeded};
use crate::{chain, macvlan};

const MAC: &str = "02:00:00:00:12:34";

/// A file below /proc/sys as it is inside.
fn sysctl(netns: &NetNs, path: &str) -> String {
    let text = netns.within(|| fs::read_to_string(format!("/proc/sys/{path}"))).unwrap();
    text.unwrap().trim_end().to_owned()
}

/// What `tuning` can change, as the kernel has it.
fn state(netns: &NetNs, ifname: &str) -> Vec<String> {
    let link = link(netns, ifname).unwrap();
    let flags = link["flags"].to_string();
    let flag = |name: &str| format!("{name} {}", flags.contains(&format!("\"{name}\"")));
    vec![
        link["address"].to_string(),
        link["mtu"].to_string(),
        link["txqlen"].to_string(),
        flag("PROMISC"),
        flag("ALLMULTI"),
        sysctl(netns, "net/core/somaxconn"),
        sysctl(netns, &format!("net/ipv4/conf/{ifname}/arp_filter")),
        sysctl(netns, "net/ipv4/tcp_rmem"),
    ]
}

fn tuning() -> Value {
    json!({
        "type": "tuning", "mac": MAC, "mtu": 1400, "promisc": true, "allmulti": true, "txQLen": 77,
        "sysctl": {
            "net.core.somaxconn": "500", "net/ipv4/conf/IFNAME/arp_filter": "1",
            "net.ipv4.tcp_rmem": "4096 65536 1048576",
        },
    })
}

fn tuned() -> Vec<String> {
    let mac = format!("\"{MAC}\"");
    [&*mac, "1400", "77", "PROMISC true", "ALLMULTI true", "500", "1", "4096\t65536\t1048576"]
        .map(str::to_owned)
        .to_vec()
}

/// A call for `tuning` alone, on an interface that somebody else made.
fn alone(pod: &Pod, keys: Value) -> Value {
    let mut config = keys;
    config["cniVersion"] = json!("1.1.0");
    config["name"] = json!("foreign");
    config["prevResult"] = json!({
        "cniVersion": "1.1.0", "interfaces": [{"name": "net1", "mac": "02:00:00:00:00:99", "sandbox": pod.netns.path()}],
    });
    config
}

/// A pod with an interface `net1` that is not ours.
fn foreign_pod(node: &Node) -> Pod {
    let pod = node.pod("foreign");
    foreign_interface(&pod, "net1");
    pod
}

fn foreign_interface(pod: &Pod, ifname: &str) {
    pod.netns.ip(&["link", "add", ifname, "type", "veth", "peer", "name", "far"]).unwrap();
    pod.netns.ip(&["link", "set", ifname, "up"]).unwrap();
}

#[test]
fn an_interface_and_the_pods_sysctls_are_as_the_config_says() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let config = chain(vec![macvlan(&["10.1.0.0/24"], json!([])), tuning()]);
    let result = succeeded(&node.add(&pod, "eth0", &config));
    assert_eq!(state(&pod.netns, "eth0"), tuned());
    assert_eq!(
        (&result["interfaces"][0]["mac"], &result["interfaces"][0]["mtu"]),
        (&json!(MAC), &json!(1400))
    );
    succeeded(&node.check(&pod, "eth0", &config, &result));
    for (change, named) in [
        (vec!["link", "set", "eth0", "mtu", "1300"], "MTU"),
        (vec!["link", "set", "eth0", "promisc", "off"], "promiscuous"),
        (vec!["link", "set", "eth0", "allmulticast", "off"], "all-multicast"),
        (vec!["link", "set", "eth0", "txqueuelen", "78"], "transmit queue"),
    ] {
        pod.netns.ip(&change).unwrap();
        let text = failed(&node.check(&pod, "eth0", &config, &result), Code::CheckFailed);
        assert!(text.contains(named), "{text}");
        let back = change.iter().map(|word| match *word {
            "1300" => "1400",
            "78" => "77",
            "off" => "on",
            other => other,
        });
        pod.netns.ip(&back.collect::<Vec<_>>()).unwrap();
    }
    pod.netns.within(|| fs::write("/proc/sys/net/core/somaxconn", "501")).unwrap().unwrap();
    let text = failed(&node.check(&pod, "eth0", &config, &result), Code::CheckFailed);
    assert!(text.contains("net.core.somaxconn") && text.contains("500"), "{text}");
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn del_puts_back_what_was_there_on_an_interface_that_stays() {
    let Some(node) = Node::start() else { return };
    let pod = foreign_pod(&node);
    let before = state(&pod.netns, "net1");
    let config = alone(&pod, tuning());
    let result = succeeded(&node.add(&pod, "net1", &config));
    assert_eq!(state(&pod.netns, "net1"), tuned());
    succeeded(&node.check(&pod, "net1", &config, &result));
    for _ in 0..2 {
        succeeded(&node.del(&pod, "net1", &config));
        assert_eq!(state(&pod.netns, "net1"), before);
    }
}

#[test]
fn del_succeeds_without_the_interface_and_without_the_namespace() {
    let Some(node) = Node::start() else { return };
    for is_namespace_gone in [false, true] {
        let pod = if is_namespace_gone { node.pod("b") } else { foreign_pod(&node) };
        if is_namespace_gone {
            pod.netns.ip(&["link", "add", "net1", "type", "veth", "peer", "name", "far"]).unwrap();
        }
        let config = alone(&pod, tuning());
        succeeded(&node.add(&pod, "net1", &config));
        if is_namespace_gone {
            pod.netns.clone().remove().unwrap();
        } else {
            pod.netns.ip(&["link", "delete", "net1"]).unwrap();
        }
        succeeded(&node.del(&pod, "net1", &config));
        assert_eq!(node.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn an_add_that_fails_half_way_leaves_everything_as_it_was() {
    let Some(node) = Node::start() else { return };
    let pod = foreign_pod(&node);
    let before = state(&pod.netns, "net1");
    let config = |key: &str, value: Value| {
        let mut keys = tuning();
        keys[key] = value;
        alone(&pod, keys)
    };
    let text = failed(&node.add(&pod, "net1", &config("mtu", json!(70_000))), Code::Kernel);
    assert!(text.contains("70000"), "{text}");
    assert_eq!(state(&pod.netns, "net1"), before);
    let sysctls = json!({"net.core.somaxconn": "500", "net.ipv4.ip_forward": "no number"});
    let text = failed(&node.add(&pod, "net1", &config("sysctl", sysctls)), Code::Kernel);
    assert!(text.contains("net/ipv4/ip_forward"), "{text}");
    let sysctls = json!({"net.core.somaxconn": "500", "net.ipv4.no_such_thing": "1"});
    let text = failed(&node.add(&pod, "net1", &config("sysctl", sysctls)), Code::InvalidConfig);
    assert!(text.contains("net.ipv4.no_such_thing"), "{text}");
    assert_eq!(state(&pod.netns, "net1"), before);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn only_listed_sysctls_are_set_once_there_is_a_list() {
    let allowlist = "allowlist.conf";
    let Some(node) = Node::start_with(|setup| {
        let path = setup.socket.with_file_name(allowlist).display().to_string();
        setup.arguments.extend(["--sysctl-allowlist".into(), path]);
    }) else {
        return;
    };
    let pod = foreign_pod(&node);
    let before = state(&pod.netns, "net1");
    let config = alone(&pod, tuning());
    let path = node.host.socket().with_file_name(allowlist);
    fs::write(&path, "^net.core.somaxconn$\narp_filter$\n").unwrap();
    let text = failed(&node.add(&pod, "net1", &config), Code::NotAuthorized);
    assert!(text.contains("net.ipv4.tcp_rmem") && text.contains(allowlist), "{text}");
    assert_eq!(state(&pod.netns, "net1"), before);
    fs::write(&path, "^net.core.somaxconn$\narp_filter$\n^net.ipv4.tcp_[rw]mem$").unwrap();
    succeeded(&node.add(&pod, "net1", &config));
    // A list that became narrower does not hold up a DEL.
    fs::write(&path, "(").unwrap();
    succeeded(&node.del(&pod, "net1", &config));
    assert_eq!(state(&pod.netns, "net1"), before);
    assert!(failed(&node.add(&pod, "net1", &config), Code::State).contains("line 1"));
}

#[test]
fn sysctls_of_the_node_are_out_of_reach() {
    let Some(node) = Node::start() else { return };
    let pod = foreign_pod(&node);
    for key in ["kernel.hostname", "net/../kernel/hostname", "net.ipv4.conf.IFNAME/../../../vm/swappiness"] {
        let config = alone(&pod, json!({"type": "tuning", "sysctl": {key: "1"}}));
        failed(&node.add(&pod, "net1", &config), Code::InvalidConfig);
    }
}

#[test]
fn a_new_hardware_address_reaches_through_a_fastpath_network_that_checks_sources() {
    let Some(node) = Node::start() else { return };
    let mut network = fastpath();
    network.as_object_mut().unwrap().remove("name");
    reaches_under_a_new_hardware_address(&node, ["a", "b"], network.clone());
    for key in ["vlan", "uplink"] {
        network.as_object_mut().unwrap().remove(key);
    }
    // Where nobody asks for hardware addresses, both ends are told.
    network["plexus"] = json!({"mode": "l3"});
    reaches_under_a_new_hardware_address(&node, ["c", "d"], network);
}

fn reaches_under_a_new_hardware_address(node: &Node, pods: [&str; 2], network: Value) {
    let plain = chain(vec![network.clone()]);
    let tuned = chain(vec![network, json!({"type": "tuning", "mac": MAC})]);
    let pods = pods.map(|name| node.known_pod(name, ""));
    let result = succeeded(&node.add(&pods[0], "eth0", &tuned));
    succeeded(&node.add(&pods[1], "eth0", &plain));
    let of = |pod: &Pod| {
        crate::support::kernel::addresses(&pod.netns, "eth0")[0].split('/').next().unwrap().parse().unwrap()
    };
    assert!(ping(&pods[0].netns, of(&pods[1]), 2).unwrap().all_answered());
    assert!(ping(&pods[1].netns, of(&pods[0]), 2).unwrap().all_answered());
    assert_eq!(link(&pods[0].netns, "eth0").unwrap()["address"], MAC);
    succeeded(&node.check(&pods[0], "eth0", &tuned, &result));
    succeeded(&node.del(&pods[0], "eth0", &tuned));
    succeeded(&node.del(&pods[1], "eth0", &plain));
    node.assert_clean(&[&pods[0], &pods[1]]);
}

#[test]
fn what_the_reference_plugin_changed_is_put_back_from_its_file() {
    let Some(node) = Node::start() else { return };
    let pod = foreign_pod(&node);
    let before = state(&pod.netns, "net1");
    pod.netns.ip(&["link", "set", "net1", "mtu", "1400", "txqueuelen", "5", "promisc", "on"]).unwrap();
    let dir = std::path::Path::new("/run/cni/tuning");
    fs::create_dir_all(dir).unwrap();
    let file = dir.join(format!("{}_net1.json", pod.container_id));
    fs::write(&file, r#"{ "promisc": false, "mtu": 1500, "txQLen": 1000 }"#).unwrap();
    succeeded(&node.del(&pod, "net1", &alone(&pod, tuning())));
    assert_eq!(state(&pod.netns, "net1"), before);
    assert!(!file.exists());
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_tuned_macvlan_leaves_nothing() {
    let config = chain(vec![macvlan(&["10.1.0.0/24"], json!([])), tuning()]);
    kill_at_every_step(|_| {}, "", &config, 15);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_tuning_alone_is_undone_by_del() {
    let Some(mut node) = Node::start() else { return };
    let pod = node.pod("foreign");
    foreign_interface(&pod, "eth0");
    let before = state(&pod.netns, "eth0");
    let config = alone(&pod, tuning());
    for at in 1..STEPS_MAX {
        start(&mut node, Some(at));
        succeeded(&node.del(&pod, "eth0", &config));
        assert_eq!(state(&pod.netns, "eth0"), before, "after step {}", at - 1);
        assert_eq!(node.leftovers(), Vec::<String>::new(), "after step {}", at - 1);
        let mut adding = begin(&node.runtime, &pod, &config);
        if !dies(&mut node, &mut adding) {
            assert!(at > 7, "an ADD has only {} steps", at - 1);
            return;
        }
        adding.kill().unwrap();
        adding.wait().unwrap();
    }
    panic!("an ADD has more than {STEPS_MAX} steps");
}
