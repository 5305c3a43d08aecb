//! What a runtime owes to plugins (part H of the sentences): which config and which result each verb brings them.

use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::support::config::valid;
use crate::support::plugin::{PASS_ON, REFUSE_ADD, ipam_body};
use crate::support::{Node, failed, macvlan, meta, succeeded, with};

/// Our macvlan and two foreign plugins behind it.
fn list() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "lan",
        "plugins": [
            macvlan(),
            {"type": "one", "capabilities": {"mac": false, "x-vendor": true}, "key": {"z": 1, "a": [3, 1]}},
            {"type": "two"},
        ],
    })
}

/// Adds a key to the result, so that each plugin's differs from the one before.
fn marking(key: &str) -> String {
    format!(
        r#"[ "$CNI_COMMAND" = ADD ] && printf '%s' "$config" | sed 's/.*"prevResult":{{\(.*\)}}}}$/{{"{key}":1,\1}}/'; exit 0"#
    )
}

#[test]
fn c123_c126_to_c128_c139_each_verb_brings_name_version_and_the_right_result() {
    let Some(node) = Node::start() else { return };
    let (one, two) = (node.plugin("one", &marking("x-one")), node.plugin("two", &marking("x-two")));
    let pod = node.known_pod("a", "");
    let config = with(meta(list()), "runtimeConfig", json!({"x-vendor": 7, "other": 8}));
    let result = succeeded(&node.add(&pod, "eth0", &config));
    succeeded(&node.check(&pod, "eth0", &config, &result));
    succeeded(&node.del(&pod, "eth0", &config));
    for script in [&one, &two] {
        assert_eq!(script.verbs(), ["ADD", "CHECK", "DEL"]);
        for seen in script.calls() {
            assert_eq!((&seen.config["name"], &seen.config["cniVersion"]), (&json!("lan"), &json!("1.1.0")));
            assert!(seen.config.get("capabilities").is_none(), "C125");
        }
    }
    let previous =
        |script: &crate::support::plugin::Script, at: usize| script.calls()[at].config["prevResult"].clone();
    let first = previous(&one, 0);
    assert!(first["ips"].is_array() && first.get("x-one").is_none(), "the result of ours: {first}");
    assert_eq!(previous(&two, 0)["x-one"], 1, "and then that of the one before");
    for script in [&one, &two] {
        for at in [1, 2] {
            assert_eq!(previous(script, at), result, "CHECK and DEL bring the final result");
        }
        let [add, check, del] = [0, 1, 2].map(|at| script.calls().swap_remove(at));
        for other in [check, del] {
            assert_eq!(other.args, add.args);
            assert_eq!(other.config["runtimeConfig"], add.config["runtimeConfig"]);
            assert_eq!(other.config["key"], add.config["key"]);
        }
    }
    assert_eq!(one.calls()[0].config["runtimeConfig"], json!({"x-vendor": 7}));
    assert!(two.calls()[0].config.get("runtimeConfig").is_none());
    node.assert_clean(&[&pod]);
}

#[test]
fn c126_the_first_of_a_chain_gets_no_result_and_the_others_are_stopped_by_its_error() {
    let Some(node) = Node::start() else { return };
    let (first, second) = (node.plugin("one", REFUSE_ADD), node.plugin("two", PASS_ON));
    let pod = node.known_pod("a", "");
    let config =
        meta(json!({"cniVersion": "1.1.0", "name": "n", "plugins": [{"type": "one"}, {"type": "two"}]}));
    failed(&node.add(&pod, "eth0", &config), Code::Other(777));
    assert!(first.calls()[0].config.get("prevResult").is_none());
    assert_eq!((first.verbs(), second.verbs()), (vec!["ADD".to_owned(), "DEL".into()], vec![]), "C129, C130");
    node.assert_clean(&[&pod]);
}

#[test]
fn c129_check_stops_at_the_first_error_and_del_goes_on() {
    let Some(node) = Node::start() else { return };
    let harmed = |verb: &str| {
        format!(
            "[ \"$CNI_COMMAND\" = {verb} ] && {{ printf '{{\"code\":779,\"msg\":\"no {verb}\"}}'; exit 1; }}\n{PASS_ON}"
        )
    };
    let (one, two) = (node.plugin("one", &harmed("CHECK")), node.plugin("two", PASS_ON));
    let pod = node.known_pod("a", "");
    let config = meta(list());
    let result = succeeded(&node.add(&pod, "eth0", &config));
    failed(&node.check(&pod, "eth0", &config, &result), Code::Other(779));
    assert_eq!(two.verbs(), ["ADD"]);
    let two = node.plugin("two", &harmed("DEL"));
    failed(&node.del(&pod, "eth0", &config), Code::Other(779));
    assert_eq!((&*one.verbs()[2], node.leases("lan").len()), ("DEL", 0), "the others are released");
    node.plugin("two", PASS_ON);
    succeeded(&node.del(&pod, "eth0", &config));
    assert_eq!(two.verbs().last().unwrap(), "DEL");
    node.assert_clean(&[&pod]);
}

#[test]
fn c132_what_an_add_has_answered_outlives_a_crash() {
    let Some(mut node) = Node::start() else { return };
    let (_one, two) = (node.plugin("one", PASS_ON), node.plugin("two", &marking("x-two")));
    let pod = node.known_pod("a", "");
    let result = succeeded(&node.add(&pod, "eth0", &meta(list())));
    node.plexusd.kill().unwrap();
    node.plexusd.restart().unwrap();
    succeeded(&node.del(&pod, "eth0", &meta(list())));
    assert_eq!(two.calls().pop().unwrap().config["prevResult"], result);
    node.assert_clean(&[&pod]);
}

#[test]
fn c140_a_list_that_switches_check_and_gc_off_has_nothing_executed() {
    let Some(node) = Node::start() else { return };
    let (one, two) = (node.plugin("one", PASS_ON), node.plugin("two", PASS_ON));
    let pod = node.known_pod("a", "");
    let config = meta(with(with(list(), "disableCheck", json!(true)), "disableGC", json!(true)));
    let result = succeeded(&node.add(&pod, "eth0", &config));
    succeeded(&node.check(&pod, "eth0", &config, &result));
    succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[(&pod, "eth0")])));
    assert_eq!((one.verbs(), two.verbs()), (vec!["ADD".to_owned()], vec!["ADD".to_owned()]));
    succeeded(&node.del(&pod, "eth0", &config));
}

#[test]
fn c141_plugins_that_lie_beside_a_list_join_it_unless_it_says_otherwise() {
    let Some(node) = Node::start() else { return };
    let aside = node.plugin("aside", PASS_ON);
    let dir = node.host.dir().join("net.d");
    std::fs::create_dir_all(dir.join("lan")).unwrap();
    std::fs::write(dir.join("lan/10.conf"), r#"{"type": "aside"}"#).unwrap();
    let file = dir.join("10-lan.conflist");
    let pod = node.known_pod("a", "");
    let config = json!({
        "cniVersion": "1.1.0", "name": "plexus", "type": "plexus", "confDir": dir, "clusterNetwork": file,
    });
    let write = |inlined: Value, plugins: Value| {
        let list = json!({"cniVersion": "1.1.0", "name": "lan", "loadOnlyInlinedPlugins": inlined, "plugins": plugins});
        std::fs::write(&file, list.to_string()).unwrap();
    };
    write(json!(false), json!([macvlan()]));
    succeeded(&node.add(&pod, "eth0", &config));
    succeeded(&node.del(&pod, "eth0", &config));
    assert_eq!(aside.verbs(), ["ADD", "DEL"]);
    write(json!(true), json!([macvlan()]));
    succeeded(&node.add(&pod, "eth0", &config));
    succeeded(&node.del(&pod, "eth0", &config));
    assert_eq!(aside.verbs(), ["ADD", "DEL"], "inlined plugins alone");
    write(json!(true), json!([]));
    failed(&node.add(&pod, "eth0", &config), Code::InvalidConfig);
}

#[test]
fn c147_c137_a_pod_that_goes_is_detached_by_del_and_never_by_gc() {
    let Some(node) = Node::start() else { return };
    let (one, _two) = (node.plugin("one", PASS_ON), node.plugin("two", PASS_ON));
    let (pod, stale) = (node.known_pod("a", ""), node.known_pod("b", ""));
    let config = meta(list());
    for pod in [&pod, &stale] {
        succeeded(&node.add(pod, "eth0", &config));
    }
    succeeded(&node.del(&pod, "eth0", &config));
    assert_eq!(one.verbs(), ["ADD", "ADD", "DEL"]);
    // What the runtime has forgotten gets its DEL before anybody collects.
    succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[])));
    assert_eq!(one.verbs(), ["ADD", "ADD", "DEL", "DEL", "GC"]);
    node.assert_clean(&[&pod, &stale]);
}

#[test]
fn c148_c150_to_c153_an_ipam_plugin_gets_all_that_its_upper_plugin_has() {
    let Some(node) = Node::start() else { return };
    let env = node.plugins_dir().join("env");
    let body = format!("env | grep ^CNI_ | sort >> {}\n{}", env.display(), ipam_body("10.77.0.5/24"));
    let ipam = node.plugin("rich-ipam", &body);
    let pod = node.pod("a");
    let mut config = with(macvlan(), "ipam", json!({"type": "rich-ipam", "keys": [1, {"b": 1, "a": 2}]}));
    config["x-unknown"] = json!({"z": 1.10, "a": 12_345_678_901_234_567_890_u64});
    let result = succeeded(&node.add(&pod, "net1", &config));
    assert_eq!(result["ips"], json!([{"interface": 0, "address": "10.77.0.5/24"}]), "C153: ours is put in");
    succeeded(&node.check(&pod, "net1", &config, &result));
    succeeded(&node.ask(Command::Status, &config));
    succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[(&pod, "net1")])));
    succeeded(&node.del(&pod, "net1", &config));
    assert_eq!(ipam.verbs(), ["ADD", "CHECK", "STATUS", "GC", "DEL"]);
    assert_eq!(ipam.calls()[0].config.to_string(), config.to_string(), "byte for byte");
    let env = std::fs::read_to_string(env).unwrap();
    for line in [
        format!("CNI_ARGS={}", pod.cni_args()),
        format!("CNI_CONTAINERID={}", pod.container_id),
        "CNI_IFNAME=net1".into(),
        format!("CNI_NETNS={}", pod.netns.path().display()),
    ] {
        assert!(env.lines().any(|seen| seen == line), "{line} is not in {env}");
    }
    let path = env.lines().find(|line| line.starts_with("CNI_PATH=")).unwrap();
    assert!(path.contains(&*node.plugins_dir().display().to_string()), "{path}");
    node.assert_clean(&[&pod]);
}
