//! `dummy`.

use std::net::UdpSocket;

use plexus_cni::Code;
use serde_json::{Value, json};

use crate::link_rig::support::kernel::{addresses, link};
use crate::link_rig::support::{failed, succeeded, with};
use crate::link_rig::traffic::{answers, counted};
use crate::start;

fn dummy() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "nowhere", "type": "dummy",
        "ipam": {"type": "static", "addresses": [{"address": "10.6.0.1/24"}, {"address": "fd06::1/64"}]},
    })
}

#[test]
fn it_holds_addresses_and_counts_what_is_lost_in_it() {
    let Some(node) = start("it_holds_addresses_and_counts_what_is_lost_in_it", &["dummy"]) else { return };
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, "net1", &dummy()));
    let shown = link(&pod.netns, "net1").unwrap();
    assert_eq!(shown["linkinfo"]["info_kind"], "dummy");
    assert_eq!(result["interfaces"][0]["mac"], shown["address"]);
    assert_eq!(addresses(&pod.netns, "net1"), ["10.6.0.1/24", "fd06::1/64"]);
    assert!(answers(&pod.netns, "10.6.0.1".parse().unwrap()));
    let before = counted(&node, "net1").0;
    let socket = pod.netns.within(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    for _ in 0..10 {
        assert!(socket.send_to(b"lost", "10.6.0.2:9").is_ok());
    }
    assert!(counted(&node, "net1").0 - before >= 10);
    succeeded(&node.check(&pod, "net1", &dummy(), &result));
    pod.netns.ip(&["addr", "del", "10.6.0.1/24", "dev", "net1"]).unwrap();
    failed(&node.check(&pod, "net1", &dummy(), &result), Code::CheckFailed);
    succeeded(&node.del(&pod, "net1", &dummy()));
    succeeded(&node.del(&pod, "net1", &dummy()));
    node.assert_clean(&[&pod]);
}

#[test]
fn without_addresses_it_is_refused() {
    let Some(node) = start("without_addresses_it_is_refused", &["dummy"]) else { return };
    let said =
        failed(&node.add(&node.pod("a"), "net1", &with(dummy(), "ipam", json!({}))), Code::InvalidConfig);
    assert!(said.contains("\"ipam\""), "{said}");
}
