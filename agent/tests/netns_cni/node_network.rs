//! The default network that lies on the node: files, subdirectories, the auxiliary chain, the readiness indicator.

use std::fs;
use std::time::Duration;

use plexus_agent::lab::manifests::write_network;
use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::support::plugin::PASS_ON;
use crate::support::{Node, failed, macvlan, meta, succeeded, with};

/// A runtime's config with the default network in a file, as Multus generates it.
fn clustered(node: &Node) -> Value {
    let dir = node.host.dir().join("net.d");
    fs::create_dir_all(dir.join("vendor")).unwrap();
    fs::create_dir_all(dir.join("main")).unwrap();
    let main = json!({"cniVersion": "1.1.0", "name": "main", "plugins": [macvlan()]});
    let path = dir.join("10-main.conflist");
    fs::write(&path, main.to_string()).unwrap();
    json!({
        "cniVersion": "1.1.0", "name": "plexus", "type": "plexus", "clusterNetwork": path,
        "auxiliaryCNIChainName": "vendor",
    })
}

#[test]
fn plugins_of_other_agents_run_from_their_directories_and_the_auxiliary_chain_comes_last() {
    let Some(node) = Node::start() else { return };
    let config = clustered(&node);
    let dir = node.host.dir().join("net.d");
    let chained = node.plugin("chained", PASS_ON);
    let audit = node.plugin("audit", PASS_ON);
    fs::write(dir.join("main/10-chained.conf"), r#"{"type": "chained"}"#).unwrap();
    fs::write(dir.join("vendor/10-audit.conf"), r#"{"type": "audit", "mine": 1}"#).unwrap();
    let pod = node.known_pod("a", "");
    let result = succeeded(&node.add(&pod, "eth0", &config));
    assert_eq!(result["interfaces"][0]["name"], "eth0", "the answer is the default network's: {result}");
    let seen = &chained.calls()[0];
    assert_eq!(
        (&*seen.config["name"].to_string(), &seen.config["prevResult"]["interfaces"][0]["name"]),
        ("\"main\"", &json!("eth0"))
    );
    let seen = &audit.calls()[0];
    assert_eq!((&seen.config["name"], &seen.config["mine"]), (&json!("vendor"), &json!(1)));
    assert!(seen.config["prevResult"]["interfaces"].is_null(), "the chain has no interface: {}", seen.config);
    succeeded(&node.check(&pod, "eth0", &config, &result));
    // Both agents are gone, files and all: the record knows what to undo.
    fs::remove_dir_all(&dir).unwrap();
    succeeded(&node.del(&pod, "eth0", &config));
    assert_eq!(
        (chained.verbs(), audit.verbs()),
        (vec!["ADD".into(), "CHECK".into(), "DEL".into()], vec!["ADD".into(), "CHECK".into(), "DEL".into()])
    );
    node.assert_clean(&[&pod]);
}

#[test]
fn an_add_waits_for_the_readiness_indicator_and_status_and_del_do_not() {
    let Some(node) = Node::start() else { return };
    let indicator = node.host.dir().join("run/ready");
    let config = with(clustered(&node), "readinessindicatorfile", json!(indicator));
    let pod = node.known_pod("a", "");
    let text = failed(&node.ask(Command::Status, &config), Code::Unavailable);
    assert!(text.contains("run/ready") && text.contains("readinessindicatorfile"), "{text}");
    succeeded(&node.del(&pod, "eth0", &config));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(300));
            fs::create_dir_all(indicator.parent().unwrap()).unwrap();
            fs::write(&indicator, "").unwrap();
        });
        succeeded(&node.add(&pod, "eth0", &config));
        assert!(indicator.exists());
    });
    succeeded(&node.ask(Command::Status, &config));
    fs::remove_file(&indicator).unwrap();
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn keys_of_multus_daemon_config_go_before_the_runtimes_on_every_call() {
    let Some(node) = Node::start_with(|setup| {
        let path = setup.log.with_file_name("daemon-config.json");
        let config = json!({"chrootDir": "/hostroot", "namespaceIsolation": true, "globalNamespaces": "shared", "logLevel": "verbose"});
        fs::write(&path, config.to_string()).unwrap();
        setup.arguments.extend(["--config".to_owned(), path.display().to_string()]);
    }) else {
        return;
    };
    let manifests = node.host.manifests_dir();
    for namespace in ["foreign", "shared"] {
        write_network(&manifests, namespace, "net", &with(macvlan(), "name", json!("net"))).unwrap();
    }
    let config = with(meta(with(macvlan(), "name", json!("cluster"))), "namespaceIsolation", json!(false));
    let refused = node.known_pod("a", "foreign/net");
    let text = failed(&node.add(&refused, "eth0", &config), Code::NotAuthorized);
    assert!(text.contains("default/a") && text.contains("foreign/net") && text.contains("shared"), "{text}");
    let allowed = node.known_pod("b", "shared/net");
    succeeded(&node.add(&allowed, "eth0", &config));
    succeeded(&node.del(&allowed, "eth0", &config));
    let log = fs::read_to_string(node.host.dir().join("plexusd.log")).unwrap();
    assert!(log.contains("chrootDir") && log.contains("does nothing"), "{log}");
    node.assert_clean(&[&refused, &allowed]);
}
