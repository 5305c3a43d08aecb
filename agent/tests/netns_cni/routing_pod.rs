//! A pod whose own kernel forwards, from the uplink of one fastpath network to that of another.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use plexus_agent::lab::ping::ping;
use plexus_agent::lab::traffic::tcp::transfer;
use plexus_agent::lab::{NetNs, Pod};
use serde_json::{Value, json};

use crate::support::{Node, succeeded};

/// One of the two networks, and the machine behind its uplink.
struct Side {
    uplink: &'static str,
    ifname: &'static str,
    /// Each in IPv4 and IPv6.
    subnets: [&'static str; 2],
    pod: [&'static str; 2],
    machine: [&'static str; 2],
}

const BLUE: Side = Side {
    uplink: "uplink0",
    ifname: "net1",
    subnets: ["10.2.0.0/24", "fd02::/64"],
    pod: ["10.2.0.9", "fd02::9"],
    machine: ["10.2.0.250", "fd02::250"],
};
const GREEN: Side = Side {
    uplink: "uplink2",
    ifname: "net2",
    subnets: ["10.3.0.0/24", "fd03::/64"],
    pod: ["10.3.0.9", "fd03::9"],
    machine: ["10.3.0.250", "fd03::250"],
};

impl Side {
    /// The address with the length of its subnet.
    fn in_subnet(&self, family: usize, address: &str) -> String {
        let bits = self.subnets[family].split('/').nth(1).unwrap();
        format!("{address}/{bits}")
    }

    fn network(&self, is_guarded: bool) -> Value {
        let addresses = [0, 1].map(|family| json!({"address": self.in_subnet(family, self.pod[family])}));
        json!({
            "cniVersion": "1.1.0", "name": self.uplink, "type": "fastpath", "uplink": self.uplink,
            "ipspoofchk": is_guarded, "ipam": {"type": "static", "addresses": addresses},
        })
    }

    /// Gives the machine its addresses, and a way to the other side through the pod.
    fn set_up(&self, machine: &NetNs, far: &str, other: &Self) {
        for family in [0, 1] {
            let address = self.in_subnet(family, self.machine[family]);
            machine.ip(&["addr", "replace", &address, "dev", far]).unwrap();
            machine.ip(&["route", "add", other.subnets[family], "via", self.pod[family]]).unwrap();
        }
    }
}

/// The pod with both networks, its kernel forwarding.
fn attach(node: &Node, name: &str, is_guarded: bool) -> Pod {
    let pod = node.pod(name);
    for side in [&BLUE, &GREEN] {
        succeeded(&node.add(&pod, side.ifname, &side.network(is_guarded)));
    }
    let switch = || {
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
        }
    };
    pod.netns.within(switch).unwrap();
    pod
}

fn detach(node: &Node, pod: &Pod, is_guarded: bool) {
    for side in [&GREEN, &BLUE] {
        succeeded(&node.del(pod, side.ifname, &side.network(is_guarded)));
    }
}

#[test]
fn a_pod_that_routes_forwards_from_uplink_to_uplink_unless_sources_are_checked() {
    let Some(node) = Node::start() else { return };
    let far = node.host.netns_named("far").unwrap();
    node.host.cable(GREEN.uplink, &far, "eth0").unwrap();
    for machine in [&node.outside, &far] {
        machine.within(|| std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0").unwrap()).unwrap();
    }
    BLUE.set_up(&node.outside, "eth0", &GREEN);
    GREEN.set_up(&far, "eth0", &BLUE);
    let router = attach(&node, "a", false);
    for family in [0, 1] {
        let to: IpAddr = GREEN.machine[family].parse().unwrap();
        assert!(ping(&node.outside, to, 3).unwrap().received > 0, "{to}");
        let to = SocketAddr::new(to, 4242);
        let transfer = transfer(&node.outside, &far, to, Duration::from_millis(300)).unwrap();
        assert!(transfer.bytes > 1_000_000, "{to}: {transfer:?}");
    }
    detach(&node, &router, false);
    let end = attach(&node, "b", true);
    assert_eq!(ping(&node.outside, GREEN.machine[0].parse().unwrap(), 2).unwrap().received, 0);
    assert!(ping(&node.outside, BLUE.pod[0].parse().unwrap(), 2).unwrap().received > 0, "its own address");
    detach(&node, &end, true);
    node.host.netns().ip(&["link", "del", GREEN.uplink]).unwrap();
    far.remove().unwrap();
    node.assert_clean(&[&router, &end]);
}
