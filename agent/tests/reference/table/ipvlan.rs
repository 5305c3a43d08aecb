//! `ipvlan`.

use serde_json::{Value, json};

use super::reason::{ANNOUNCED, CODE, GATES, LOCK, NO_DAD, QUEUE_LENGTH, WITHOUT_IPAM};
use super::{Ground, Table};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row};

pub(super) const TABLE: Table = Table { plugin: "ipvlan", ground: Ground::Vm, differs: DIFFERS, rows };

const DIFFERS: &[Difference] = &[GATES, QUEUE_LENGTH];

fn ipvlan(keys: Value) -> Value {
    let mut config = json!({
        "type": "ipvlan", "master": "uplink0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100"}]]},
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn rows() -> Vec<Row> {
    let outside = Probe::Ping(End::Pod, "192.0.2.2");
    let both = json!({"ipam": {"type": "host-local", "ranges": [
        [{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100"}],
        [{"subnet": "2001:db8::/64", "rangeStart": "2001:db8::100"}],
    ]}});
    // A guest that is translated takes its time for each row.
    vec![
        Row::new("both families", [ipvlan(both)])
            .probe(outside)
            .probe(Probe::Ping(End::Pod, "2001:db8::2"))
            .differs(&[NO_DAD, ANNOUNCED]),
        Row::new("mode l3s and a smaller MTU", [ipvlan(json!({"mode": "l3s", "mtu": 1400}))]),
        Row::new(
            "mode l3, no IPAM, master by the default route",
            [ipvlan(json!({"mode": "l3", "master": "", "ipam": {}}))],
        )
        .differs(&[WITHOUT_IPAM]),
        Row::new("a mode that does not exist", [ipvlan(json!({"mode": "sideways"}))]).differs(&[CODE, LOCK]),
    ]
}
