//! Malformed and hostile calls: an error with a code that names the field and the reason, and nothing attached.

use std::path::Path;

use nix::sys::stat::Mode;
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::{Node, failed, fastpath, macvlan, meta, succeeded, with};

/// A config, the code of its refusal and what the refusal has to name.
type Case = (Value, Code, &'static [&'static str]);

/// Each config is refused, alone and as a pod's default network, and leaves nothing.
fn assert_all_refused(cases: Vec<Case>) {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    for (config, code, named) in cases {
        for config in [config.clone(), meta(config)] {
            let text = failed(&node.add(&pod, "eth0", &config), code);
            for part in named {
                assert!(text.contains(part), "{part} is not in {text}");
            }
            node.assert_clean(&[&pod]);
            succeeded(&node.del(&pod, "eth0", &config));
            node.assert_clean(&[&pod]);
        }
    }
    succeeded(&node.add(&pod, "eth0", &macvlan()));
}

fn ipam(section: Value) -> Value {
    with(macvlan(), "ipam", section)
}

#[test]
fn impossible_values_of_plugins_are_refused_with_key_and_reason() {
    assert_all_refused(vec![
        (with(macvlan(), "mode", json!("sideways")), Code::InvalidConfig, &["mode", "sideways"]),
        (with(macvlan(), "mtu", json!(65_000)), Code::InvalidConfig, &["mtu", "65000", "uplink1"]),
        (with(macvlan(), "mtu", json!("big")), Code::InvalidConfig, &["mtu"]),
        (with(macvlan(), "master", json!("../eth0")), Code::InvalidConfig, &["master", "../eth0"]),
        (with(macvlan(), "mac", json!("01:00:00:00:00:00")), Code::InvalidConfig, &["mac", "group"]),
        (
            with(macvlan(), "plexus", json!({"speed": "high"})),
            Code::UnsupportedField,
            &["plexus.speed", "high"],
        ),
        (with(macvlan(), "plexus", json!({"exec": "yes"})), Code::UnsupportedField, &["plexus.exec", "yes"]),
        (with(fastpath(), "vlan", json!(4095)), Code::InvalidConfig, &["vlan", "4095"]),
        (with(fastpath(), "vlan", json!(-1)), Code::InvalidConfig, &["vlan"]),
        (
            with(fastpath(), "plexus", json!({"outer_vlan": 4095})),
            Code::InvalidConfig,
            &["outer_vlan", "4095"],
        ),
        (with(fastpath(), "plexus", json!({"mode": "l3"})), Code::InvalidConfig, &["l3", "vlan"]),
        (with(fastpath(), "plexus", json!({"mode": "l4"})), Code::InvalidConfig, &["l4"]),
        (with(fastpath(), "plexus", json!({"ageing_s": 5})), Code::InvalidConfig, &["ageing_s", "learning"]),
        (with(fastpath(), "plexus", json!({"link": "tap"})), Code::InvalidConfig, &["link", "tap"]),
        (
            with(with(fastpath(), "plexus", json!({"link": "netkit"})), "xdp", json!("always")),
            Code::InvalidConfig,
            &["plexus.link", "xdp"],
        ),
        (with(fastpath(), "uplink", json!("nowhere0")), Code::InvalidConfig, &["uplink", "nowhere0"]),
        (
            with(fastpath(), "uplink", json!("sixteen-letters-")),
            Code::InvalidConfig,
            &["uplink", "sixteen-letters-"],
        ),
        (with(fastpath(), "mtu", json!(67)), Code::InvalidConfig, &["mtu", "67"]),
        (with(fastpath(), "macspoofchk", json!("no")), Code::InvalidConfig, &["macspoofchk"]),
    ]);
}

#[test]
fn impossible_ranges_are_refused_with_key_and_reason() {
    assert_all_refused(vec![
        (
            ipam(
                json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.5"}]]}),
            ),
            Code::InvalidConfig,
            &["rangeStart", "10.2.0.5", "10.1.0.0/24"],
        ),
        (
            ipam(json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24", "gateway": "nobody"}]]})),
            Code::InvalidConfig,
            &["gateway", "nobody"],
        ),
        (
            ipam(json!({"type": "host-local", "subnet": "10.1.0.7/24"})),
            Code::InvalidConfig,
            &["subnet", "10.1.0.7/24"],
        ),
        (ipam(json!({"type": "host-local", "subnet": "10.1.0.0/33"})), Code::InvalidConfig, &["subnet"]),
        (
            ipam(
                json!({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/25"}]]}),
            ),
            Code::InvalidConfig,
            &["overlap"],
        ),
        (
            ipam(json!({"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": "/etc"})),
            Code::NotAuthorized,
            &["dataDir", "/etc"],
        ),
        (
            ipam(
                json!({"type": "host-local", "subnet": "10.1.0.0/24", "dataDir": "/var/lib/cni/../../../etc"}),
            ),
            Code::NotAuthorized,
            &["dataDir"],
        ),
        (
            ipam(json!({"type": "host-local", "subnet": "10.1.0.0/24", "routes": [{"dst": "everywhere"}]})),
            Code::InvalidConfig,
            &["routes[0]", "dst"],
        ),
        (
            ipam(json!({"type": "static", "addresses": [{"address": "10.1.0.5"}]})),
            Code::InvalidConfig,
            &["addresses[0]"],
        ),
        (ipam(json!({"type": "static"})), Code::InvalidConfig, &["addresses"]),
    ]);
}

#[test]
fn names_that_could_be_paths_touch_no_file() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    for (config, code) in [
        (with(macvlan(), "name", json!("../../etc")), Code::InvalidConfig),
        (with(macvlan(), "type", json!("../macvlan")), Code::InvalidConfig),
        (ipam(json!({"type": "../../../bin/sh"})), Code::InvalidConfig),
        (meta(with(macvlan(), "name", json!("../x"))), Code::InvalidConfig),
        (with(meta(macvlan()), "clusterNetwork", json!("../../nowhere/x.conf")), Code::NetworkNotFound),
    ] {
        failed(&node.add(&pod, "eth0", &config), code);
        node.assert_clean(&[&pod]);
    }
    for ifname in ["../eth0", "sixteen-letters-", "a b", "", "eth%d"] {
        failed(&node.add(&pod, ifname, &macvlan()), Code::InvalidEnvironment);
        node.assert_clean(&[&pod]);
    }
    let mut stranger = pod.clone();
    stranger.container_id = "../../../etc/passwd".into();
    failed(&node.add(&stranger, "eth0", &macvlan()), Code::InvalidEnvironment);
    node.assert_clean(&[&pod]);
}

#[test]
fn c061_what_is_no_network_namespace_is_refused_and_its_del_succeeds() {
    let Some(node) = Node::start() else { return };
    let dir = node.host.dir();
    let at = |name: &str| dir.join(name);
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    std::fs::write(at("file"), "").unwrap();
    std::os::unix::fs::symlink("/proc/self/ns/mnt", at("link")).unwrap();
    let places = [
        at("fifo"),
        at("file"),
        at("link"),
        at("nowhere"),
        dir.clone(),
        "/proc/self/ns/net".into(),
        "/dev/zero".into(),
    ];
    for place in &places {
        for config in [macvlan(), meta(fastpath())] {
            let text = failed(&call(&node, "ADD", place, &config), Code::InvalidNetns);
            assert!(text.contains(place.to_str().unwrap()), "{text}");
            succeeded(&call(&node, "DEL", place, &config));
            node.assert_clean(&[]);
        }
    }
}

fn call(node: &Node, command: &str, netns: &Path, config: &Value) -> plexus_agent::lab::Outcome {
    let environment = [
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", netns.to_str().unwrap()),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", &*node.runtime.path),
    ];
    node.runtime.execute(&environment, config.to_string().as_bytes()).unwrap()
}

#[test]
fn configs_that_are_too_large_or_no_json_are_refused() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let netns = pod.netns.path().to_owned();
    let large = with(macvlan(), "comment", json!("x".repeat(10 << 20)));
    let many = meta(with(
        macvlan(),
        "ipam",
        json!({"type": "host-local", "ranges": vec![json!([{"subnet": "10.1.0.0/24"}]); 2000]}),
    ));
    assert_eq!(call(&node, "ADD", &netns, &large).code, 1);
    failed(&call(&node, "ADD", &netns, &many), Code::InvalidConfig);
    let plugins = json!({"cniVersion": "1.1.0", "name": "n", "plugins": vec![macvlan(); 40]});
    assert!(failed(&call(&node, "ADD", &netns, &meta(plugins)), Code::InvalidConfig).contains("plugins"));
    for text in ["", "[]", "{", "nonsense", "{\"cniVersion\":\"1.1.0\",\"name\":\"n\",\"type\":7}"] {
        let environment = [
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", netns.to_str().unwrap()),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", &*node.runtime.path),
        ];
        let outcome = node.runtime.execute(&environment, text.as_bytes()).unwrap();
        assert_eq!(outcome.code, 1, "{text}");
        assert!(outcome.error_code().is_ok(), "{text}: {}", outcome.stdout);
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn a_hardware_address_that_another_pod_has_is_refused_on_a_fastpath_network() {
    let Some(node) = Node::start() else { return };
    let config = with(fastpath(), "mac", json!("02:00:00:00:00:42"));
    let pods = [node.pod("a"), node.pod("b")];
    let result = succeeded(&node.add(&pods[0], "net1", &config));
    let text = failed(&node.add(&pods[1], "net1", &config), Code::Datapath);
    assert!(text.contains("MAC"), "{text}");
    succeeded(&node.check(&pods[0], "net1", &config, &result));
    assert!(!pods[1].netns.interfaces().unwrap().contains(&"net1".into()));
    assert_eq!(node.leases("blue").len(), 1);
    succeeded(&node.del(&pods[1], "net1", &config));
    succeeded(&node.check(&pods[0], "net1", &config, &result));
    succeeded(&node.del(&pods[0], "net1", &config));
    node.assert_clean(&[&pods[0], &pods[1]]);
}

#[test]
fn two_networks_cannot_share_a_vlan_of_an_uplink() {
    let Some(node) = Node::start() else { return };
    let pods = [node.pod("a"), node.pod("b")];
    let result = succeeded(&node.add(&pods[0], "net1", &fastpath()));
    let other = with(fastpath(), "name", json!("red"));
    let text = failed(&node.add(&pods[1], "net1", &other), Code::InvalidConfig);
    assert!(text.contains("blue") && text.contains("uplink0") && text.contains("100"), "{text}");
    succeeded(&node.check(&pods[0], "net1", &fastpath(), &result));
    succeeded(&node.del(&pods[0], "net1", &fastpath()));
    node.assert_clean(&[&pods[0], &pods[1]]);
}
