//! `sbr`: an address of the pod leaves by its own interface, whatever the default route says.

use std::net::IpAddr;

use plexus_agent::lab::ping::ping_from;
use plexus_agent::lab::{NetNs, Pod};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::crash::{STEPS_MAX, begin, dies, start};
use crate::support::kernel::{addresses, ip_json};
use crate::support::{Node, failed, succeeded};
use crate::{chain, macvlan};

/// A station that both of the pod's networks lead to.
const FAR: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// A router with a leg in the network of each uplink.
fn router(node: &Node) {
    let addresses =
        [("eth1", "10.1.0.1/24"), ("eth1", "fd01::1/64"), ("eth0", "10.2.0.1/24"), ("eth0", "fd02::1/64")];
    for (link, address) in addresses.into_iter().chain(FAR.map(|far| ("lo", far))) {
        let mut arguments = vec!["address", "add", address, "dev", link];
        if address.contains(':') {
            arguments.push("nodad");
        }
        node.outside.ip(&arguments).unwrap();
    }
}

/// A network on uplink0 whose addresses are routed by tables of their own.
fn sip(keys: Value) -> Value {
    let mut main = macvlan(&["10.2.0.0/24", "fd02::/64"], json!([]));
    main["master"] = json!("uplink0");
    let mut sbr = keys;
    sbr["type"] = json!("sbr");
    json!({"cniVersion": "1.1.0", "name": "sip", "plugins": [main, sbr]})
}

/// The default network, on uplink1, with default routes.
fn lan() -> Value {
    chain(vec![macvlan(&["10.1.0.0/24", "fd01::/64"], json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]))])
}

/// The rules that are not the kernel's own, as `source table`.
fn rules(netns: &NetNs) -> Vec<String> {
    let both = ["-4", "-6"].map(|family| ip_json(netns, &[family, "rule"])).concat();
    let own = both.into_iter().filter(|rule| rule["src"] != "all");
    own.map(|rule| format!("{} {}", rule["src"].as_str().unwrap(), rule["table"].as_str().unwrap())).collect()
}

/// The routes of a table, as `destination next-hop`.
fn table(netns: &NetNs, table: &str) -> Vec<String> {
    let family = |family| {
        let arguments = ["-j", family, "route", "show", "table", table];
        // A table without a route does not exist, says ip.
        let printed = netns.run("ip", &arguments).map(|ended| ended.stdout).unwrap_or_default();
        serde_json::from_str::<Vec<Value>>(printed.trim()).unwrap_or_default()
    };
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let both = ["-4", "-6"].map(family).concat();
    both.iter().map(|route| format!("{} {}", text(&route["dst"]), text(&route["gateway"]))).collect()
}

/// Packets that the interface has sent.
fn sent(netns: &NetNs, ifname: &str) -> u64 {
    ip_json(netns, &["-s", "link", "show", "dev", ifname])[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
}

#[test]
fn each_address_leaves_by_its_own_interface() {
    let Some(node) = Node::start() else { return };
    router(&node);
    node.network("sip", &sip(json!({})));
    let pod = node.known_pod("a", "sip");
    let result = succeeded(&node.add(&pod, "eth0", &lan()));
    assert_eq!(rules(&pod.netns), ["10.2.0.2 100", "fd02::2 101"]);
    assert_eq!(table(&pod.netns, "100"), ["default 10.2.0.1", "10.2.0.0/24 -"]);
    assert_eq!(table(&pod.netns, "101"), ["fd02::/64 -", "fe80::/64 -", "default fd02::1"]);
    let main = table(&pod.netns, "main");
    assert!(main.iter().all(|route| !route.contains("10.2.") && !route.contains("fd02")), "{main:?}");
    for (network, expected) in [(1, "eth0"), (2, "net1")] {
        for (far, source) in FAR.into_iter().zip([format!("10.{network}.0.2"), format!("fd0{network}::2")]) {
            let before = ["eth0", "net1"].map(|ifname| sent(&pod.netns, ifname));
            let target: IpAddr = far.parse().unwrap();
            assert!(ping_from(&pod.netns, &source, target, 20).unwrap().all_answered(), "{source}");
            let after = ["eth0", "net1"].map(|ifname| sent(&pod.netns, ifname));
            let more = [0, 1].map(|at| after[at] - before[at] >= 20);
            assert_eq!(more, [expected == "eth0", expected == "net1"], "{source} left by another interface");
        }
    }
    succeeded(&node.check(&pod, "eth0", &lan(), &result));
    pod.netns.ip(&["rule", "delete", "from", "10.2.0.2", "table", "100"]).unwrap();
    let text = failed(&node.check(&pod, "eth0", &lan(), &result), Code::CheckFailed);
    assert!(text.contains("10.2.0.2") && text.contains("network sip"), "{text}");
    succeeded(&node.del(&pod, "eth0", &lan()));
    assert_eq!(rules(&pod.netns), Vec::<String>::new());
    node.assert_clean(&[&pod]);
}

#[test]
fn a_default_route_of_another_network_leaves_the_tables_alone() {
    let Some(node) = Node::start() else { return };
    node.network("sip", &sip(json!({})));
    let mut other = macvlan(&["10.3.0.0/24"], json!([]));
    other["cniVersion"] = json!("1.1.0");
    other["name"] = json!("other");
    node.network("other", &other);
    let selection = json!([{"name": "sip"}, {"name": "other", "default-route": ["10.3.0.1"]}]);
    let pod = node.known_pod("a", &selection.to_string());
    succeeded(&node.add(&pod, "eth0", &lan()));
    let defaults: Vec<_> =
        table(&pod.netns, "main").into_iter().filter(|route| route.starts_with("default")).collect();
    assert_eq!(defaults, ["default 10.3.0.1", "default fd01::1"]);
    assert!(table(&pod.netns, "100").contains(&"default 10.2.0.1".to_owned()));
    succeeded(&node.del(&pod, "eth0", &lan()));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_table_and_gateways_of_the_config_are_taken() {
    let Some(node) = Node::start() else { return };
    let keys = json!({"table": 4000, "gateways": ["10.2.0.9", "fd02::9"], "addSourceHints": true});
    node.network("sip", &sip(keys));
    let pod = node.known_pod("a", "sip");
    succeeded(&node.add(&pod, "eth0", &lan()));
    assert_eq!(rules(&pod.netns), ["10.2.0.2 4000", "fd02::2 4000"]);
    assert_eq!(table(&pod.netns, "4000"), ["default 10.2.0.9", "default fd02::9"]);
    let hinted = ip_json(&pod.netns, &["-4", "route", "show", "table", "4000"]);
    assert_eq!(hinted[0]["prefsrc"], "10.2.0.2");
    assert!(
        table(&pod.netns, "main").contains(&"10.2.0.0/24 -".to_owned()),
        "only rules without a table move"
    );
    succeeded(&node.del(&pod, "eth0", &lan()));
    node.assert_clean(&[&pod]);
}

/// A pod with an interface of somebody else that has routes.
fn foreign_pod(node: &Node) -> Pod {
    let pod = node.pod("foreign");
    let netns = &pod.netns;
    netns.ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "far"]).unwrap();
    netns.ip(&["address", "add", "10.5.0.2/24", "dev", "eth0"]).unwrap();
    // Duplicate address detection would change the routes while the test compares them.
    for address in ["fd05::2/64", "fe80::2/64"] {
        netns.ip(&["address", "add", address, "dev", "eth0", "nodad"]).unwrap();
    }
    for link in ["far", "eth0"] {
        netns.ip(&["link", "set", link, "addrgenmode", "none"]).unwrap();
        netns.ip(&["link", "set", link, "up"]).unwrap();
    }
    netns.ip(&["route", "add", "10.9.0.0/16", "via", "10.5.0.1", "metric", "7", "mtu", "1300"]).unwrap();
    netns.ip(&["route", "add", "default", "via", "10.5.0.1"]).unwrap();
    netns.ip(&["route", "add", "fd09::/64", "via", "fd05::1"]).unwrap();
    pod
}

fn alone(pod: &Pod) -> Value {
    let ip = |address: &str, gateway: &str| json!({"address": address, "gateway": gateway, "interface": 0});
    json!({
        "cniVersion": "1.1.0", "name": "foreign", "type": "sbr",
        "prevResult": {
            "cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": pod.netns.path()}],
            "ips": [ip("10.5.0.2/24", "10.5.0.1"), ip("fd05::2/64", "fd05::1")],
        },
    })
}

/// Rules and routes of a pod, without those to its own addresses.
fn routing(netns: &NetNs) -> Vec<Value> {
    let ask = |arguments: &[&str]| ip_json(netns, arguments);
    let mut all = [ask(&["-4", "rule"]), ask(&["-6", "rule"])].concat();
    for family in ["-4", "-6"] {
        let mut routes = ask(&["-d", family, "route", "show", "table", "all"]);
        routes.iter_mut().filter_map(Value::as_object_mut).for_each(|route| drop(route.remove("pref")));
        routes.retain(|route| route["table"] != "local");
        routes.sort_by_key(Value::to_string);
        all.extend(routes);
    }
    all
}

#[test]
fn del_moves_the_routes_back_on_an_interface_that_stays() {
    let Some(node) = Node::start() else { return };
    let pod = foreign_pod(&node);
    let before = routing(&pod.netns);
    succeeded(&node.add(&pod, "eth0", &alone(&pod)));
    assert_eq!(rules(&pod.netns), ["10.5.0.2 100", "fd05::2 101"]);
    assert!(table(&pod.netns, "100").contains(&"10.9.0.0/16 10.5.0.1".to_owned()));
    for _ in 0..2 {
        succeeded(&node.del(&pod, "eth0", &alone(&pod)));
        assert_eq!(routing(&pod.netns), before);
    }
    assert_eq!(addresses(&pod.netns, "eth0").len(), 2);
    succeeded(&node.add(&pod, "eth0", &alone(&pod)));
    pod.netns.ip(&["link", "delete", "eth0"]).unwrap();
    succeeded(&node.del(&pod, "eth0", &alone(&pod)));
    assert_eq!(rules(&pod.netns), Vec::<String>::new());
}

#[test]
fn an_interface_without_an_address_is_refused() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let config = chain(vec![json!({"type": "macvlan", "master": "uplink1"}), json!({"type": "sbr"})]);
    assert!(failed(&node.add(&pod, "eth0", &config), Code::InvalidConfig).contains("no address"));
    node.assert_clean(&[&pod]);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_sbr_is_undone_by_del() {
    let Some(mut node) = Node::start() else { return };
    let pod = foreign_pod(&node);
    let before = routing(&pod.netns);
    let config = alone(&pod);
    for at in 1..STEPS_MAX {
        start(&mut node, Some(at));
        succeeded(&node.del(&pod, "eth0", &config));
        assert_eq!(routing(&pod.netns), before, "after step {}", at - 1);
        assert_eq!(node.leftovers(), Vec::<String>::new(), "after step {}", at - 1);
        let mut adding = begin(&node.runtime, &pod, &config);
        if !dies(&mut node, &mut adding) {
            assert!(at > 12, "an ADD has only {} steps", at - 1);
            return;
        }
        adding.kill().unwrap();
        adding.wait().unwrap();
    }
    panic!("an ADD has more than {STEPS_MAX} steps");
}
