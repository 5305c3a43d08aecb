//! `bridge` end to end: shim, agent, kernel, each test on a throw-away host.
//!
//! ```text
//!   pod-a net1 ─┐
//!               ├─ br-test (gateway) ─ host ─ uplink0 ═══ eth0 outside
//!   pod-b net1 ─┘
//! ```
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as tests do")]

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use plexus_agent::lab::leftovers::Inventory;
use plexus_agent::lab::link::ip;
use plexus_agent::lab::ping::ping;
use plexus_agent::lab::skip::{require_binaries_or_skip, skipped};
use plexus_agent::lab::{DaemonSetup, Host, NetNs, Outcome, Plexusd, Pod, Runtime, require_binary_or_skip};
use plexus_cni::env::Command;
use serde_json::{Value, json};

/// A host with plexusd and a machine outside at 192.0.2.2, which knows no way back to the pods.
struct Node {
    runtime: Runtime,
    outside: NetNs,
    _daemon: Plexusd,
    host: Host,
}

impl Node {
    fn start_or_skip(test: &str) -> Option<Self> {
        let binaries = require_binaries_or_skip(test)?;
        for (program, package) in [("nft", "nftables"), ("ping", "iputils-ping")] {
            if !require_binary_or_skip(test, program, package) {
                return None;
            }
        }
        let host = Host::enter().unwrap();
        let outside = host.netns_named("outside").unwrap();
        host.cable("uplink0", &outside, "eth0").unwrap();
        ip(&["addr", "add", "192.0.2.1/24", "dev", "uplink0"]).unwrap();
        outside.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]).unwrap();
        let daemon = DaemonSetup::new(&host, &binaries).start().unwrap();
        Some(Self { runtime: Runtime::new(&host, &binaries), outside, _daemon: daemon, host })
    }

    fn add(&self, pod: &Pod, config: &Value) -> Value {
        self.runtime.add(pod, "net1", config).unwrap().success().unwrap()
    }

    fn del(&self, pod: &Pod, config: &Value) {
        self.runtime.del(pod, "net1", config).unwrap().success().unwrap();
    }

    fn check(&self, pod: &Pod, config: &Value, result: &Value) -> Outcome {
        let mut config = config.clone();
        config["prevResult"] = result.clone();
        self.runtime.call(Command::Check, pod, "net1", &config).unwrap()
    }
}

fn bridge(keys: &Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "blue", "type": "bridge", "bridge": "br-test",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]},
    });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn address(result: &Value, at: usize) -> IpAddr {
    result["ips"][at]["address"].as_str().unwrap().split_once('/').unwrap().0.parse().unwrap()
}

fn answers(from: &NetNs, to: IpAddr) -> bool {
    ping(from, to, 1).unwrap().all_answered()
}

/// One attribute of a link as `ip -j -d link` shows it.
fn shown(netns: &NetNs, name: &str) -> Value {
    let output = netns.run("ip", &["-j", "-d", "address", "show", "dev", name]).unwrap().stdout;
    serde_json::from_str::<Value>(&output).unwrap()[0].take()
}

/// Its operstate, which the kernel works out a moment later, is not asked.
fn is_up(netns: &NetNs) -> bool {
    shown(netns, "net1")["flags"].as_array().unwrap().contains(&json!("UP"))
}

/// The bridge port of a result.
fn port(result: &Value) -> &str {
    result["interfaces"][1]["name"].as_str().unwrap()
}

fn port_option(result: &Value, option: &str) -> String {
    let path = Path::new("/sys/class/net").join(port(result)).join("brport").join(option);
    fs::read_to_string(path).unwrap().trim().to_owned()
}

fn rules() -> String {
    let output = std::process::Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn pods_reach_each_other_the_gateway_and_masqueraded_the_outside() {
    let Some(node) = Node::start_or_skip("pods_reach_each_other_the_gateway_and_masqueraded_the_outside")
    else {
        return;
    };
    let ranges = json!([[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd77::/64"}]]);
    let config = bridge(&json!({
        "isDefaultGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "ranges": ranges},
    }));
    let before = Inventory::take(&node.host).unwrap();
    let (a, b) = (node.host.pod("a").unwrap(), node.host.pod("b").unwrap());
    let (at_a, at_b) = (node.add(&a, &config), node.add(&b, &config));
    assert_eq!(
        at_a["routes"],
        json!([{"dst": "0.0.0.0/0", "gw": "10.77.0.1"}, {"dst": "::/0", "gw": "fd77::1"}])
    );
    for family in 0..2 {
        assert!(answers(&a.netns, address(&at_b, family)));
        assert!(answers(&b.netns, address(&at_a, family)));
    }
    for gateway in ["10.77.0.1", "fd77::1"] {
        assert!(answers(&a.netns, gateway.parse().unwrap()), "{gateway}");
    }
    let outside = IpAddr::from([192, 0, 2, 2]);
    assert!(answers(&a.netns, outside), "the answer finds back to the host's address only");
    node.check(&a, &config, &at_a).success().unwrap();

    node.del(&a, &config);
    assert!(answers(&b.netns, outside), "the other pod keeps its rules");
    node.del(&b, &config);
    node.del(&b, &config);
    let left: Vec<String> =
        Inventory::take(&node.host).unwrap().since(&before).iter().map(ToString::to_string).collect();
    assert_eq!(left, ["interface br-test"], "only the bridge outlives its attachments");
}

#[test]
fn c045_c047_the_result_lists_bridge_port_and_container_as_the_kernel_has_them() {
    let Some(node) = Node::start_or_skip("c045_c047_the_result_lists_bridge_port_and_container") else {
        return;
    };
    let config =
        bridge(&json!({"isGateway": true, "mtu": 1400, "runtimeConfig": {"mac": "02:00:00:00:00:77"}}));
    let pod = node.host.pod("a").unwrap();
    let result = node.add(&pod, &config);
    let path = pod.netns.path().to_str().unwrap();
    let places = [
        (node.host.netns(), "br-test", None),
        (node.host.netns(), port(&result), None),
        (&pod.netns, "net1", Some(path)),
    ];
    for (at, (netns, name, sandbox)) in places.into_iter().enumerate() {
        let (said, seen) = (&result["interfaces"][at], shown(netns, name));
        assert_eq!(said["name"], name);
        assert_eq!((&said["mac"], &said["mtu"]), (&seen["address"], &seen["mtu"]), "{name}");
        assert_eq!(said.get("sandbox").and_then(Value::as_str), sandbox);
        assert_eq!(said["mtu"], 1400);
    }
    assert_eq!(result["interfaces"][2]["mac"], "02:00:00:00:00:77");
    assert_eq!(result["ips"], json!([{"interface": 2, "address": "10.77.0.2/24", "gateway": "10.77.0.1"}]));
}

#[test]
fn port_and_bridge_options_reach_the_kernel() {
    let Some(node) = Node::start_or_skip("port_and_bridge_options_reach_the_kernel") else { return };
    let (a, b, c) = (node.host.pod("a").unwrap(), node.host.pod("b").unwrap(), node.host.pod("c").unwrap());
    let plain = node.add(&a, &bridge(&json!({})));
    assert_eq!(
        (port_option(&plain, "hairpin_mode"), port_option(&plain, "isolated")),
        ("0".into(), "0".into())
    );
    let hairpin = node.add(&b, &bridge(&json!({"hairpinMode": true, "portIsolation": true})));
    assert_eq!(
        (port_option(&hairpin, "hairpin_mode"), port_option(&hairpin, "isolated")),
        ("1".into(), "1".into())
    );
    node.add(&c, &bridge(&json!({"promiscMode": true, "portIsolation": true})));
    assert_eq!(shown(node.host.netns(), "br-test")["promiscuity"], 1);
    assert!(answers(&a.netns, address(&hairpin, 0)));
    assert!(!answers(&c.netns, address(&hairpin, 0)), "isolated ports do not reach each other");
}

#[test]
fn macspoofchk_lets_only_the_pods_own_address_pass() {
    let Some(node) = Node::start_or_skip("macspoofchk_lets_only_the_pods_own_address_pass") else { return };
    let config = bridge(&json!({"isGateway": true, "macspoofchk": true}));
    let pod = node.host.pod("a").unwrap();
    let result = node.add(&pod, &config);
    let gateway = IpAddr::from([10, 77, 0, 1]);
    assert!(answers(&pod.netns, gateway));
    node.check(&pod, &config, &result).success().unwrap();
    pod.netns.ip(&["link", "set", "net1", "address", "02:00:00:00:00:66"]).unwrap();
    assert!(!answers(&pod.netns, gateway));
    pod.netns
        .ip(&["link", "set", "net1", "address", result["interfaces"][2]["mac"].as_str().unwrap()])
        .unwrap();
    assert!(answers(&pod.netns, gateway));
    node.del(&pod, &config);
    assert_eq!(rules(), "");
}

#[test]
fn another_gateway_address_needs_force() {
    let Some(node) = Node::start_or_skip("another_gateway_address_needs_force") else { return };
    ip(&["link", "add", "br-test", "type", "bridge"]).unwrap();
    ip(&["addr", "add", "10.66.0.1/24", "dev", "br-test"]).unwrap();
    let pod = node.host.pod("a").unwrap();
    let before = Inventory::take(&node.host).unwrap();
    let refused = node.runtime.add(&pod, "net1", &bridge(&json!({"isGateway": true}))).unwrap();
    let said = refused.json().unwrap();
    assert!(refused.code != 0 && said["msg"].as_str().unwrap().contains("10.66.0.1/24"), "{said}");
    assert_eq!(Inventory::take(&node.host).unwrap().since(&before), []);
    assert_eq!(pod.netns.interfaces().unwrap(), node.outside_like(&pod), "nothing is left in the pod");
    node.add(&pod, &bridge(&json!({"isGateway": true, "forceAddress": true})));
    let shown = shown(node.host.netns(), "br-test");
    let addresses: Vec<&Value> =
        shown["addr_info"].as_array().unwrap().iter().map(|one| &one["local"]).collect();
    assert!(
        addresses.contains(&&json!("10.77.0.1")) && !addresses.contains(&&json!("10.66.0.1")),
        "{addresses:?}"
    );
}

#[test]
fn c041_c057_an_add_that_fails_leaves_nothing() {
    let Some(node) = Node::start_or_skip("c041_c057_an_add_that_fails_leaves_nothing") else { return };
    let (a, b) = (node.host.pod("a").unwrap(), node.host.pod("b").unwrap());
    a.netns.ip(&["link", "add", "net1", "type", "veth", "peer", "name", "other"]).unwrap();
    let before = Inventory::take(&node.host).unwrap();
    let interfaces = a.netns.interfaces().unwrap();
    let all = json!({"isDefaultGateway": true, "ipMasq": true, "macspoofchk": true});
    let taken = node.runtime.add(&a, "net1", &bridge(&all)).unwrap();
    assert_eq!(taken.error_code().unwrap(), 103);
    node.del(&a, &bridge(&all));
    assert_eq!(a.netns.interfaces().unwrap(), interfaces);
    for wrong in [
        json!({"bridge": "uplink0"}),
        json!({"hairpinMode": true, "promiscMode": true}),
        json!({"ipam": {"type": "host-local", "subnet": "10.77.0.0/31"}}),
        // The kernel refuses it after the bridge was made.
        json!({"mtu": 10, "isGateway": true, "ipMasq": true, "macspoofchk": true}),
    ] {
        let refused = node.runtime.add(&b, "net1", &bridge(&wrong)).unwrap();
        assert!(refused.code != 0, "{wrong}");
        node.del(&b, &bridge(&wrong));
    }
    assert_eq!(Inventory::take(&node.host).unwrap().since(&before), []);
}

#[test]
fn c062_pods_that_come_together_share_one_bridge_and_no_address() {
    let test = "c062_pods_that_come_together_share_one_bridge_and_no_address";
    let Some(node) = Node::start_or_skip(test) else { return };
    let config = bridge(&json!({"isDefaultGateway": true, "ipMasq": true, "macspoofchk": true}));
    let before = Inventory::take(&node.host).unwrap();
    let pods: Vec<Pod> = (0..16).map(|at| node.host.pod(&format!("p{at}")).unwrap()).collect();
    let all = |verb: Command| -> Vec<Value> {
        std::thread::scope(|scope| {
            let call = |pod| {
                let (runtime, config) = (&node.runtime, &config);
                scope.spawn(move || runtime.call(verb, pod, "net1", config).unwrap().success().unwrap())
            };
            let calls: Vec<_> = pods.iter().map(call).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        })
    };
    let results = all(Command::Add);
    let addresses: HashSet<IpAddr> = results.iter().map(|result| address(result, 0)).collect();
    assert_eq!(addresses.len(), pods.len());
    assert!(answers(&pods[0].netns, address(&results[15], 0)));
    all(Command::Del);
    let left: Vec<String> =
        Inventory::take(&node.host).unwrap().since(&before).iter().map(ToString::to_string).collect();
    assert_eq!(left, ["interface br-test"]);
}

#[test]
fn c087_c090_check_finds_what_somebody_changed() {
    let Some(node) = Node::start_or_skip("c087_c090_check_finds_what_somebody_changed") else { return };
    let config =
        bridge(&json!({"isDefaultGateway": true, "ipMasq": true, "macspoofchk": true, "promiscMode": true}));
    let pod = node.host.pod("a").unwrap();
    let result = node.add(&pod, &config);
    let port = port(&result);
    let shell = |script: &str| node.host.netns().run("sh", &["-c", script]).map(drop).unwrap();
    node.check(&pod, &config, &result).success().unwrap();
    for (named, change, restore) in [
        ("no port", format!("ip link set {port} nomaster"), format!("ip link set {port} master br-test")),
        (
            "gateway address",
            "ip addr del 10.77.0.1/24 dev br-test".into(),
            "ip addr add 10.77.0.1/24 dev br-test".into(),
        ),
        ("promiscuous", "ip link set br-test promisc off".into(), "ip link set br-test promisc on".into()),
        ("is down", "ip link set br-test down".into(), "ip link set br-test up".into()),
        ("macspoofchk", "nft delete table bridge plexus".into(), String::new()),
        ("masquerading", "nft delete table inet plexus".into(), String::new()),
    ] {
        shell(&change);
        let checked = node.check(&pod, &config, &result);
        let said = checked.json().unwrap();
        assert!(checked.code != 0 && said["msg"].as_str().unwrap().contains(named), "{named}: {said}");
        shell(&restore);
    }
    node.del(&pod, &config);
    assert_eq!(rules(), "");
}

#[test]
fn without_ipam_the_interface_is_up_and_has_no_address() {
    let Some(node) = Node::start_or_skip("without_ipam_the_interface_is_up_and_has_no_address") else {
        return;
    };
    let (a, b) = (node.host.pod("a").unwrap(), node.host.pod("b").unwrap());
    let up = bridge(&json!({"ipam": {}}));
    let result = node.add(&a, &up);
    assert!(result.get("ips").is_none());
    assert!(is_up(&a.netns));
    node.check(&a, &up, &result).success().unwrap();
    let down = bridge(&json!({"ipam": {}, "disableContainerInterface": true}));
    let result = node.add(&b, &down);
    assert!(!is_up(&b.netns));
    node.check(&b, &down, &result).success().unwrap();
}

#[test]
fn enabledad_finds_a_duplicate_and_passes_where_there_is_none() {
    let Some(node) = Node::start_or_skip("enabledad_finds_a_duplicate_and_passes_where_there_is_none") else {
        return;
    };
    let with = |address: &str| {
        bridge(&json!({"enabledad": true, "ipam": {"type": "static", "addresses": [{"address": address}]}}))
    };
    let (a, b, c) = (node.host.pod("a").unwrap(), node.host.pod("b").unwrap(), node.host.pod("c").unwrap());
    node.add(&a, &with("fd77::5/64"));
    let duplicate = node.runtime.add(&b, "net1", &with("fd77::5/64")).unwrap();
    assert_eq!(duplicate.error_code().unwrap(), 106, "{}", duplicate.stdout);
    node.add(&c, &with("fd77::6/64"));
    assert!(answers(&c.netns, "fd77::5".parse().unwrap()));
}

#[test]
fn c072_c077_del_without_namespace_or_record_removes_everything() {
    let Some(node) = Node::start_or_skip("c072_c077_del_without_namespace_or_record_removes_everything")
    else {
        return;
    };
    let config = bridge(&json!({"isDefaultGateway": true, "ipMasq": true, "macspoofchk": true}));
    let mut left = Vec::new();
    let before = Inventory::take(&node.host).unwrap();
    for name in ["a", "b"] {
        let pod = node.host.pod(name).unwrap();
        node.add(&pod, &config);
        pod.netns.clone().remove().unwrap();
        node.del(&pod, &config);
        left = Inventory::take(&node.host).unwrap().since(&before);
    }
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    assert_eq!(left, ["interface br-test"]);
}

#[test]
fn an_attachment_of_the_reference_plugin_can_be_deleted() {
    let test = "an_attachment_of_the_reference_plugin_can_be_deleted";
    let Some(node) = Node::start_or_skip(test) else { return };
    let Some(reference) = reference_or_skip(test) else { return };
    let mut config = bridge(&json!({"isGateway": true}));
    config["cniVersion"] = "1.0.0".into();
    let before = Inventory::take(&node.host).unwrap();
    let pod = node.host.pod("a").unwrap();
    reference.add(&pod, "net1", &config).unwrap().success().unwrap();
    node.del(&pod, &config);
    let left: Vec<String> =
        Inventory::take(&node.host).unwrap().since(&before).iter().map(ToString::to_string).collect();
    assert_eq!(left, ["interface br-test"]);
}

#[test]
fn results_are_the_reference_plugins() {
    let test = "results_are_the_reference_plugins";
    let Some(node) = Node::start_or_skip(test) else { return };
    let Some(reference) = reference_or_skip(test) else { return };
    let two = json!([[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd77::/64"}]]);
    for keys in [
        json!({}),
        json!({"isGateway": true}),
        json!({"isDefaultGateway": true}),
        json!({"isDefaultGateway": true, "ipam": {"type": "host-local", "ranges": two, "routes": [{"dst": "10.9.0.0/16"}]}}),
        json!({"isDefaultGateway": true, "dns": {"nameservers": ["10.0.0.53"]}}),
        json!({"isGateway": true, "ipam": {"type": "static", "addresses": [{"address": "10.77.0.9/24"}]}}),
        json!({"mtu": 1300, "ipam": {}}),
    ] {
        let mut config = bridge(&keys);
        config["cniVersion"] = "1.0.0".into();
        let pod = node.host.pod("a").unwrap();
        let ours = without_chance(node.add(&pod, &config));
        let routes = |netns: &NetNs| netns.run("ip", &["route", "show", "table", "main"]).unwrap().stdout;
        let our_routes = routes(&pod.netns);
        node.del(&pod, &config);
        forget_round_robin(&node.host);
        let theirs = without_chance(reference.add(&pod, "net1", &config).unwrap().success().unwrap());
        assert_eq!(ours, theirs, "{config}");
        assert_eq!(our_routes, routes(&pod.netns), "{config}");
        reference.del(&pod, "net1", &config).unwrap().success().unwrap();
        forget_round_robin(&node.host);
        pod.netns.remove().unwrap();
        ip(&["link", "del", "br-test"]).unwrap();
    }
}

#[test]
fn a_vlan_keeps_pods_apart() {
    let test = "a_vlan_keeps_pods_apart";
    let Some(node) = Node::start_or_skip(test) else { return };
    let on = |vlan: u16| bridge(&json!({"vlan": vlan, "isGateway": true, "preserveDefaultVlan": false}));
    if ip(&["link", "add", "br-probe", "type", "bridge", "vlan_filtering", "1"]).is_err() {
        let before = Inventory::take(&node.host).unwrap();
        let refused = node.runtime.add(&node.host.pod("a").unwrap(), "net1", &on(100)).unwrap();
        assert!(refused.code != 0 && Inventory::take(&node.host).unwrap().since(&before).is_empty());
        skipped(test, "this kernel's bridge has no VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)");
        return;
    }
    let pods: Vec<Pod> = ["a", "b", "c"].iter().map(|name| node.host.pod(name).unwrap()).collect();
    let results: Vec<Value> =
        pods.iter().zip([100, 100, 200]).map(|(pod, vlan)| node.add(pod, &on(vlan))).collect();
    assert!(answers(&pods[0].netns, address(&results[1], 0)));
    assert!(!answers(&pods[0].netns, address(&results[2], 0)));
    assert_eq!(results[0]["interfaces"][3]["name"], "br-test.100");
}

impl Node {
    /// The interfaces of a namespace that has none of ours.
    fn outside_like(&self, pod: &Pod) -> Vec<String> {
        let mut names = self.outside.interfaces().unwrap();
        names.retain(|name| name != "eth0");
        assert!(!names.is_empty(), "{}", pod.name);
        names
    }
}

fn reference_or_skip(test: &str) -> Option<Runtime> {
    let dir = std::env::var_os("CNI_REFERENCE_BIN").unwrap_or_else(|| "/usr/lib/cni".into());
    let plugin = Path::new(&dir).join("bridge");
    if plugin.exists() {
        return Some(Runtime::of_plugin(&plugin));
    }
    skipped(
        test,
        &format!("{} is missing (`apt-get install containernetworking-plugins`)", plugin.display()),
    );
    None
}

/// A result without the names and addresses that the kernel or chance chose.
fn without_chance(mut result: Value) -> Value {
    for interface in result["interfaces"].as_array_mut().unwrap() {
        let interface = interface.as_object_mut().unwrap();
        interface.remove("mac");
        if interface["name"].as_str().unwrap().starts_with("veth") {
            interface.insert("name".into(), "veth".into());
        }
    }
    if result["dns"].as_object().is_some_and(serde_json::Map::is_empty) {
        result.as_object_mut().unwrap().remove("dns");
    }
    result
}

fn forget_round_robin(host: &Host) {
    for entry in fs::read_dir(host.leases_dir()).into_iter().flatten() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
}
