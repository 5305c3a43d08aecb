//! `sbr` with traffic: the address of a second network leaves by its own interface.

use plexus_agent::lab::ping::ping_from;
use plexus_agent::lab::require_machine_or_skip;
use serde_json::json;

use crate::support::kernel::ip_json;
use crate::support::{Node, meta, succeeded};
use crate::{macvlan, network};

#[test]
fn source_based_routes_carry_traffic_and_end_with_del() {
    if !require_machine_or_skip("source_based_routes_carry_traffic_and_end_with_del") {
        return;
    }
    let Some(node) = Node::start() else { return };
    for (link, address) in [("eth1", "10.1.0.1/24"), ("eth0", "10.2.0.1/24"), ("lo", "192.0.2.1/32")] {
        node.outside.ip(&["address", "add", address, "dev", link]).unwrap();
    }
    let sip = network("sip", vec![macvlan("uplink0", &["10.2.0.0/24"], json!([])), json!({"type": "sbr"})]);
    node.network("sip", &sip);
    let lan = meta(network("lan", vec![macvlan("uplink1", &["10.1.0.0/24"], json!([{"dst": "0.0.0.0/0"}]))]));
    let pod = node.known_pod("a", "sip");
    let result = succeeded(&node.add(&pod, "eth0", &lan));
    let sent = || {
        let link = ip_json(&pod.netns, &["-s", "link", "show", "dev", "net1"]).remove(0);
        link["stats64"]["tx"]["packets"].as_u64().unwrap()
    };
    let before = sent();
    assert!(ping_from(&pod.netns, "10.2.0.2", "192.0.2.1".parse().unwrap(), 10).unwrap().all_answered());
    assert!(sent() >= before + 10, "the packets left by another interface");
    succeeded(&node.check(&pod, "eth0", &lan, &result));
    succeeded(&node.del(&pod, "eth0", &lan));
    let rules = ip_json(&pod.netns, &["-4", "rule"]);
    assert!(rules.iter().all(|rule| rule["src"] == "all"), "{rules:?}");
    node.assert_clean(&[&pod]);
}
