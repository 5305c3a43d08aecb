//! `vlan`.

use serde_json::{Value, json};

use super::reason::{
    ANNOUNCED, ANNOUNCED_IPV4, CODE, DEL_SUCCEEDS, GATES, NO_DAD, QUEUE_LENGTH, WITHOUT_IPAM,
};
use super::{Ground, Table};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table = Table { plugin: "vlan", ground: Ground::Vm, differs: DIFFERS, rows };

const DIFFERS: &[Difference] = &[
    GATES,
    QUEUE_LENGTH,
    differs(
        "added/pod/links/net1/linkinfo/info_data/flags",
        "`LOOSE_BINDING`: the interface stays up while its master is down, which would cost it routes and IPv6 addresses",
    ),
];
const LEFT_OVER: Difference =
    differs("deleted/pod", "nothing remains; the reference leaves the interface that it made first");

fn vlan(keys: Value) -> Value {
    let mut config = json!({
        "type": "vlan", "master": "uplink0", "vlanId": 100,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.80.0.0/24"}]]},
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn rows() -> Vec<Row> {
    let far = &[
        "outside: ip link add link eth0 name eth0.100 type vlan id 100",
        "outside: ip addr add 10.80.0.1/24 dev eth0.100",
        "outside: ip link set eth0.100 up",
    ];
    let far = |row: Row| row.setup(far).probe(Probe::Ping(End::Pod, "10.80.0.1"));
    let both = json!({"mtu": 1400, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.80.0.0/24"}], [{"subnet": "fd80::/64"}]]}});
    vec![
        far(Row::new("both families, a smaller MTU", [vlan(both)])).differs(&[
            NO_DAD,
            ANNOUNCED,
            ANNOUNCED_IPV4,
        ]),
        Row::new("no IPAM", [vlan(json!({"ipam": {}}))]).differs(&[WITHOUT_IPAM, DEL_SUCCEEDS, LEFT_OVER]),
        Row::new("a VLAN out of range", [vlan(json!({"vlanId": 4095}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("an MTU above the master's", [vlan(json!({"mtu": 9000}))]).differs(&[CODE, DEL_SUCCEEDS]),
    ]
}
