//! `route-override` with `"dataplane": true`: which gateway gets a pod's packets, while its routing table stays as it was.

use std::fs::File;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use plexus_agent::lab::{NetNs, Pod};
use plexus_agent::sandbox::within;
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::kernel::routes;
use crate::support::{Node, failed, meta, succeeded, wait};

/// What both gateways have on their loopbacks.
const BEHIND: [&str; 2] = ["203.0.113.1", "198.51.100.1"];
const PORT: u16 = 4000;
/// From an edit of the network to the packets of running pods.
const WITHIN: Duration = Duration::from_secs(1);

/// A node, a gateway behind each of its uplinks, and a pod.
struct Rig {
    near: UdpSocket,
    far: UdpSocket,
    pod: Pod,
    node: Node,
}

/// Does `work` in a namespace.
fn inside<T: Send>(netns: &NetNs, work: impl FnOnce() -> T + Send) -> T {
    within(File::open(netns.path()).unwrap().as_fd(), work).unwrap()
}

/// A gateway that takes what comes to the addresses behind it.
fn gateway(netns: &NetNs, device: &str, addresses: &[&str]) -> UdpSocket {
    for address in addresses {
        netns.ip(&["address", "add", address, "dev", device]).unwrap();
    }
    for address in BEHIND {
        netns.ip(&["address", "add", address, "dev", "lo"]).unwrap();
    }
    netns.ip(&["link", "set", device, "up"]).unwrap();
    let socket = inside(netns, || UdpSocket::bind(("0.0.0.0", PORT))).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

/// The pod's primary interface, made by somebody else.
fn primary() -> Value {
    meta(json!({
        "cniVersion": "1.0.0", "name": "lan", "type": "macvlan", "master": "uplink1", "plexus": {"exec": true},
        "ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
        },
    }))
}

/// The network `blue` with routes.
fn blue(override_keys: Value) -> Value {
    let mut routes = override_keys;
    routes["type"] = json!("route-override");
    routes["dataplane"] = json!(true);
    let guard = json!({"macspoofchk": true, "ipspoofchk": true});
    json!({
        "cniVersion": "1.1.0", "name": "blue",
        "plugins": [
            {
                "type": "macvlan", "master": "uplink0", "plexus": guard,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.2.0.0/24"}]]},
            },
            routes,
        ],
    })
}

impl Rig {
    /// The pod's `eth0` leads to one gateway, `net1` in `blue` to the other.
    fn start(network: &Value) -> Option<(Self, Value)> {
        let node = Node::start()?;
        let far = node.host.netns_named("far").unwrap();
        node.outside.ip(&["link", "set", "eth0", "netns", &far.path().display().to_string()]).unwrap();
        let near = gateway(&node.outside, "eth1", &["10.1.0.1/24"]);
        let far = gateway(&far, "eth0", &["10.2.0.1/24", "10.2.0.9/24"]);
        node.network("blue", network);
        let pod = node.known_pod("a", "blue");
        let result = wait::until("the network is known", || {
            let outcome = node.add(&pod, "eth0", &primary());
            (!outcome.stdout.contains("does not exist")).then(|| succeeded(&outcome))
        });
        Some((Self { near, far, pod, node }, result))
    }

    /// Which gateway gets a datagram to each destination.
    fn ways(&self) -> [&'static str; 2] {
        BEHIND.map(|destination| {
            inside(&self.pod.netns, || {
                let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
                // A packet that is dropped at egress is an error for its sender.
                socket.send_to(destination.as_bytes(), (destination, PORT)).ok();
            });
            let is_heard = |socket: &UdpSocket| socket.recv_from(&mut [0; 100]).is_ok();
            match (is_heard(&self.far), is_heard(&self.near)) {
                (true, false) => "far",
                (false, true) => "near",
                (false, false) => "nobody",
                (true, true) => "both",
            }
        })
    }

    /// Waits for the ways, not longer than a user would.
    #[track_caller]
    fn expect(&self, expected: [&str; 2]) {
        let begun = Instant::now();
        loop {
            let at = begun.elapsed();
            let seen = self.ways();
            if seen == expected {
                return;
            }
            assert!(
                at < WITHIN,
                "{seen:?} instead of {expected:?}; plexusd says:\n{}",
                self.node.plexusd.log_tail()
            );
        }
    }

    fn drops(&self, reason: &str) -> u64 {
        let counters = self.node.query(&Query::Counters);
        counters[0]["counters"]["drops"][reason].as_u64().unwrap()
    }
}

#[test]
fn packets_leave_by_the_network_that_has_a_route_and_follow_its_edits_and_no_routing_table_changes() {
    let first = blue(json!({"addroutes": [{"dst": "203.0.113.0/24", "gw": "10.2.0.1"}]}));
    let Some((mut rig, result)) = Rig::start(&first) else { return };
    let table = routes(&rig.pod.netns);
    assert!(!json!(table).to_string().contains("203.0.113"), "{table:?}");
    rig.expect(["far", "near"]);
    assert_eq!(rig.drops("spoofed-ip"), 0, "the guard of net1 knows the address of eth0");
    succeeded(&rig.node.check(&rig.pod, "eth0", &primary(), &result));

    rig.node.network(
        "blue",
        &blue(json!({
            "addroutes": [{"dst": "0.0.0.0/0", "gw": "10.2.0.9"}], "delroutes": [{"dst": "198.51.100.0/24"}],
        })),
    );
    let begun = Instant::now();
    rig.expect(["far", "near"]);
    rig.node.network(
        "blue",
        &blue(json!({
            "addroutes": [{"dst": "198.51.100.0/24", "gw": "10.2.0.1"}],
            "plexus": {"routes": [{"dst": ["203.0.113.0/24", "192.0.2.1"], "type": "blackhole"}]},
        })),
    );
    rig.expect(["nobody", "far"]);
    assert!(begun.elapsed() < 3 * WITHIN && rig.drops("route-blackhole") > 0);

    // What cannot be done changes nothing.
    rig.node.network("blue", &blue(json!({"plexus": {"routes": [{"dst": "0.0.0.0/0", "dev": "net9"}]}})));
    let explained = || rig.node.query(&Query::Explain { pod: "default/a".into() })["findings"].to_string();
    wait::until("the refusal is told", || explained().contains("net9").then_some(()));
    rig.expect(["nobody", "far"]);

    rig.node.plexusd.kill().unwrap();
    rig.expect(["nobody", "far"]);
    rig.node.plexusd.restart().unwrap();
    rig.expect(["nobody", "far"]);
    assert_eq!(routes(&rig.pod.netns), table);
    succeeded(&rig.node.check(&rig.pod, "eth0", &primary(), &result));
    succeeded(&rig.node.del(&rig.pod, "eth0", &primary()));
    rig.node.assert_clean(&[&rig.pod]);
}

#[test]
fn check_notices_a_gate_that_was_removed_and_an_interface_of_somebody_else_is_refused() {
    let network =
        blue(json!({"plexus": {"routes": [{"dst": "203.0.113.0/24", "gw": "10.1.0.1", "dev": "eth0"}]}}));
    let Some((rig, result)) = Rig::start(&network) else { return };
    rig.expect(["near", "near"]);
    rig.pod.netns.run("tc", &["qdisc", "del", "dev", "eth0", "clsact"]).unwrap();
    let checked = rig.node.check(&rig.pod, "eth0", &primary(), &result);
    assert!(failed(&checked, Code::CheckFailed).contains("routes"), "{checked:?}");
    succeeded(&rig.node.del(&rig.pod, "eth0", &primary()));
    let other = rig.node.known_pod("b", "");
    let mut foreign = primary();
    foreign["delegates"][0] = json!({
        "cniVersion": "1.0.0", "name": "lan",
        "plugins": [foreign["delegates"][0].clone(), {"type": "route-override", "dataplane": true}],
    });
    let refused = rig.node.add(&other, "eth0", &foreign);
    assert!(failed(&refused, Code::UnsupportedField).contains("outside Plexus"), "{refused:?}");
    rig.node.assert_clean(&[&rig.pod, &other]);
}
