//! What people see of an ADD in the cluster: network-status and events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::node::{Node, macvlan, meta};

const RECORDED_STATUS: &str = include_str!("../data/multus-recorded/network-status.json");
const RECORDED_EVENTS: &str = include_str!("../data/multus-recorded/events.txt");
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";

/// The text with hardware addresses and the last two bytes of IPv4 addresses blanked.
fn blanked(text: &str) -> String {
    let is_address_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let mut rest = text;
    let mut out = String::new();
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| !is_address_part(c)).unwrap_or(rest.len());
        let word = &rest[..end.max(first.len_utf8())];
        let parts: Vec<&str> = word.split('.').collect();
        if word.len() == 17 && word.matches(':').count() == 5 {
            out.push_str("MAC");
        } else if parts.len() == 4 {
            out.push_str(&[parts[0], parts[1], "x", "x"].join("."));
        } else {
            out.push_str(word);
        }
        rest = &rest[word.len()..];
    }
    out
}

#[test]
fn network_status_is_what_multus_wrote_but_for_its_nil_gateway() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.network("mv2", &macvlan("mv2", 212));
    node.added(&node.pod("ref", "mv1,mv2"), &meta());
    // The annotation is there when ADD returns: no waiting here.
    let status = node.status("ref");
    let expected = RECORDED_STATUS.replace("\\u003cnil\\u003e", "10.201.0.1");
    assert_eq!(blanked(&status), blanked(expected.trim_end()), "{status}");

    let expected: Vec<String> = RECORDED_EVENTS
        .lines()
        .map(|line| blanked(line.strip_prefix("multus ").expect("the component comes first")))
        .collect();
    let events = node.events_when("ref", |events| events.len() >= expected.len());
    assert_eq!(events.iter().map(|event| blanked(event)).collect::<Vec<_>>(), expected);
}

#[test]
fn network_status_names_what_the_pod_really_has() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    let pod = node.pod("p", "mv1@data");
    node.added(&pod, &meta());
    let status: Value = serde_json::from_str(&node.status("p")).unwrap();
    let printed = pod.netns.run("ip", &["-j", "addr", "show", "dev", "data"]).unwrap().stdout;
    let link: Value = serde_json::from_str(printed.trim()).unwrap();
    assert_eq!(status[1]["mac"], link[0]["address"]);
    let inet = link[0]["addr_info"].as_array().unwrap().iter().find(|info| info["family"] == "inet").unwrap();
    assert_eq!(status[1]["ips"], json!([inet["local"]]));
    assert_eq!((&status[1]["name"], &status[1]["interface"]), (&json!("default/mv1"), &json!("data")));
}

#[test]
fn annotations_of_others_stay_and_an_old_status_is_replaced() {
    let Some(node) = Node::start() else { return };
    let stale = json!({
        "example.com/owner": "somebody",
        "k8s.v1.cni.cncf.io/network-status": "[{\"name\": \"of a sandbox before\", \"dns\": {}}]",
    });
    node.added(&node.annotated_pod("p", &stale), &meta());
    let status: Value = serde_json::from_str(&node.status("p")).unwrap();
    assert_eq!((status.as_array().unwrap().len(), &status[0]["name"]), (1, &json!("lab")));
    assert_eq!(node.api.admin.annotation("default", "p", "example.com/owner").unwrap(), "somebody");
}

#[test]
fn a_status_that_is_not_waited_for_is_written_soon_after() {
    let Some(node) = Node::start_with(|_, setup| {
        setup.arguments.extend(["--status".into(), "background".into()]);
    }) else {
        return;
    };
    node.added(&node.pod("p", ""), &meta());
    node.status_when("p", |status| status.contains("\"lab\""));
}

#[test]
fn an_add_that_cannot_write_its_status_for_want_of_rights_works_and_says_so() {
    let mut whole = Value::Null;
    let Some(node) = Node::start_with(|api, _| {
        whole = api.admin.get(ROLES, "plexus").unwrap()["rules"].clone();
        let rules = json!({"rules": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["k8s.cni.cncf.io"], "resources": ["network-attachment-definitions"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        ]});
        api.admin.patch(ROLES, "plexus", "", &rules).unwrap();
        // The authorizer follows its own watch.
        std::thread::sleep(Duration::from_secs(1));
    }) else {
        return;
    };
    node.added(&node.pod("p", ""), &meta());
    let events = node
        .events_when("p", |events| events.iter().any(|event| event.contains("FailedWritingNetworkStatus")));
    let said = events.iter().find(|event| event.contains("FailedWritingNetworkStatus")).unwrap();
    for part in ["Warning", "default/p", "pods/status", "ClusterRole"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }

    node.api.admin.patch(ROLES, "plexus", "", &json!({"rules": whole})).unwrap();
    node.status_when("p", |status| status.contains("\"lab\""));
}
