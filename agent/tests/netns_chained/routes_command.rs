//! `plexusctl routes` against a running agent: two tables ask the same interface, IPv4 and IPv6, and packets go as they are shown.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use plexus_agent::lab::NetNs;
use serde_json::{Value, json};

use crate::support::{Node, meta, succeeded, wait};

const PORT: u16 = 4000;
/// What every gateway has on its loopback: of `blue`, of `green`, a black hole of `green`, of nobody.
const BLUE: [&str; 2] = ["203.0.113.1", "2001:db8:1::1"];
const GREEN: [&str; 2] = ["198.51.100.1", "2001:db8:2::1"];
const HOLE: [&str; 2] = ["198.51.100.200", "2001:db8:2::200"];
const OTHER: [&str; 2] = ["192.0.2.1", "2001:db8:3::1"];

/// A gateway that takes what comes to the addresses behind it, of both families.
fn gateway(netns: &NetNs, device: &str, addresses: &[&str]) -> UdpSocket {
    netns.ip(&["link", "set", device, "up"]).unwrap();
    let behind = [BLUE, GREEN, HOLE, OTHER].concat();
    for (address, on) in
        addresses.iter().map(|address| (*address, device)).chain(behind.into_iter().map(|it| (it, "lo")))
    {
        let mut arguments = vec!["address", "add", address, "dev", on];
        if address.contains(':') {
            arguments.push("nodad");
        }
        netns.ip(&arguments).unwrap();
    }
    let socket = netns.within(|| UdpSocket::bind(("::", PORT))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

/// A macvlan on `master` with both families.
fn macvlan(master: &str, number: u8, routes: Value) -> Value {
    let ranges =
        json!([[{"subnet": format!("10.{number}.0.0/24")}], [{"subnet": format!("fd0{number}::/64")}]]);
    json!({"type": "macvlan", "master": master, "ipam": {"type": "host-local", "ranges": ranges, "routes": routes}})
}

/// A network on uplink0 with routes of the data plane.
fn network(name: &str, number: u8, routes: Value) -> Value {
    let enforced = json!({"type": "route-override", "dataplane": true, "plexus": {"routes": routes}});
    json!({
        "cniVersion": "1.1.0", "name": name,
        "plugins": [macvlan("uplink0", number, json!([])), enforced],
    })
}

/// The pod's primary interface, made by somebody else, with both default routes.
fn primary() -> Value {
    let mut config = macvlan("uplink1", 1, json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]));
    config["cniVersion"] = json!("1.0.0");
    config["name"] = json!("lan");
    config["plexus"] = json!({"exec": true});
    meta(config)
}

/// What plexusctl prints.
fn routes(node: &Node, arguments: &[&str]) -> String {
    let mut command = Command::new(node.binaries.plexusctl());
    let output = command.arg("--socket").arg(node.host.socket()).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn shown(node: &Node, pod: &str) -> Value {
    serde_json::from_str(&routes(node, &["-o", "json", "routes", pod])).unwrap()
}

#[test]
fn two_tables_of_one_interface_are_shown_and_packets_of_both_families_go_as_shown() {
    let Some(node) = Node::start() else { return };
    let far = node.host.netns_named("far").unwrap();
    node.outside.ip(&["link", "set", "eth0", "netns", &far.path().display().to_string()]).unwrap();
    let near = gateway(&node.outside, "eth1", &["10.1.0.1/24", "fd01::1/64"]);
    let far = gateway(&far, "eth0", &["10.2.0.1/24", "fd02::1/64", "10.3.0.1/24", "fd03::1/64"]);
    let blue =
        json!([{"dst": "203.0.113.0/24", "gw": "10.2.0.1"}, {"dst": "2001:db8:1::/48", "gw": "fd02::1"}]);
    let green = json!([
        {"dst": "198.51.100.0/24", "gw": "10.3.0.1"},
        {"dst": "2001:db8:2::/48", "gw": "fd03::1"},
        {"dst": [HOLE[0], HOLE[1]], "type": "blackhole"},
    ]);
    node.network("blue", &network("blue", 2, blue));
    node.network("green", &network("green", 3, green));
    let pod = node.known_pod("a", "blue,green");
    wait::until("the networks are known", || {
        let outcome = node.add(&pod, "eth0", &primary());
        (!outcome.stdout.contains("does not exist")).then(|| succeeded(&outcome))
    });

    let answer = shown(&node, "default/a");
    let tables = answer.as_array().unwrap();
    assert_eq!(tables.len(), 2, "{answer}");
    for (table, name, interface, prefixes) in
        [(&tables[0], "blue", "net1", 2), (&tables[1], "green", "net2", 4)]
    {
        assert_eq!(
            (&table["pod"], &table["interface"]),
            (&json!("default/a"), &json!(interface)),
            "{answer}"
        );
        assert!(table["network"].as_str().unwrap().ends_with(name), "{answer}");
        assert_eq!(table["from"], json!([interface, "eth0"]));
        assert_eq!((&table["prefixes"], &table["routesLeftOut"]), (&json!(prefixes), &json!(0)));
        assert_eq!(table["isInForce"], true);
    }
    assert_ne!(tables[0]["table"], tables[1]["table"]);
    let has = |table: &Value, route: Value| {
        assert!(table["routes"].as_array().unwrap().contains(&route), "{table}");
    };
    let over = |dst: &str, gateway: &str, interface: &str| json!({"dst": dst, "type": "unicast", "gateway": gateway, "interface": interface});
    has(&tables[0], over("2001:db8:1::/48", "fd02::1", "net1"));
    has(&tables[1], over("198.51.100.0/24", "10.3.0.1", "net2"));
    has(
        &tables[1],
        json!({"dst": format!("{}/128", HOLE[1]), "type": "blackhole", "gateway": null, "interface": null}),
    );
    assert_eq!(shown(&node, "a"), answer);
    assert_eq!(shown(&node, "nobody"), json!([]));
    let text = routes(&node, &["routes"]);
    for part in ["default/a", "net2", "fd03::1", "blackhole"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }

    let way = |destination: &str| {
        pod.netns
            .within(|| {
                let any = if destination.contains(':') { "::" } else { "0.0.0.0" };
                let socket = UdpSocket::bind((any, 0)).unwrap();
                // A packet that is dropped at egress is an error for its sender.
                socket.send_to(destination.as_bytes(), (destination, PORT)).ok();
            })
            .unwrap();
        let is_heard = |socket: &UdpSocket| socket.recv_from(&mut [0; 100]).is_ok();
        match (is_heard(&far), is_heard(&near)) {
            (true, false) => "far",
            (false, true) => "near",
            (false, false) => "nobody",
            (true, true) => "both",
        }
    };
    for family in 0..2 {
        for (destination, expected) in
            [(BLUE[family], "far"), (GREEN[family], "far"), (OTHER[family], "near"), (HOLE[family], "nobody")]
        {
            wait::until(&format!("{destination} goes to {expected}"), || {
                (way(destination) == expected).then_some(())
            });
        }
    }
    succeeded(&node.del(&pod, "eth0", &primary()));
    assert_eq!(shown(&node, "a"), json!([]));
    node.assert_clean(&[&pod]);
}
