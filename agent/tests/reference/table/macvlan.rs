//! `macvlan`.

use serde_json::{Value, json};

use super::reason::{
    ANNOUNCED, CHECK_WITHOUT_GATEWAY, CODE, DEL_SUCCEEDS, GATES, LOCK, NAME_TAKEN, NEWER, NO_DAD, ONE_SIDED,
    QUEUE_LENGTH,
};
use super::{Ground, Table};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row};

pub(super) const TABLE: Table =
    Table { plugin: "macvlan", ground: Ground::Namespaces, differs: DIFFERS, rows };

const DIFFERS: &[Difference] = &[GATES, QUEUE_LENGTH];

/// A macvlan of uplink0 with addresses from 192.0.2.100 up.
pub(super) fn macvlan(keys: Value) -> Value {
    let mut config = json!({
        "type": "macvlan", "master": "uplink0",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100"}]]},
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn rows() -> Vec<Row> {
    let outside = Probe::Ping(End::Pod, "192.0.2.2");
    let v6 = json!({"ipam": {"type": "host-local", "ranges": [
        [{"subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100"}], [{"subnet": "2001:db8::/64", "rangeStart": "2001:db8::100"}],
    ], "routes": [{"dst": "0.0.0.0/0", "gw": "192.0.2.2"}, {"dst": "::/0", "gw": "2001:db8::2"}]}});
    let mac = "02:00:00:00:00:07";
    vec![
        Row::new("default keys", [macvlan(json!({}))]).probe(outside),
        Row::new("both families with default routes", [macvlan(v6)]).probe(outside).probe(Probe::Ping(End::Pod, "2001:db8::2")).differs(&[NO_DAD, ANNOUNCED]),
        Row::new("mode private", [macvlan(json!({"mode": "private"}))]).probe(outside),
        Row::new("mode vepa", [macvlan(json!({"mode": "vepa"}))]).probe(outside),
        Row::new("mode passthru", [macvlan(json!({"mode": "passthru"}))]),
        Row::new("a smaller MTU", [macvlan(json!({"mtu": 1400}))]),
        Row::new("a MAC in the config", [macvlan(json!({"mac": mac}))]),
        Row::new("a MAC in CNI_ARGS", [macvlan(json!({}))]).args("MAC=02:00:00:00:00:08"),
        Row::new("a MAC of the runtime before others", [macvlan(json!({"mac": mac, "capabilities": {"mac": true}}))])
            .args("MAC=02:00:00:00:00:08")
            .runtime_config(json!({"mac": "02:00:00:00:00:09"})),
        Row::new("no IPAM", [macvlan(json!({"ipam": {}}))]),
        Row::new("addresses of static, DNS of the config", [macvlan(json!({
            "ipam": {"type": "static", "addresses": [{"address": "192.0.2.50/24", "gateway": "192.0.2.2"}], "routes": [{"dst": "198.51.100.0/24"}]},
            "dns": {"nameservers": ["192.0.2.53"], "search": ["example.org"]},
        }))]).differs(&[CHECK_WITHOUT_GATEWAY]),
        Row::new("master by the default route", [macvlan(json!({"master": ""}))]),
        Row::new("master in the container", [macvlan(json!({"master": "inner0", "linkInContainer": true}))]).setup(&[
            "ip link add inner0 netns a type veth peer name inner-peer netns outside",
            "pod: ip link set inner0 up",
            "outside: ip link set inner-peer up",
        ]).differs(&[NEWER, ONE_SIDED, DEL_SUCCEEDS]),
        Row::new("a master that does not exist", [macvlan(json!({"master": "absent0"}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("a mode that does not exist", [macvlan(json!({"mode": "sideways"}))]).differs(&[CODE, LOCK]),
        Row::new("an MTU above the master's", [macvlan(json!({"mtu": 9000}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("a negative MTU", [macvlan(json!({"mtu": -1}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("a MAC that is none", [macvlan(json!({"mac": "zz"}))]).differs(&[CODE, LOCK]),
        Row::new("an interface name that is taken", [macvlan(json!({}))])
            .setup(&["pod: ip link add net1 type veth peer name other"])
            .differs(&[CODE, LOCK, NAME_TAKEN]),
    ]
}
