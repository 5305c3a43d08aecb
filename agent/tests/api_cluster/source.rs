//! Pods and networks come from the API server, and an ADD that finds them in memory asks it nothing.

use std::time::Duration;

use plexus_agent::lab::apiserver;
use serde_json::json;

use crate::node::{Node, macvlan, meta};

#[test]
fn a_pod_gets_the_networks_that_its_annotation_selects() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.network("mv2", &macvlan("mv2", 212));
    let pod = node.pod("two", "mv1,mv2");
    let result = node.added(&pod, &meta());
    assert!(result["ips"][0]["address"].as_str().unwrap().starts_with("10.201."), "{result}");
    assert_eq!(pod.netns.interfaces().unwrap().len(), node.plain.len() + 3, "eth0, net1, net2");
    node.deleted(&pod, &meta());
    assert_eq!([node.leases("mv1"), node.leases("mv2"), node.leases("lab")], [0, 0, 0]);
}

#[test]
fn an_add_of_a_known_pod_reads_nothing_from_the_api_server() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.added(&node.pod("first", "mv1"), &meta());
    let pod = node.pod("second", "mv1");
    // The watch brings it; the runtime of a real node is far slower than this.
    std::thread::sleep(Duration::from_millis(500));
    let earlier = node.api.calls().unwrap().len();
    node.added(&pod, &meta());
    let reads: Vec<_> = node.calls_since(earlier);
    assert!(reads.iter().all(|call| !["get", "list", "watch"].contains(&&*call.verb)), "{reads:?}");
}

#[test]
fn a_pod_that_is_made_while_its_add_waits_is_attached_and_one_that_never_comes_is_not() {
    let Some(node) = Node::start() else { return };
    let mut pod = node.host.pod("late").unwrap();
    pod.uid = String::new();
    assert_eq!(node.add(&pod, &meta()).error_code().unwrap(), 102);
    let admin = &node.api.admin;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            admin.create(&apiserver::pod("default", "late", &json!({}))).unwrap();
        });
        node.added(&pod, &meta());
    });
}

#[test]
fn a_pod_that_nobody_made_is_asked_for_once() {
    let Some(node) = Node::start() else { return };
    let pod = node.host.pod("nobody").unwrap();
    let outcome = node.add(&pod, &meta());
    assert_eq!(outcome.error_code().unwrap(), 102, "{}", outcome.stdout);
    let reads: Vec<_> = node.calls_since(0).into_iter().filter(|call| call.verb == "get").collect();
    assert_eq!(reads.len(), 1, "{reads:?}");
    node.assert_nothing_attached(&pod);
}

#[test]
fn a_token_that_is_replaced_is_used() {
    let Some(node) = Node::start() else { return };
    node.api.rotate_token().unwrap();
    node.network("mv1", &macvlan("mv1", 211));
    node.added(&node.pod("p", "mv1"), &meta());
}

#[test]
fn del_goes_by_the_config_of_its_add() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    let pod = node.pod("p", "mv1");
    node.added(&pod, &meta());
    node.change_network("mv1", &json!({"cniVersion": "1.0.0", "name": "other", "type": "none"}));
    node.delete_pod("p");
    node.deleted(&pod, &meta());
    assert_eq!(node.leases("mv1"), 0);
}
