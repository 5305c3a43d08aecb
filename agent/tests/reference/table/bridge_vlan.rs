//! `bridge` with VLANs.

use serde_json::json;

use super::bridge::{self, bridge};
use super::{Ground, Table};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table =
    Table { plugin: "bridge", ground: Ground::Vm, differs: bridge::DIFFERS, rows };

/// The bridge's end of the pair whose other end has the gateway's address.
const GATEWAY_PORT: Difference =
    differs("*/host/sysctls/ipv6 conf/<pair of br-test.100>/accept_ra", bridge::ACCEPT_RA);

fn rows() -> Vec<Row> {
    vec![
        Row::new("a VLAN", [bridge(json!({"vlan": 100}))]),
        Row::new("a VLAN with a gateway", [bridge(json!({"vlan": 100, "isGateway": true}))])
            .probe(Probe::Ping(End::Pod, "10.77.0.1"))
            // With an address of its own: else the reference's bridge has that of any port, by chance.
            .setup(&["ip link add br-test address 02:00:00:00:00:b0 type bridge vlan_filtering 1"])
            .differs(&[GATEWAY_PORT]),
    ]
}
