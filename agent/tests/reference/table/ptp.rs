//! `ptp`.

use serde_json::{Value, json};

use super::reason::{
    ANNOUNCED, CHECK_WITHOUT_GATEWAY, CODE, DEL_SUCCEEDS, GATES, LOCK, MASQUERADING, NAME_TAKEN, NO_DAD,
    QUEUE_LENGTH,
};
use super::{Ground, Table};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table = Table { plugin: "ptp", ground: Ground::Namespaces, differs: DIFFERS, rows };

const DIFFERS: &[Difference] = &[
    GATES,
    QUEUE_LENGTH,
    differs(
        "added/pod/sysctls/ipv4 conf/net1/arp_notify",
        "addresses are announced when the link comes up, as on every other kind",
    ),
    differs(
        "added/host/sysctls/ipv6 conf/<pair>/accept_dad",
        "no duplicate address detection on a link with two ends: IPv6 from elsewhere need not wait for it",
    ),
];
/// Of an ADD that is refused at the name.
const HALF_DONE: Difference = differs(
    "deleted/host/sysctls",
    "refused before anything is done; the reference switches forwarding on first",
);
const ROUND_ROBIN: Difference =
    differs("deleted/files/*last_reserved_ip*", "refused before an address is taken");

fn ptp(keys: Value) -> Value {
    let mut config = json!({
        "type": "ptp",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.78.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn rows() -> Vec<Row> {
    let host = Probe::Ping(End::Pod, "10.78.0.1");
    let outside = Probe::Ping(End::Pod, "192.0.2.2");
    let from_host = Probe::Ping(End::Host, "10.78.0.2");
    let seen_outside =
        Probe::Tcp { from: End::Pod, to: "192.0.2.2:8080", server: End::Outside, at: "192.0.2.2:8080" };
    let both = json!({
        "type": "host-local",
        "ranges": [[{"subnet": "10.78.0.0/24"}], [{"subnet": "fd78::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    });
    vec![
        Row::new("default keys", [ptp(json!({}))]).probe(host).probe(outside).probe(from_host),
        Row::new("both families", [ptp(json!({"ipam": both}))])
            .probe(host)
            .probe(Probe::Ping(End::Pod, "fd78::1"))
            .differs(&[NO_DAD, ANNOUNCED]),
        Row::new("masquerading", [ptp(json!({"ipMasq": true}))])
            .probe(outside)
            .probe(seen_outside)
            .differs(&MASQUERADING),
        Row::new("an MTU", [ptp(json!({"mtu": 1400}))]).probe(host),
        Row::new("DNS of the config", [ptp(json!({"dns": {"nameservers": ["192.0.2.53"]}}))]),
        Row::new(
            "addresses of static, a route without gateway",
            [ptp(json!({"ipam": {
                "type": "static",
                "addresses": [{"address": "10.78.0.50/24", "gateway": "10.78.0.1"}],
                "routes": [{"dst": "198.51.100.0/24"}],
            }}))],
        )
        .probe(host)
        .differs(&[CHECK_WITHOUT_GATEWAY]),
        Row::new("no IPAM", [ptp(json!({"ipam": {}}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("an interface name that is taken", [ptp(json!({}))])
            .setup(&["pod: ip link add net1 type veth peer name other"])
            .differs(&[CODE, LOCK, NAME_TAKEN, HALF_DONE, ROUND_ROBIN]),
    ]
}
