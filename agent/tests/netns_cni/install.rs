//! What plexusd installs on a node is what a runtime can use.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use plexus_agent::lab::Runtime;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::{Node, macvlan, succeeded, with};

fn conf_dir() -> PathBuf {
    "/run/plexus-lab/net.d".into()
}

/// A node whose plexusd keeps the runtime's config.
fn node() -> Option<Node> {
    Node::start_with(|setup| {
        fs::create_dir_all(conf_dir()).unwrap();
        setup.arguments =
            vec![format!("--cni-conf-dir={}", conf_dir().display()), "--conflist-on-exit=remove".into()];
    })
}

/// The config that a runtime passes for the first plugin of the file, once it is there.
fn passed(path: &Path) -> Value {
    let give_up_at = Instant::now() + Duration::from_secs(20);
    while !path.exists() {
        assert!(Instant::now() < give_up_at, "no {}", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    let list: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let named = with(list["plugins"][0].clone(), "name", list["name"].clone());
    with(named, "cniVersion", list["cniVersion"].clone())
}

#[test]
fn the_written_config_attaches_pods_to_the_primary_network_and_goes_at_the_end() {
    let Some(mut node) = node() else { return };
    let ours = conf_dir().join("00-plexus.conflist");
    assert!(
        !ours.exists() && !node.query(&Query::Status)["conflist"]["waiting"].is_null(),
        "the socket answers at once"
    );
    let primary = json!({"cniVersion": "1.0.0", "name": "lan", "plugins": [with(macvlan(), "capabilities", json!({"mac": true}))]});
    fs::write(conf_dir().join("10-lan.conflist"), primary.to_string()).unwrap();
    let config = passed(&ours);
    assert_eq!(
        config["socket"],
        json!(node.host.socket()),
        "the lab's socket is not where the shim looks by itself"
    );
    assert!(
        node.query(&Query::Status)["conflist"]["current"]["primary"]
            .as_str()
            .unwrap()
            .ends_with("10-lan.conflist")
    );
    let pod = node.known_pod("a", "");
    let config = with(config, "runtimeConfig", json!({"mac": "02:00:00:00:00:0a"}));
    let result = succeeded(&node.add(&pod, "eth0", &config));
    assert_eq!(result["interfaces"][0]["mac"], "02:00:00:00:00:0a");
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
    node.plexusd.stop().unwrap();
    assert!(!ours.exists());
}

#[test]
fn the_installed_shim_serves_under_each_of_its_names() {
    let Some(node) = Node::start() else { return };
    let bin = node.host.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("multus"), "the real one").unwrap();
    let run = |arguments: &[&str]| {
        let output = Process::new(node.binaries.plexusd())
            .args(arguments)
            .arg("--bin-dir")
            .arg(&bin)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let source = node.binaries.shim().display().to_string();
    let install = ["install", "--names=multus,multus-shim,macvlan", "--source", &source];
    let said = run(&install);
    assert!(said.contains("CNI 0.3.0 to 1.1.0") && said.contains("multus.before-plexus"), "{said}");
    assert_eq!(run(&install).matches("unchanged").count(), 4);
    let mut runtime = Runtime::new(&node.host, &node.binaries);
    for (name, config) in [("macvlan", macvlan()), ("multus-shim", crate::support::meta(macvlan()))] {
        runtime.plugin = bin.join(name);
        let pod = node.known_pod("a", "");
        succeeded(&runtime.add(&pod, "eth0", &with(config.clone(), "type", json!(name))).unwrap());
        succeeded(&runtime.del(&pod, "eth0", &with(config, "type", json!(name))).unwrap());
        node.assert_clean(&[&pod]);
        pod.netns.remove().unwrap();
    }
    run(&["uninstall"]);
    assert_eq!(fs::read_dir(&bin).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(bin.join("multus")).unwrap(), "the real one");
}
