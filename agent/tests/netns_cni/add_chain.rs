//! ADD of chains, and of calls that something crosses.

use std::path::Path;
use std::process::Command as Process;

use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::support::plugin::{PASS_ON, REFUSE_ADD, ipam_body};
use crate::support::{Node, failed, fastpath, macvlan, meta, succeeded, wait, with};

/// A plugin that says where it is, and waits there for a word.
fn gate(dir: &Path) -> String {
    for name in ["arrived", "go"] {
        assert!(Process::new("mkfifo").arg(dir.join(name)).status().unwrap().success());
    }
    let (arrived, go) = (dir.join("arrived"), dir.join("go"));
    format!(
        "[ \"$CNI_COMMAND\" = ADD ] && {{ echo here > {}; cat {} > /dev/null; }}\n{PASS_ON}",
        arrived.display(),
        go.display()
    )
}

fn wait_at(dir: &Path) {
    assert_eq!(std::fs::read_to_string(dir.join("arrived")).unwrap(), "here\n");
}

fn open(dir: &Path) {
    std::fs::write(dir.join("go"), "on").unwrap();
}

/// A chain of our macvlan and this foreign plugin.
fn chain(plugin_type: &str) -> Value {
    json!({"cniVersion": "1.1.0", "name": "lan", "plugins": [macvlan(), {"type": plugin_type}]})
}

#[test]
fn c053_c054_c056_a_chained_plugin_loses_nothing_of_the_result() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let mut result = succeeded(&node.add(&pod, "net1", &macvlan()));
    result["x-vendor"] = json!({"n": 1});
    result["interfaces"].as_array_mut().unwrap().insert(0, json!({"name": "else0", "x": [1, 2]}));
    result["ips"][0]["interface"] = json!(1);
    let limit = json!({"cniVersion": "1.1.0", "name": "lan", "type": "bandwidth", "prevResult": result});
    assert_eq!(succeeded(&node.add(&pod, "net1", &limit)), result);
    let limit = with(limit, "ingressRate", json!(1_000_000));
    succeeded(&node.del(&pod, "net1", &limit));
    assert_eq!(succeeded(&node.add(&pod, "net1", &limit)), result);
    failed(
        &node.add(
            &node.pod("b"),
            "net1",
            &json!({"cniVersion": "1.1.0", "name": "lan", "type": "bandwidth"}),
        ),
        Code::InvalidConfig,
    );
    succeeded(&node.del(&pod, "net1", &limit));
    succeeded(&node.del(&pod, "net1", &macvlan()));
    node.assert_clean(&[&pod]);
}

#[test]
fn c053_what_a_foreign_plugin_adds_to_a_result_comes_out_at_the_end() {
    let Some(node) = Node::start() else { return };
    let foreign = node.plugin(
        "vendor",
        r#"[ "$CNI_COMMAND" = ADD ] && printf '%s' "$config" | sed 's/.*"prevResult":{\(.*\)}}$/{"x-vendor":[1.10],\1}/'; exit 0"#,
    );
    let pod = node.known_pod("a", "");
    let result = succeeded(&node.add(&pod, "eth0", &meta(chain("vendor"))));
    assert_eq!(result["x-vendor"].to_string(), "[1.10]");
    assert_eq!(foreign.calls()[0].config["prevResult"]["ips"], result["ips"]);
    succeeded(&node.del(&pod, "eth0", &meta(chain("vendor"))));
    assert_eq!(foreign.calls()[1].config["prevResult"], result);
    node.assert_clean(&[&pod]);
}

#[test]
fn c058_c059_a_foreign_plugin_that_fails_gets_its_del_and_its_error_is_passed_on() {
    let Some(node) = Node::start() else { return };
    let foreign = node.plugin("vendor", REFUSE_ADD);
    let pod = node.known_pod("a", "");
    let text = failed(&node.add(&pod, "eth0", &meta(chain("vendor"))), Code::Other(777));
    for part in ["vendor", "no luck", "on purpose", "network lan", "interface eth0", "default/a"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(foreign.verbs(), ["ADD", "DEL"]);
    node.assert_clean(&[&pod]);
}

#[test]
fn c058_a_foreign_ipam_that_fails_gets_its_del() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let failing = node.plugin("poor-ipam", REFUSE_ADD);
    for config in [macvlan(), fastpath()] {
        let config = with(config, "ipam", json!({"type": "poor-ipam"}));
        failed(&node.add(&pod, "net1", &config), Code::Other(777));
        node.assert_clean(&[&pod]);
    }
    assert_eq!(failing.verbs(), ["ADD", "DEL", "ADD", "DEL"]);
    let working = node.plugin("rich-ipam", &ipam_body("10.77.0.5/24"));
    let config = with(macvlan(), "ipam", json!({"type": "rich-ipam", "key": [1]}));
    let result = succeeded(&node.add(&pod, "net1", &config));
    assert_eq!(result["ips"], json!([{"interface": 0, "address": "10.77.0.5/24"}]));
    succeeded(&node.check(&pod, "net1", &config, &result));
    succeeded(&node.del(&pod, "net1", &config));
    assert_eq!(working.verbs(), ["ADD", "CHECK", "DEL"]);
    assert_eq!(working.calls()[0].config, config);
    node.assert_clean(&[&pod]);
}

#[test]
fn c063_a_namespace_that_vanishes_during_add_leaves_nothing_after_del() {
    let Some(node) = Node::start() else { return };
    let dir = node.plugins_dir();
    node.plugin("gate", &gate(&dir));
    let chained = json!({"cniVersion": "1.1.0", "name": "blue", "plugins": [fastpath(), {"type": "gate"}]});
    let pod = node.known_pod("a", "");
    let (runtime, config) = (&node.runtime, meta(chained));
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| runtime.add(&pod, "eth0", &config).unwrap());
        wait_at(&dir);
        // The path goes; the call in progress holds the namespace itself.
        pod.netns.clone().remove().unwrap();
        open(&dir);
        adding.join().unwrap();
    });
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn c083_a_del_waits_for_the_add_that_it_ends() {
    let Some(node) = Node::start() else { return };
    let dir = node.plugins_dir();
    node.plugin("gate", &gate(&dir));
    let pod = node.known_pod("a", "");
    let (runtime, config) = (&node.runtime, meta(chain("gate")));
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| runtime.add(&pod, "eth0", &config).unwrap());
        wait_at(&dir);
        let deleting = scope.spawn(|| runtime.del(&pod, "eth0", &config).unwrap());
        open(&dir);
        succeeded(&adding.join().unwrap());
        succeeded(&deleting.join().unwrap());
    });
    node.assert_clean(&[&pod]);
}

#[test]
fn c119_gc_keeps_what_was_being_added_when_it_came() {
    let Some(node) = Node::start() else { return };
    let dir = node.plugins_dir();
    node.plugin("gate", &gate(&dir));
    let (stale, pod) = (node.known_pod("stale", ""), node.known_pod("a", ""));
    succeeded(&node.add(&stale, "eth0", &meta(macvlan())));
    let config = meta(chain("gate"));
    let gc = crate::support::config::valid(config.clone(), &[]).to_string();
    let (runtime, log) = (&node.runtime, node.plexusd.setup().log.clone());
    let result = std::thread::scope(|scope| {
        let adding = scope.spawn(|| runtime.add(&pod, "eth0", &config).unwrap());
        wait_at(&dir);
        let collecting = scope.spawn(|| {
            let environment = [("CNI_COMMAND", Command::Gc.as_str()), ("CNI_PATH", &runtime.path)];
            runtime.execute(&environment, gc.as_bytes()).unwrap()
        });
        wait::until("plexusd notes the GC", || {
            std::fs::read_to_string(&log).unwrap().contains("GC came").then_some(())
        });
        open(&dir);
        succeeded(&collecting.join().unwrap());
        succeeded(&adding.join().unwrap())
    });
    succeeded(&node.check(&pod, "eth0", &config, &result));
    assert_eq!(node.leases("lan").len(), 1);
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod, &stale]);
}
