//! Plugins of others: executed by the shim, with what they need, and bounded.

use std::path::Path;

use plexus_agent::lab::Runtime;
use plexus_agent::lab::skip::skipped;
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::meta::default_only;
use crate::support::kernel::{addresses, default_routes, link};
use crate::support::{Node, failed, macvlan, meta, succeeded, with};

/// Whether these plugins of another implementation are installed; else says that the test is skipped.
fn require_reference_plugins(test: &str, names: &[&str]) -> bool {
    let dir = std::env::var("CNI_REFERENCE_BIN").unwrap_or_else(|_| "/usr/lib/cni".into());
    match names.iter().find(|name| !Path::new(&dir).join(name).is_file()) {
        None => true,
        Some(missing) => {
            skipped(test, &format!("the plugin {missing} is not in {dir} (containernetworking-plugins)"))
        }
    }
}

#[test]
fn a_conflist_of_reference_plugins_works_and_is_undone() {
    if !require_reference_plugins(
        "a_conflist_of_reference_plugins_works_and_is_undone",
        &["ptp", "host-local", "tuning"],
    ) {
        return;
    }
    let Some(node) = Node::start() else { return };
    let list = json!({
        "cniVersion": "1.0.0", "name": "p2p",
        "plugins": [
            {
                "type": "ptp", "plexus": {"exec": true},
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.8.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
            },
            {"type": "tuning", "mtu": 1300, "capabilities": {"mac": true}},
        ],
    });
    let pod = node.known_pod("a", "");
    let config = meta(list);
    let result = succeeded(&node.add(&pod, "eth0", &config));
    assert_eq!(addresses(&pod.netns, "eth0"), ["10.8.0.2/24"]);
    assert_eq!(link(&pod.netns, "eth0").unwrap()["mtu"], 1300);
    assert_eq!(default_routes(&pod.netns)[0]["gateway"], "10.8.0.1");
    assert_eq!(result["cniVersion"], "1.1.0");
    succeeded(&node.check(&pod, "eth0", &config, &result));
    pod.netns.ip(&["addr", "flush", "dev", "eth0"]).unwrap();
    assert_eq!(node.check(&pod, "eth0", &config, &result).code, 1);
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_native_type_is_executed_where_the_config_asks_for_the_binary() {
    if !require_reference_plugins(
        "a_native_type_is_executed_where_the_config_asks_for_the_binary",
        &["macvlan", "host-local"],
    ) {
        return;
    }
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let executed = with(with(macvlan(), "plexus", json!({"exec": true})), "cniVersion", json!("1.0.0"));
    let config = meta(executed);
    let result = succeeded(&node.add(&pod, "eth0", &config));
    assert_eq!(addresses(&pod.netns, "eth0"), ["10.1.0.2/24"]);
    let ports = node.query(&plexus_cni::wire::Query::Ports);
    assert_eq!(ports, json!([]), "an interface of another plugin has no port");
    succeeded(&node.check(&pod, "eth0", &config, &result));
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn our_main_plugins_and_reference_chained_ones_work_together() {
    let test = "our_main_plugins_and_reference_chained_ones_work_together";
    if !require_reference_plugins(test, &["tuning", "sbr"]) {
        return;
    }
    let Some(node) = Node::start() else { return };
    let list = json!({
        "cniVersion": "1.0.0", "name": "lan",
        "plugins": [macvlan(), {"type": "tuning", "mac": "02:00:00:00:00:31"}],
    });
    let pod = node.known_pod("a", "");
    let result = succeeded(&node.add(&pod, "eth0", &meta(list.clone())));
    assert_eq!(link(&pod.netns, "eth0").unwrap()["address"], "02:00:00:00:00:31");
    assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:31");
    succeeded(&node.check(&pod, "eth0", &meta(list.clone()), &result));
    succeeded(&node.del(&pod, "eth0", &meta(list)));
    node.assert_clean(&[&pod]);
}

/// ADD of the default network and a foreign one; both must be undone after the failure.
fn add_with(node: &Node, plugin_type: &str, code: Code) -> String {
    let pod = node.known_pod("a", "");
    let foreign = json!({"cniVersion": "1.1.0", "name": "n", "type": plugin_type});
    let mut config = default_only();
    config["delegates"].as_array_mut().unwrap().push(foreign);
    let text = failed(&node.add(&pod, "eth0", &config), code);
    node.assert_clean(&[&pod]);
    succeeded(&node.del(&pod, "eth0", &config));
    pod.netns.remove().unwrap();
    text
}

#[test]
fn c144_rubbish_from_a_plugin_is_a_decoding_error_and_it_gets_its_del() {
    let Some(node) = Node::start() else { return };
    for (name, body) in [
        ("empty", "exit 0"),
        ("no-json", "echo hello"),
        ("cut", r#"printf '{"cniVersion":"1.1.0","ips":['"#),
        ("list", "echo '[]'"),
        ("wrong-type", r#"printf '{"cniVersion":"1.1.0","ips":"none"}'"#),
        ("wrong-address", r#"printf '{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.300/24"}]}'"#),
    ] {
        let script = node.plugin(name, &format!("[ \"$CNI_COMMAND\" = DEL ] && exit 0\n{body}"));
        let text = add_with(&node, name, Code::Decoding);
        assert!(text.contains(name), "{text}");
        assert_eq!(script.verbs(), ["ADD", "DEL"], "{name}");
    }
}

#[test]
fn c133_a_plugin_that_is_not_installed_is_named_with_where_it_was_looked_for() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let config = meta(json!({"cniVersion": "1.1.0", "name": "n", "type": "nowhere"}));
    let text = failed(&node.add(&pod, "eth0", &config), Code::PluginMissing);
    assert!(text.contains("nowhere") && text.contains(&*node.plugins_dir().display().to_string()), "{text}");
    assert_eq!(
        node.leftovers().len(),
        usize::from(node.leftovers().iter().any(|one| one.contains("records")))
    );
}

#[test]
fn a_plugin_that_dies_or_fails_without_a_word_is_named_with_what_it_said() {
    let Some(node) = Node::start() else { return };
    node.plugin("dying", "[ \"$CNI_COMMAND\" = DEL ] && exit 0\necho last words >&2; kill -SEGV $$");
    let text = add_with(&node, "dying", Code::DelegateFailed);
    assert!(text.contains("dying") && text.contains("signal 11") && text.contains("last words"), "{text}");
    node.plugin("silent", "[ \"$CNI_COMMAND\" = DEL ] && exit 0\nexit 7");
    let text = add_with(&node, "silent", Code::DelegateFailed);
    assert!(text.contains("silent") && text.contains('7'), "{text}");
}

#[test]
fn c144_a_plugin_that_talks_without_end_is_stopped_and_undone() {
    let Some(node) = Node::start() else { return };
    node.plugin("talker", "[ \"$CNI_COMMAND\" = DEL ] && exit 0\nexec yes");
    let text = add_with(&node, "talker", Code::Decoding);
    assert!(text.contains("talker") && text.contains("too much"), "{text}");
}

#[test]
fn results_of_old_plugins_are_understood() {
    let Some(node) = Node::start() else { return };
    let body = r#"[ "$CNI_COMMAND" = ADD ] && printf '%s' '{"cniVersion":"0.3.1","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"version":"4","interface":0,"address":"10.7.0.2/24","gateway":"10.7.0.1"}],"routes":[{"dst":"0.0.0.0/0"}],"dns":{}}'; exit 0"#;
    node.plugin("old", body);
    let pod = node.known_pod("a", "");
    let config = meta(json!({"cniVersion": "0.3.1", "name": "n", "type": "old"}));
    let result = succeeded(&node.add(&pod, "eth0", &config));
    assert_eq!(result["cniVersion"], "1.1.0");
    assert_eq!(result["ips"], json!([{"interface": 0, "address": "10.7.0.2/24", "gateway": "10.7.0.1"}]));
    let status: Value = crate::meta::network_status(&node);
    assert_eq!((&status[0]["ips"], &status[0]["gateway"]), (&json!(["10.7.0.2"]), &json!(["10.7.0.1"])));
    succeeded(&node.del(&pod, "eth0", &config));
}

#[test]
fn c050_a_second_default_route_stands_where_the_reference_puts_it() {
    let test = "c050_a_second_default_route_stands_where_the_reference_puts_it";
    if !require_reference_plugins(test, &["macvlan", "host-local"]) {
        return;
    }
    let Some(node) = Node::start() else { return };
    let reference = std::env::var("CNI_REFERENCE_BIN").unwrap_or_else(|_| "/usr/lib/cni".into());
    let runtimes = [node.runtime.clone(), Runtime::of_plugin(&Path::new(&reference).join("macvlan"))];
    let orders = runtimes.map(|runtime| {
        let pod = node.pod(runtime.plugin.file_name().unwrap().to_str().unwrap());
        for (ifname, subnet) in [("net1", "10.11.0.0/24"), ("net2", "10.12.0.0/24")] {
            let mut config = with(macvlan(), "cniVersion", json!("1.0.0"));
            config["name"] = json!(format!("{ifname}-of-{}", pod.name));
            config["ipam"]["ranges"] = json!([[{"subnet": subnet}]]);
            succeeded(&runtime.add(&pod, ifname, &config).unwrap());
        }
        default_routes(&pod.netns).iter().map(|route| route["dev"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(orders[0].len(), 2);
    assert_eq!(orders[0], orders[1]);
}
