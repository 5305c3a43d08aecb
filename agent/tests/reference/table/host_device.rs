//! `host-device`.

use serde_json::{Value, json};

use super::reason::{ANNOUNCED_IPV4, CODE, DEL_SUCCEEDS, GATES, LOCK};
use super::{Ground, Table};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table =
    Table { plugin: "host-device", ground: Ground::Namespaces, differs: DIFFERS, rows };

const DIFFERS: &[Difference] = &[
    GATES,
    differs(
        "deleted/host/links/dev0/ifalias",
        "the device comes back as it was; the reference leaves the name that it noted as an alias",
    ),
];
const AS_IT_WAS: &str = "a device that was up comes back up; the reference leaves it down";
const WAS_UP: [Difference; 2] =
    [differs("deleted/host/links/dev0", AS_IT_WAS), differs("deleted/host/qdiscs/dev0 *", AS_IT_WAS)];
const LOST: &str =
    "refused before the device is moved; the reference leaves it in the pod, under its old name";
const NAME_TAKEN: [Difference; 4] = [
    differs("deleted/host/links/dev0", LOST),
    differs("deleted/host/sysctls/*/dev0", LOST),
    differs("deleted/pod/links/dev0", LOST),
    differs("deleted/pod/sysctls/*/dev0", LOST),
];
/// A cable whose near end is the device.
const CABLE: [&str; 2] = [
    "ip link add dev0 address 02:00:00:00:00:d0 mtu 1400 type veth peer name far netns outside",
    "outside: ip link set far up",
];

fn host_device(keys: Value) -> Value {
    let mut config = json!({"type": "host-device"});
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn rows() -> Vec<Row> {
    let addresses = json!({"type": "host-local", "ranges": [[{"subnet": "10.79.0.0/24"}]]});
    let mac = "02:00:00:00:00:d0";
    vec![
        Row::new("a device by name", [host_device(json!({"device": "dev0", "ipam": addresses}))])
            .setup(&CABLE)
            .setup(&["outside: ip addr add 10.79.0.1/24 dev far"])
            .probe(Probe::Ping(End::Pod, "10.79.0.1"))
            .differs(&[ANNOUNCED_IPV4]),
        Row::new("a device that is up", [host_device(json!({"device": "dev0"}))])
            .setup(&CABLE)
            // A link that is up gets an IPv6 address by itself, within a second or two.
            .setup(&[
                "sysctl -q net.ipv6.conf.all.disable_ipv6=1",
                "sysctl -q net.ipv6.conf.default.disable_ipv6=1",
                "ip link set dev0 up",
            ])
            .differs(&WAS_UP),
        Row::new("a device by hardware address", [host_device(json!({"hwaddr": mac}))]).setup(&CABLE),
        Row::new("a device with an address of its own", [host_device(json!({"device": "dev0"}))])
            .setup(&CABLE)
            .setup(&["ip addr add 203.0.113.5/24 dev dev0"]),
        Row::new("a default route", [host_device(json!({"device": "dev0", "ipam": {
            "type": "static", "addresses": [{"address": "10.79.0.9/24", "gateway": "10.79.0.1"}], "routes": [{"dst": "0.0.0.0/0"}],
        }}))])
        .setup(&CABLE)
        .differs(&[ANNOUNCED_IPV4]),
        Row::new("a device that does not exist", [host_device(json!({"device": "absent0"}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("no device", [host_device(json!({}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("an interface name that is taken", [host_device(json!({"device": "dev0", "ipam": addresses}))])
            .setup(&CABLE)
            .setup(&["pod: ip link add net1 type veth peer name other"])
            .differs(&[CODE, DEL_SUCCEEDS, LOCK])
            .differs(&NAME_TAKEN),
    ]
}
