//! `bridge`.

use serde_json::{Value, json};

use super::reason::{
    ANNOUNCED, CHECK_WITHOUT_GATEWAY, CODE, DEL_SUCCEEDS, GATES, LOCK, MASQUERADING, NAME_TAKEN, NO_DAD,
    QUEUE_LENGTH,
};
use super::{Ground, Table};
use crate::reference::probe::{End, Probe};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table =
    Table { plugin: "bridge", ground: Ground::Namespaces, differs: DIFFERS, rows };

pub(super) const ACCEPT_RA: &str =
    "left as it is: the host's end is a port of the bridge, so it receives no packets of its own";
pub(super) const DIFFERS: &[Difference] = &[
    GATES,
    QUEUE_LENGTH,
    differs("added/host/sysctls/ipv6 conf/<pair>/accept_ra", ACCEPT_RA),
    differs(
        "added/pod/sysctls/ipv6 conf/net1/accept_dad",
        "duplicate address detection is left out for the addresses of IPAM alone, not switched off for the interface",
    ),
];
/// Of a bridge with a gateway.
pub(super) const FIXED_MAC: [Difference; 2] = [
    differs(
        "added/host/links/<pair>/address",
        "the bridge's hardware address is fixed to the one that it has with its first port; the reference fixes the one that it had before",
    ),
    differs("added/result/interfaces/1/mac", "see the hardware address of the bridge"),
];
const SPOOF_CHECK: [Difference; 3] = [
    differs("added/host/filter/bridge plexus", "the check stands in a table of our own"),
    differs("added/host/filter/bridge nat", "the reference's check stands in the table `nat`"),
    differs("deleted/host/filter/bridge nat", "the reference leaves its table and the base chain"),
];
const BRIDGE_LEFT_OVER: Difference = differs(
    "deleted/host",
    "refused before anything is made; the reference makes the bridge first and leaves it",
);
const CHECK_WITHOUT_IPAM: Difference =
    differs("check", "CHECK succeeds; 1.1.1 asks for an IPAM plugin that the config does not name");

/// A bridge with addresses from 10.77.0.0/24.
pub(super) fn bridge(keys: Value) -> Value {
    let mut config = json!({
        "type": "bridge", "bridge": "br-test",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}]]},
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn rows() -> Vec<Row> {
    let gateway = Probe::Ping(End::Pod, "10.77.0.1");
    let outside = Probe::Ping(End::Pod, "192.0.2.2");
    let seen_outside =
        Probe::Tcp { from: End::Pod, to: "192.0.2.2:8080", server: End::Outside, at: "192.0.2.2:8080" };
    let both =
        json!({"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/24"}], [{"subnet": "fd77::/64"}]]});
    let with_both = |keys: Value| {
        let mut config = bridge(keys);
        config["ipam"] = both.clone();
        config
    };
    vec![
        Row::new("default keys", [bridge(json!({}))]).probe(gateway),
        Row::new("the default bridge", [json!({"type": "bridge", "ipam": bridge(json!({}))["ipam"]})]),
        Row::new("a gateway", [bridge(json!({"isGateway": true}))]).probe(gateway).differs(&FIXED_MAC),
        Row::new("a default gateway of both families", [with_both(json!({"isDefaultGateway": true}))])
            .probe(gateway)
            .probe(Probe::Ping(End::Pod, "fd77::1"))
            .probe(outside)
            .differs(&FIXED_MAC)
            .differs(&[NO_DAD, ANNOUNCED]),
        Row::new("masquerading", [with_both(json!({"isDefaultGateway": true, "ipMasq": true}))])
            .probe(outside)
            .probe(seen_outside)
            .differs(&FIXED_MAC)
            .differs(&MASQUERADING)
            .differs(&[NO_DAD, ANNOUNCED]),
        Row::new("hairpin", [bridge(json!({"hairpinMode": true}))]),
        Row::new("promiscuous", [bridge(json!({"promiscMode": true}))]),
        Row::new("both exclude each other", [bridge(json!({"promiscMode": true, "hairpinMode": true}))]).differs(&[CODE, LOCK]),
        Row::new("an MTU", [bridge(json!({"mtu": 1400, "isGateway": true}))]).differs(&FIXED_MAC),
        Row::new("a MAC in the config", [bridge(json!({"mac": "02:00:00:00:00:07"}))]).differs(&[
            differs("added/pod/links/net1/address", "`mac` is read in the config too, as every other plugin does"),
            differs("added/result/interfaces/2/mac", "see the hardware address of the interface"),
        ]),
        Row::new("a MAC in CNI_ARGS", [bridge(json!({}))]).args("MAC=02:00:00:00:00:08"),
        Row::new("a MAC of the runtime", [bridge(json!({"capabilities": {"mac": true}}))])
            .runtime_config(json!({"mac": "02:00:00:00:00:09"})),
        Row::new("another gateway address with force", [bridge(json!({"isGateway": true, "forceAddress": true}))])
            .setup(&["ip link add br-test type bridge", "ip addr add 10.77.0.9/24 dev br-test"])
            .differs(&FIXED_MAC),
        Row::new("another gateway address without force", [bridge(json!({"isGateway": true}))])
            .setup(&["ip link add br-test type bridge", "ip addr add 10.77.0.9/24 dev br-test"])
            .differs(&[CODE]),
        Row::new("no IPAM", [bridge(json!({"ipam": {}}))]).differs(&[CHECK_WITHOUT_IPAM]),
        Row::new("addresses of static with a route", [bridge(json!({"isGateway": true, "ipam": {
            "type": "static", "addresses": [{"address": "10.77.0.50/24"}], "routes": [{"dst": "198.51.100.0/24"}],
        }}))])
        .differs(&FIXED_MAC)
        .differs(&[CHECK_WITHOUT_GATEWAY]),
        Row::new("spoofed addresses dropped", [bridge(json!({"isGateway": true, "macspoofchk": true}))])
            .probe(gateway)
            .differs(&FIXED_MAC)
            .differs(&SPOOF_CHECK),
        Row::new("a bridge that is no bridge", [bridge(json!({"bridge": "uplink0"}))]).differs(&[CODE, LOCK]),
        Row::new("a VLAN out of range", [bridge(json!({"vlan": 4095}))]).differs(&[CODE, DEL_SUCCEEDS]),
        Row::new("a default gateway without an address", [bridge(json!({"isDefaultGateway": true, "ipam": {}}))])
            .differs(&[CHECK_WITHOUT_IPAM]),
        Row::new("an interface name that is taken", [bridge(json!({}))])
            .setup(&["pod: ip link add net1 type veth peer name other"])
            .differs(&[CODE, LOCK, NAME_TAKEN, BRIDGE_LEFT_OVER]),
    ]
}
