//! `tuning`, after macvlan.

use serde_json::{Value, json};

use super::reason::{CODE, GATES, QUEUE_LENGTH};
use super::{Ground, Table, macvlan};
use crate::reference::row::{Difference, Row, differs};

pub(super) const TABLE: Table =
    Table { plugin: "tuning", ground: Ground::Namespaces, differs: DIFFERS, rows };

const DIFFERS: &[Difference] = &[GATES, QUEUE_LENGTH];
const NO_FILE: Difference = differs(
    "added/files/|run|cni|tuning|*",
    "what was before stands in the record of the attachment; the reference writes a file of its own",
);
const CRASH: &str = "1.1.1 crashes on sysctls in `args` beside a config that has none";

fn rows() -> Vec<Row> {
    let row = |name, keys: Value| {
        let mut tuning = json!({"type": "tuning"});
        tuning.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        Row::new(name, [macvlan::macvlan(json!({})), tuning])
    };
    vec![
        row("nothing", json!({})),
        row(
            "sysctls",
            json!({"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1", "net.core.somaxconn": "500"}}),
        )
        .differs(&[
            differs("check", "CHECK succeeds; 1.1.1 looks for a sysctl that has `IFNAME` in its name"),
            differs(
                "deleted/pod/sysctls/core somaxconn",
                "DEL puts back what ADD changed; the reference leaves sysctls as they are",
            ),
        ]),
        row("a sysctl with slashes", json!({"sysctl": {"net/ipv4/conf/net1/log_martians": "1"}})),
        row("a hardware address", json!({"mac": "02:00:00:00:00:07"})).differs(&[NO_FILE]),
        row("a hardware address in CNI_ARGS", json!({}))
            .args("MAC=02:00:00:00:00:08")
            .differs(&[NO_FILE]),
        row(
            "a hardware address of the runtime",
            json!({"mac": "02:00:00:00:00:07", "capabilities": {"mac": true}}),
        )
        .runtime_config(json!({"mac": "02:00:00:00:00:09"}))
        .differs(&[NO_FILE]),
        row("promiscuous", json!({"promisc": true})).differs(&[NO_FILE]),
        row("all multicast", json!({"allmulti": true})).differs(&[NO_FILE]),
        row("an MTU", json!({"mtu": 1300})).differs(&[NO_FILE]),
        row(
            "everything in args",
            json!({"args": {"cni": {"mtu": 1280, "promisc": true, "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}}}),
        )
        .differs(&[differs("add", CRASH), differs("del", CRASH)]),
        row("a sysctl outside net", json!({"sysctl": {"kernel.hostname": "x"}})).differs(&[CODE]),
        row("a sysctl that does not exist", json!({"sysctl": {"net.ipv4.conf.IFNAME.absent": "1"}}))
            .differs(&[CODE]),
        row("a hardware address that is none", json!({"mac": "zz"})).differs(&[CODE]),
        row("an MTU above the master's", json!({"mtu": 9000})).differs(&[CODE]),
    ]
}
