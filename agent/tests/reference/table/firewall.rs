//! `firewall`, after a bridge: the reference makes its rules by iptables, so effects are compared.

use serde_json::{Value, json};

use super::reason::MASQUERADING;
use super::{Ground, Table, bridge};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table =
    Table { plugin: "firewall", ground: Ground::Namespaces, differs: bridge::DIFFERS, rows };

const RULES: [Difference; 3] = [
    differs("added/host/filter/inet plexus-firewall", "rules of nftables, in a table of our own"),
    differs("added/host/filter/ip* filter", "the reference's rules are of iptables"),
    differs("deleted/host/filter/ip* filter", "the reference leaves the empty chains of iptables"),
];

fn rows() -> Vec<Row> {
    let chain = |keys: Value| {
        let mut firewall = json!({"type": "firewall", "backend": "iptables"});
        firewall.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        [bridge::bridge(json!({"isDefaultGateway": true, "ipMasq": true})), firewall]
    };
    let row =
        |name, keys: Value| Row::new(name, chain(keys)).differs(&bridge::FIXED_MAC).differs(&MASQUERADING);
    let outwards = Probe::Ping(End::Pod, "192.0.2.2");
    let inwards = Probe::Tcp { from: End::Outside, to: "10.77.0.2:80", server: End::Pod, at: "10.77.0.2:80" };
    let way = &["outside: ip route add 10.77.0.0/24 via 192.0.2.1"];
    vec![
        row("open", json!({})).setup(way).probe(outwards).probe(inwards).differs(&RULES),
        row("same-bridge", json!({"ingressPolicy": "same-bridge"}))
            .setup(way)
            .probe(outwards)
            .probe(inwards)
            .differs(&RULES),
        row("on a host that forwards nothing else", json!({}))
            .setup(way)
            .setup(&["iptables -P FORWARD DROP"])
            .probe(outwards)
            .probe(inwards)
            .differs(&RULES),
    ]
}
