//! `portmap`, after a bridge: the reference makes its rules by iptables, so effects are compared.

use serde_json::{Value, json};

use super::{Ground, Table, bridge};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table =
    Table { plugin: "portmap", ground: Ground::Namespaces, differs: bridge::DIFFERS, rows };

/// The host's own way to a mapped port of a single address.
const LOCALNET: Difference = differs(
    "*/host/sysctls/ipv4 conf/br-test/route_localnet",
    "127.0.0.1 is opened for routing only where a port is mapped on it; the reference opens it always",
);
const RULES: [Difference; 4] = [
    differs(
        "check",
        "CHECK succeeds; 1.1.1 looks for rules of IPv6 for a pod that has none, and refuses its own ADD's work",
    ),
    differs("added/host/filter/inet plexus-hostport", "port mappings by nftables, in a table of our own"),
    differs("added/host/filter/ip* nat", "the reference maps by iptables"),
    differs("deleted/host/filter/ip* nat", "the reference leaves the empty chains of iptables"),
];

const fn to_pod(from: End, to: &'static str) -> Probe {
    Probe::Tcp { from, to, server: End::Pod, at: "10.77.0.2:80" }
}

fn rows() -> Vec<Row> {
    let chain = |keys: Value| {
        let mut portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}});
        portmap.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        [bridge::bridge(json!({"isDefaultGateway": true})), portmap]
    };
    let row = |name, keys: Value, mappings: Value| {
        Row::new(name, chain(keys))
            .runtime_config(json!({"portMappings": mappings}))
            .differs(&bridge::FIXED_MAC)
    };
    let tcp = json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]);
    let from_outside = to_pod(End::Outside, "192.0.2.1:8080");
    let from_host = to_pod(End::Host, "192.0.2.1:8080");
    let by_loopback = to_pod(End::Host, "127.0.0.1:8080");
    let from_itself = to_pod(End::Pod, "192.0.2.1:8080");
    vec![
        row("a port", json!({}), tcp.clone())
            .probe(from_outside)
            .probe(from_host)
            .probe(by_loopback)
            .probe(from_itself)
            .differs(&RULES),
        row("without source translation", json!({"snat": false}), tcp.clone())
            .probe(from_outside)
            .probe(from_host)
            .differs(&RULES),
        row("everything masqueraded", json!({"masqAll": true}), tcp.clone())
            .probe(from_outside)
            .probe(from_host)
            .differs(&RULES)
            .differs(&[differs(
                "traffic",
                "`masqAll` came after version 1.1.1, which leaves the sender's address",
            )]),
        row(
            "of one address of the host",
            json!({}),
            json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1"}]),
        )
        .probe(from_outside)
        .differs(&RULES)
        .differs(&[LOCALNET]),
        row(
            "of another address of the host",
            json!({}),
            json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.9"}]),
        )
        .probe(from_outside)
        .differs(&RULES)
        .differs(&[LOCALNET]),
        row("of UDP alone", json!({}), json!([{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]))
            .probe(from_outside)
            .differs(&RULES),
        row("no port", json!({}), json!([])),
    ]
}
