//! Pods that Multus attached, and configs that were written for it.
//!
//! `tests/data/multus-recorded/cache` is what Multus 4.3 (thick) left for a pod with a bridge and two macvlans.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use plexus_agent::lab::Pod;
use plexus_cni::Code;
use plexus_cni::env::Command;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::config::valid;
use crate::support::kernel::link;
use crate::support::{Node, failed, macvlan, succeeded, with};

const CACHE: &str = "/var/lib/cni/multus";
const LEASES: &str = "/var/lib/cni/networks";
const ID: &str = "a0be809e59c27e7cd8f51a3cb972221cb67d907f081baaa579b74fa1e9e6306a";

/// The recorded `00-multus.conf`.
fn recorded_config() -> Value {
    json!({
        "cniVersion": "0.3.1", "logLevel": "verbose", "logToStderr": true, "name": "multus-cni-network",
        "clusterNetwork": "/etc/cni/net.d/10-bridge.conflist", "type": "multus-shim",
    })
}

/// A node without the reference plugins.
fn node() -> Option<Node> {
    Node::start_with(|setup| setup.bin_dir = setup.log.with_file_name("plugins").display().to_string())
}

/// The recorded pod with what its plugins made in the kernel and on the disk.
fn recorded_pod(node: &Node) -> Pod {
    let mut pod = node.pod("ref");
    pod.container_id = ID.into();
    let (host, netns) = (node.host.netns(), pod.netns.path().display().to_string());
    host.ip(&["link", "add", "cni0", "type", "bridge"]).unwrap();
    host.ip(&["link", "add", "veth00f78df4", "type", "veth", "peer", "name", "eth0", "netns", &netns])
        .unwrap();
    host.ip(&["link", "set", "veth00f78df4", "master", "cni0", "up"]).unwrap();
    for ifname in ["net1", "net2"] {
        let parts =
            ["link", "add", ifname, "link", "uplink1", "netns", &netns, "type", "macvlan", "mode", "bridge"];
        host.ip(&parts).unwrap();
    }
    for (network, address, ifname) in
        [("lab", "10.201.0.63", "eth0"), ("mv1", "10.211.0.2", "net1"), ("mv2", "10.212.0.2", "net2")]
    {
        let dir = Path::new(LEASES).join(network);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(address), format!("{ID}\r\n{ifname}")).unwrap();
        fs::write(dir.join("last_reserved_ip.0"), address).unwrap();
        fs::write(dir.join("lock"), "").unwrap();
    }
    cache(|text| text);
    pod
}

/// Writes the recorded cache; `change` rewrites each file.
fn cache(change: impl Fn(String) -> String) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/multus-recorded/cache");
    for below in ["", "results"] {
        let dir = Path::new(CACHE).join(below);
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        for entry in fs::read_dir(source.join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let text = change(fs::read_to_string(&path).unwrap());
                fs::write(dir.join(path.file_name().unwrap()), text).unwrap();
            }
        }
    }
}

/// Every file and directory beneath `dir`, with a file's content.
fn files(dir: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::from(dir)];
    while let Some(dir) = dirs.pop() {
        found.push((dir.display().to_string(), String::new()));
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// What the record says is there when the pod is gone.
fn assert_as_after_multus() {
    let dir = |path: &str| (path.to_owned(), String::new());
    assert_eq!(files(CACHE), [dir("/var/lib/cni/multus"), dir("/var/lib/cni/multus/results")]);
    let mut expected = vec![dir(LEASES)];
    for (network, last) in [("lab", "10.201.0.63"), ("mv1", "10.211.0.2"), ("mv2", "10.212.0.2")] {
        expected.push(dir(&format!("{LEASES}/{network}")));
        expected.push((format!("{LEASES}/{network}/last_reserved_ip.0"), last.into()));
        expected.push((format!("{LEASES}/{network}/lock"), String::new()));
    }
    assert_eq!(files(LEASES), expected);
    for path in [CACHE.to_owned(), format!("{CACHE}/results")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn the_recorded_pod_of_multus_is_detached_without_the_reference_plugins() {
    let Some(node) = node() else { return };
    let pod = recorded_pod(&node);
    assert_eq!(node.query(&Query::Status)["multusPods"], 1);
    succeeded(&node.del(&pod, "eth0", &recorded_config()));
    assert_as_after_multus();
    for ifname in ["eth0", "net1", "net2"] {
        assert!(link(&pod.netns, ifname).is_none(), "{ifname} is left");
    }
    assert!(link(node.host.netns(), "veth00f78df4").is_none());
    assert_eq!(node.query(&Query::Status)["multusPods"], 0);
    succeeded(&node.del(&pod, "eth0", &recorded_config()));
}

#[test]
fn a_pod_of_multus_is_detached_under_our_own_type_and_with_its_namespace_gone() {
    let Some(node) = node() else { return };
    let pod = recorded_pod(&node);
    let config = with(with(recorded_config(), "type", json!("plexus")), "cniVersion", json!("1.0.0"));
    let id = pod.container_id.clone();
    pod.netns.remove().unwrap();
    let environment =
        [("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", &*id), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "")];
    succeeded(&node.runtime.execute(&environment, config.to_string().as_bytes()).unwrap());
    assert_as_after_multus();
}

#[test]
fn a_network_that_cannot_be_released_keeps_the_cache_for_the_next_del() {
    let Some(node) = node() else { return };
    let pod = recorded_pod(&node);
    // With ipMasq the reference plugin has made rules that only itself knows.
    let masquerading = |text: String| {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        let old = r#"{"cniVersion":"1.0.0","name":"lab","plugins":[{"bridge":"cni0","hairpinMode":true,"ipam":{"ranges":[[{"subnet":"10.201.0.0/16"}]],"routes":[{"dst":"0.0.0.0/0"}],"type":"host-local"},"isGateway":true,"type":"bridge"}]}"#;
        text.replace(&STANDARD.encode(old), &STANDARD.encode(old.replace("hairpinMode", "ipMasq")))
    };
    cache(masquerading);
    let before = files(CACHE);
    node.plugin("bridge", "printf '{\"cniVersion\":\"1.0.0\",\"code\":777,\"msg\":\"no luck\"}'; exit 1");
    let text = failed(&node.del(&pod, "eth0", &recorded_config()), Code::Other(777));
    assert!(text.contains("network lab") && text.contains("eth0") && text.contains("no luck"), "{text}");
    assert_eq!(files(CACHE), before);
    let bridge = node.plugin("bridge", "exit 0");
    succeeded(&node.del(&pod, "eth0", &recorded_config()));
    let seen = bridge.calls().pop().unwrap();
    assert_eq!(
        (&*seen.command, &seen.config["prevResult"]["ips"][0]["address"]),
        ("DEL", &json!("10.201.0.63/16"))
    );
    assert!(seen.args.contains("K8S_POD_UID=bf80aac9-b731-4639-bc3d-ee99711637e1"), "{}", seen.args);
    // The script left the link and the lease; ours did not touch them.
    assert_eq!(node.leases("lab"), ["10.201.0.63"]);
    assert_eq!((node.leases("mv1").len(), node.leases("mv2").len()), (0, 0));
    // Without the binary: links and leases at least.
    fs::remove_file(node.plugins_dir().join("bridge")).unwrap();
    cache(masquerading);
    succeeded(&node.del(&pod, "eth0", &recorded_config()));
    assert_as_after_multus();
    assert!(link(&pod.netns, "eth0").is_none());
}

#[test]
fn a_broken_cache_is_no_reason_for_a_pod_to_hang() {
    let Some(node) = node() else { return };
    let pod = recorded_pod(&node);
    let list = Path::new(CACHE).join(ID);
    fs::write(&list, &fs::read(&list).unwrap()[..200]).unwrap();
    fs::write(Path::new(CACHE).join(format!("results/mv2-{ID}-net2")), "").unwrap();
    succeeded(&node.del(&pod, "eth0", &recorded_config()));
    assert!(link(&pod.netns, "eth0").is_none() && link(&pod.netns, "net1").is_none());
    let left: Vec<String> = files(CACHE).into_iter().map(|(path, _)| path).collect();
    let aside = |path: String| format!("{path}.unreadable");
    let expected = [
        CACHE.to_owned(),
        aside(format!("{CACHE}/{ID}")),
        format!("{CACHE}/results"),
        aside(format!("{CACHE}/results/mv2-{ID}-net2")),
    ];
    assert_eq!(left, expected);
    succeeded(&node.del(&pod, "eth0", &recorded_config()));
}

#[test]
fn gc_releases_what_multus_attached_to_containers_that_the_runtime_has_forgotten() {
    let Some(node) = node() else { return };
    let pod = recorded_pod(&node);
    let config = with(with(recorded_config(), "cniVersion", json!("1.1.0")), "clusterNetwork", Value::Null);
    let config = with(config, "delegates", json!([with(macvlan(), "name", json!("other"))]));
    let before = files("/var/lib/cni");
    succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[])));
    assert_eq!(files("/var/lib/cni"), before, "Multus may be attaching it just now");
    let hour_ago = SystemTime::now() - Duration::from_hours(1);
    fs::File::open(Path::new(CACHE).join(ID)).unwrap().set_modified(hour_ago).unwrap();
    succeeded(&node.ask(Command::Gc, &valid(config.clone(), &[(&pod, "eth0")])));
    assert_eq!(files("/var/lib/cni"), before);
    succeeded(&node.ask(Command::Gc, &valid(config, &[])));
    assert_as_after_multus();
}

#[test]
fn check_of_a_pod_of_multus_asks_for_its_interfaces() {
    let Some(node) = node() else { return };
    let pod = recorded_pod(&node);
    let config = with(recorded_config(), "cniVersion", json!("1.0.0"));
    succeeded(&node.check(&pod, "eth0", &config, &json!({"cniVersion": "1.0.0"})));
    pod.netns.ip(&["link", "del", "net2"]).unwrap();
    let text = failed(&node.check(&pod, "eth0", &config, &json!({"cniVersion": "1.0.0"})), Code::CheckFailed);
    assert!(text.contains("mv2") && text.contains("net2"), "{text}");
}

#[test]
fn the_types_of_multus_are_the_meta_plugin_and_records_are_found_under_each() {
    let Some(node) = Node::start() else { return };
    let primary = node.host.dir().join("10-lan.conf");
    fs::write(&primary, macvlan().to_string()).unwrap();
    let shim = with(recorded_config(), "clusterNetwork", json!(primary));
    let shim = with(shim, "daemonSocketDir", json!("/run/multus/"));
    let thin = with(with(shim.clone(), "type", json!("multus")), "kubeconfig", json!("/etc/none"));
    let own = with(shim.clone(), "type", json!("plexus"));
    for (add, del) in [(&shim, &own), (&own, &thin), (&thin, &shim)] {
        let pod = node.known_pod("a", "");
        let result = succeeded(&node.add(&pod, "eth0", add));
        assert_eq!(result["cniVersion"], "0.3.1");
        succeeded(&node.del(&pod, "eth0", del));
        node.assert_clean(&[&pod]);
        pod.netns.remove().unwrap();
    }
}
