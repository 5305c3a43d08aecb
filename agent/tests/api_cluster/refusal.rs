//! What cannot be attached: the CNI error and the pod's event name pod, network, interface and reason, and nothing stays.

use std::net::Ipv4Addr;

use plexus_agent::lab::Pod;
use plexus_agent::lab::apiserver;
use serde_json::{Value, json};

use crate::node::{Node, macvlan, meta};

/// ADD is refused; the error and a warning of the pod name all of `named`, and neither links nor leases are left.
#[track_caller]
fn assert_refused(node: &Node, pod: &Pod, config: &Value, named: &[&str]) {
    let said = node.refused(pod, config);
    let warnings = |events: &[String]| -> Vec<String> {
        events.iter().filter(|event| event.starts_with("Warning ")).cloned().collect()
    };
    let events = node.events_when(&pod.name, |events| !warnings(events).is_empty());
    let warned = warnings(&events).join("\n");
    for part in named.iter().copied().chain([format!("default/{}", pod.name).as_str()]) {
        assert!(said.contains(part), "{part} is not in the error: {said}");
        assert!(warned.contains(part), "{part} is not in the events: {warned}");
    }
    node.assert_nothing_attached(pod);
    // And the DEL that the runtime sends after a failed ADD finds nothing to complain of.
    node.deleted(pod, config);
    node.assert_nothing_attached(pod);
}

#[test]
fn a_network_that_does_not_exist_is_named() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    assert_refused(&node, &node.pod("p", "mv1,nowhere"), &meta(), &["default/nowhere"]);
}

#[test]
fn a_network_of_a_foreign_namespace_is_refused_under_isolation() {
    let Some(node) = Node::start() else { return };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    node.api.admin.create(&namespace).unwrap();
    node.api.admin.create(&apiserver::network("other", "secret", &macvlan("secret", 213))).unwrap();
    let mut isolated = meta();
    isolated["namespaceIsolation"] = json!(true);
    let pod = node.pod("p", "other/secret");
    assert_refused(&node, &pod, &isolated, &["other/secret", "namespaceIsolation"]);
    node.added(&node.pod("q", "other/secret"), &meta());
}

#[test]
fn a_network_with_broken_json_is_named_with_the_mistake() {
    let Some(node) = Node::start() else { return };
    let mut broken = apiserver::network("default", "broken", &json!({}));
    broken["spec"]["config"] = json!("{\"cniVersion\": \"1.0.0\", \"type\": \"macvlan\"");
    node.api.admin.create(&broken).unwrap();
    assert_refused(&node, &node.pod("p", "broken"), &meta(), &["default/broken", "net1", "line 1 column 41"]);
}

#[test]
fn one_bad_element_among_good_ones_refuses_all_and_is_named() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.network("mv2", &macvlan("mv2", 212));
    let networks = json!([{"name": "mv1"}, {"name": "mv2", "ips": ["10.212.0.300"]}]).to_string();
    assert_refused(&node, &node.pod("p", &networks), &meta(), &["mv2", "10.212.0.300"]);
    assert_refused(&node, &node.pod("q", "mv1,mv2,MV/3/x"), &meta(), &["element 2", "\"MV\""]);
}

#[test]
fn a_network_that_fails_after_others_were_attached_is_undone_with_them() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    let mut lost = macvlan("lost", 212);
    lost["master"] = json!("uplink9");
    node.network("lost", &lost);
    assert_refused(&node, &node.pod("p", "mv1,lost"), &meta(), &["default/lost", "net2", "uplink9"]);
}

#[test]
fn two_elements_that_want_one_interface_name_are_refused() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.network("mv2", &macvlan("mv2", 212));
    assert_refused(&node, &node.pod("p", "mv1@data,mv2@data"), &meta(), &["mv2", "data"]);
}

#[test]
fn a_requested_address_that_is_taken_is_named_with_its_holder() {
    let Some(node) = Node::start() else { return };
    let mut network = macvlan("mv1", 211);
    network["capabilities"] = json!({"ips": true});
    node.network("mv1", &network);
    let wish = json!([{"name": "mv1", "ips": [Ipv4Addr::new(10, 211, 0, 77)]}]).to_string();
    let first = node.pod("first", &wish);
    node.added(&first, &meta());
    let second = node.pod("second", &wish);
    let said = node.refused(&second, &meta());
    let events = node.events_when("second", |events| !events.is_empty()).join("\n");
    for part in ["default/second", "default/mv1", "net1", "10.211.0.77"] {
        assert!(said.contains(part), "{part} is not in the error: {said}");
        assert!(events.contains(part), "{part} is not in the events: {events}");
    }
    assert_eq!((node.leases("mv1"), node.leases("lab")), (1, 1), "what the first pod holds");
    assert_eq!(second.netns.interfaces().unwrap(), node.plain);
    node.deleted(&second, &meta());
    assert_eq!((node.leases("mv1"), node.leases("lab")), (1, 1), "still");
}
