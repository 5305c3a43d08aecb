//! `bandwidth`, on a bridge: the reference knows veth only.

use serde_json::{Value, json};

use super::reason::{CODE, DEL_SUCCEEDS};
use super::{Ground, Table, bridge};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table =
    Table { plugin: "bandwidth", ground: Ground::Namespaces, differs: bridge::DIFFERS, rows };

const QUEUED: &str = "limits are eBPF policers: what exceeds the rate is dropped, not queued";
const POLICED: [Difference; 3] = [
    differs("added/host/qdiscs/<pair> tbf", QUEUED),
    differs("added/host/qdiscs/<pair> noqueue", QUEUED),
    differs("added/host/links/<pair>/qdisc", QUEUED),
];
const MIRRORED: [Difference; 4] = [
    differs("added/host/*/*bwp*", "no ifb device: the traffic of the pod is policed where it arrives"),
    differs("added/host/sysctls/*/bwp*", "see the ifb device"),
    differs("added/host/qdiscs/<pair> ingress", "see the ifb device"),
    differs("added/result/interfaces/3", "see the ifb device"),
];

/// What the pod sends to the gateway, 25 Mbit/s of it, where 10 Mbit/s are let through.
const FROM_POD: Probe =
    Probe::Rate { from: End::Pod, to: End::Host, at: "10.77.0.1:9000", limit_bps: 10_000_000 };
/// The other direction.
const TO_POD: Probe =
    Probe::Rate { from: End::Host, to: End::Pod, at: "10.77.0.2:9000", limit_bps: 10_000_000 };

fn rows() -> Vec<Row> {
    let chain = |keys: Value| {
        // Whether it would shape depends on the kernel, and these rows are for all.
        let mut bandwidth = json!({"type": "bandwidth", "plexus": {"shaping": "never"}});
        bandwidth.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        [bridge::bridge(json!({"isGateway": true})), bandwidth]
    };
    let refused = |name, keys| Row::new(name, chain(keys)).differs(&[DEL_SUCCEEDS]);
    let row = |name, keys| Row::new(name, chain(keys)).differs(&bridge::FIXED_MAC);
    let limits = json!({"ingressRate": 10_000_000, "ingressBurst": 1_000_000, "egressRate": 10_000_000, "egressBurst": 1_000_000});
    vec![
        row("to the pod", json!({"ingressRate": 10_000_000, "ingressBurst": 1_000_000}))
            .probe(TO_POD)
            .differs(&POLICED),
        row("from the pod", json!({"egressRate": 10_000_000, "egressBurst": 1_000_000}))
            .probe(FROM_POD)
            .differs(&MIRRORED),
        row("both of the runtime", json!({"capabilities": {"bandwidth": true}}))
            .runtime_config(json!({"bandwidth": limits}))
            .probe(TO_POD)
            .probe(FROM_POD)
            .differs(&POLICED)
            .differs(&MIRRORED),
        row("no limit", json!({}))
            .differs(&[differs("check", "CHECK succeeds; 1.1.1 looks for a limit that nobody asked for")]),
        refused("a rate without a burst", json!({"ingressRate": 10_000_000}))
            .differs(&[differs("add", "the burst is what passes in 250 ms, where none is given")]),
        refused("a burst without a rate", json!({"ingressBurst": 1_000_000})).differs(&[CODE]),
    ]
}
