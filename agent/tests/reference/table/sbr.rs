//! `sbr`, after macvlan.

use serde_json::{Value, json};

use super::reason::{ANNOUNCED, GATES, NO_DAD, QUEUE_LENGTH};
use super::{Ground, Table, macvlan};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table = Table { plugin: "sbr", ground: Ground::Namespaces, differs: DIFFERS, rows };

const OF_ITS_FAMILY: &str = "a table has the routes of its address's family only";
const DIFFERS: &[Difference] = &[
    GATES,
    QUEUE_LENGTH,
    differs(
        "added/pod/routes/table main unicast fe80::|64 dev net1",
        "link-local routes stay in the main table as well, for addresses that no rule is for",
    ),
    differs("added/pod/routes/table 10* unicast fe80::|64 dev net1", OF_ITS_FAMILY),
    differs(
        "check",
        "CHECK succeeds; 1.1.1's macvlan misses its routes in the main table, which sbr has emptied",
    ),
];

fn rows() -> Vec<Row> {
    let row =
        |name, ipam: Value| Row::new(name, [macvlan::macvlan(json!({"ipam": ipam})), json!({"type": "sbr"})]);
    let addresses = |rest: Value| {
        let mut ipam =
            json!({"type": "static", "addresses": [{"address": "192.0.2.50/24", "gateway": "192.0.2.2"}]});
        ipam.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        ipam
    };
    let outside = Probe::PingBy { from: End::Pod, source: "192.0.2.50", to: "192.0.2.2" };
    vec![
        row("an address with a gateway", addresses(json!({}))).probe(outside),
        row("a default route", addresses(json!({"routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.2"}]}))).probe(outside),
        row("another route", addresses(json!({"routes": [{"dst": "198.51.100.0/24", "gw": "192.0.2.2"}]}))).probe(outside),
        row("no gateway", json!({"type": "static", "addresses": [{"address": "192.0.2.50/24"}]})),
        row("two addresses", json!({"type": "static", "addresses": [
            {"address": "192.0.2.50/24", "gateway": "192.0.2.2"}, {"address": "203.0.113.50/24", "gateway": "203.0.113.1"},
        ]})),
        row("both families", json!({"type": "static", "addresses": [
            {"address": "192.0.2.50/24", "gateway": "192.0.2.2"}, {"address": "2001:db8::50/64", "gateway": "2001:db8::2"},
        ]}))
        .probe(Probe::PingBy { from: End::Pod, source: "2001:db8::50", to: "2001:db8::2" })
        .differs(&[NO_DAD, ANNOUNCED, differs("added/pod/routes/table 100 unicast 2001:db8::|64 dev net1", OF_ITS_FAMILY)]),
    ]
}
