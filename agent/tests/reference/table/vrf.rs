//! `vrf`, after macvlan.

use serde_json::{Value, json};

use super::reason::{ANNOUNCED, GATES, NO_DAD, QUEUE_LENGTH};
use super::{Ground, Table, macvlan};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table = Table { plugin: "vrf", ground: Ground::Vm, differs: DIFFERS, rows };

const DIFFERS: &[Difference] = &[
    GATES,
    QUEUE_LENGTH,
    differs(
        "check",
        "CHECK succeeds; 1.1.1's macvlan misses its routes in the main table, which are in the VRF's",
    ),
];
const IPV4_ROUTE: Difference = differs(
    "added/pod/routes/table 1 unicast 198.51.100.0|24 via 192.0.2.2 dev net1",
    "the kernel drops routes when an interface enters a VRF; the reference puts back those of IPv6 alone",
);

fn rows() -> Vec<Row> {
    let row = |name, keys: Value, main: Value| {
        let mut vrf = json!({"type": "vrf", "vrfname": "red"});
        vrf.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        Row::new(name, [macvlan::macvlan(main), vrf])
    };
    let both = json!({"ipam": {"type": "static", "addresses": [
        {"address": "192.0.2.50/24", "gateway": "192.0.2.2"}, {"address": "2001:db8::50/64", "gateway": "2001:db8::2"},
    ], "routes": [{"dst": "198.51.100.0/24", "gw": "192.0.2.2"}]}});
    vec![
        row("both families and a route", json!({}), both).differs(&[NO_DAD, ANNOUNCED, IPV4_ROUTE]),
        row("a table", json!({"table": 77}), json!({})),
        row("a VRF that is there", json!({}), json!({})).setup(&["pod: ip link add red type vrf table 55"]),
    ]
}
