//! STATUS: says beforehand what an ADD would say, and does nothing.

use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::support::config::valid;
use crate::support::{Node, failed, fastpath, macvlan, meta, snapshot, succeeded, with};

/// The config with room for two addresses.
fn small(mut config: Value) -> Value {
    config["ipam"]["ranges"] =
        json!([[{"subnet": "10.6.0.0/29", "rangeStart": "10.6.0.2", "rangeEnd": "10.6.0.3"}]]);
    config
}

#[test]
fn c099_status_succeeds_exactly_when_an_add_would() {
    let Some(node) = Node::start() else { return };
    let good = [macvlan(), fastpath(), meta(macvlan()), meta(fastpath())];
    for config in good {
        let pod = node.known_pod("a", "");
        let outcome = node.ask(Command::Status, &config);
        assert_eq!((succeeded(&outcome), &*outcome.stdout), (Value::Null, ""));
        succeeded(&node.add(&pod, "eth0", &config));
        succeeded(&node.del(&pod, "eth0", &config));
        pod.netns.remove().unwrap();
    }
    let bad = [
        (with(macvlan(), "master", json!("nowhere0")), "nowhere0"),
        (with(fastpath(), "uplink", json!("nowhere0")), "nowhere0"),
        (with(macvlan(), "mtu", json!(9000)), "mtu"),
        (with(fastpath(), "vlan", json!(4095)), "vlan"),
        (with(macvlan(), "ipam", json!({"type": "host-local"})), "range"),
    ];
    for (single, told) in bad {
        let pod = node.known_pod("a", "");
        for config in [single.clone(), meta(single)] {
            let text = failed(&node.ask(Command::Status, &config), Code::Unavailable);
            assert!(text.contains(told), "{text}");
            assert_eq!(node.add(&pod, "eth0", &config).code, 1);
        }
        pod.netns.remove().unwrap();
    }
    node.assert_clean(&[]);
}

#[test]
fn c102_c106_an_exhausted_range_is_told_with_its_holders_and_calls_are_still_tried() {
    let Some(node) = Node::start() else { return };
    for (config, network) in [(small(macvlan()), "lan"), (meta(small(fastpath())), "blue")] {
        let pods = ["a", "b", "c"].map(|name| node.known_pod(name, ""));
        for pod in &pods[..2] {
            succeeded(&node.ask(Command::Status, &config));
            succeeded(&node.add(pod, "eth0", &config));
        }
        let told = [
            failed(&node.ask(Command::Status, &config), Code::Unavailable),
            failed(&node.add(&pods[2], "eth0", &config), Code::RangeExhausted),
        ];
        for text in told {
            for part in
                ["10.6.0.2", "10.6.0.3", &*pods[0].container_id, &*pods[1].container_id, "eth0", network]
            {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
        succeeded(&node.del(&pods[0], "eth0", &config));
        succeeded(&node.ask(Command::Status, &config));
        succeeded(&node.add(&pods[2], "eth0", &config));
        failed(&node.ask(Command::Status, &config), Code::Unavailable);
        succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[])));
        succeeded(&node.ask(Command::Status, &config));
        node.assert_clean(&[&pods[0], &pods[1], &pods[2]]);
        for pod in pods {
            pod.netns.remove().unwrap();
        }
    }
}

#[test]
fn c103_the_delegates_are_asked_and_their_error_is_told() {
    let Some(node) = Node::start() else { return };
    let ipam = node.plugin("poor-ipam", r#"printf '{"code":50,"msg":"out of addresses"}'; exit 1"#);
    let foreign = node.plugin("vendor", r#"printf '{"code":51,"msg":"no device"}'; exit 1"#);
    let single = with(macvlan(), "ipam", json!({"type": "poor-ipam"}));
    let config = meta(json!({"cniVersion": "1.1.0", "name": "n", "type": "vendor"}));
    for (config, told) in
        [(single.clone(), "out of addresses"), (meta(single), "out of addresses"), (config, "no device")]
    {
        let text = failed(&node.ask(Command::Status, &config), Code::Unavailable);
        assert!(text.contains(told), "{text}");
    }
    assert_eq!((ipam.verbs(), foreign.verbs()), (vec!["STATUS".to_owned(); 2], vec!["STATUS".to_owned()]));
}

#[test]
fn c107_status_has_no_side_effect() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    succeeded(&node.add(&pod, "net1", &macvlan()));
    let before = snapshot::take(&node.host, &[&pod]);
    for config in [macvlan(), fastpath(), meta(fastpath()), small(macvlan())] {
        succeeded(&node.ask(Command::Status, &config));
    }
    assert_eq!(snapshot::take(&node.host, &[&pod]), before);
}

#[test]
fn a_foreign_plugin_is_asked_only_what_its_networks_version_knows() {
    let Some(node) = Node::start() else { return };
    let plugin = node.plugin("old", "exit 1");
    let of_version = |version: &str| meta(json!({"cniVersion": version, "name": "n", "type": "old"}));
    succeeded(&node.ask(Command::Status, &of_version("1.0.0")));
    succeeded(&node.ask(Command::Gc, &valid(of_version("1.0.0"), &[])));
    assert_eq!(plugin.verbs(), Vec::<String>::new());
    failed(&node.ask(Command::Status, &of_version("1.1.0")), Code::Unavailable);
    assert_eq!(plugin.verbs(), ["STATUS"]);
}
