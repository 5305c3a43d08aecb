//! Running pods follow the API server: their networks and their annotations.

use std::time::{Duration, Instant};

use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::node::{NETWORKS, Node, PODS, macvlan, meta};

/// From the API server's answer to the limit in the data plane, on a machine that has more to do; sooner than the agent's period.
const WITHIN: Duration = Duration::from_secs(5);

fn limited(egress_bps: u64) -> Value {
    let limit = json!({"type": "bandwidth", "egressRate": egress_bps, "capabilities": {"bandwidth": true}});
    json!({"cniVersion": "1.0.0", "name": "mv1", "plugins": [macvlan("mv1", 211), limit]})
}

#[track_caller]
fn expect_egress(node: &Node, expected: u64) {
    let begun = Instant::now();
    loop {
        let ports = node.plexusd.ask(&Query::Ports).unwrap();
        let port =
            ports.as_array().unwrap().iter().find(|port| port["interface"] == "net1").cloned().unwrap();
        if port["state"]["egress"]["rateBps"] == expected {
            return;
        }
        assert!(begun.elapsed() < WITHIN, "{port} instead of {expected}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_edited_network_or_pod_changes_the_running_interface_and_is_told_in_events() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &limited(2_000_000));
    let pod = node.pod("p", "mv1");
    node.added(&pod, &meta());
    expect_egress(&node, 2_000_000);
    node.change_network("mv1", &limited(5_000_000));
    expect_egress(&node, 5_000_000);
    let element = json!([{"name": "mv1", "bandwidth": {"egressRate": 6_000_000}}]).to_string();
    let change = json!({"metadata": {"annotations": {NETWORKS: element}}});
    node.api.admin.patch(PODS, "p", "", &change).unwrap();
    expect_egress(&node, 6_000_000);
    node.change_network("mv1", &limited(1));
    let events =
        node.events_when("p", |events| events.iter().any(|event| event.contains("FailedChangingInterface")));
    assert!(events.iter().any(|event| event.contains("Change net1 from default/mv1")), "{events:?}");
    expect_egress(&node, 6_000_000);
    node.deleted(&pod, &meta());
}
