//! A service account that may too little: errors that say which rule lacks.

use std::time::Duration;

use crate::node::{Node, macvlan, meta};

const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

#[test]
fn without_its_role_an_add_fails_and_names_the_rule_and_with_it_works_again() {
    let mut binding = serde_json::Value::Null;
    let Some(node) = Node::start_with(|api, _| {
        binding = api.admin.get(BINDINGS, "plexus").unwrap();
        api.admin.delete(BINDINGS, "plexus").unwrap();
        // The authorizer follows its own watch.
        std::thread::sleep(Duration::from_secs(1));
    }) else {
        return;
    };
    node.network("mv1", &macvlan("mv1", 211));
    let pod = node.pod("p", "mv1");
    let said = node.refused(&pod, &meta());
    for part in ["default/p", "pods", "forbidden", "ClusterRole"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    node.assert_nothing_attached(&pod);
    node.deleted(&pod, &meta());

    let bookkeeping = ["resourceVersion", "uid", "creationTimestamp", "managedFields"];
    binding["metadata"].as_object_mut().unwrap().retain(|key, _| !bookkeeping.contains(&key.as_str()));
    node.api.admin.create(&binding).unwrap();
    node.api.admin.wait_for("an ADD with the role", || node.add(&pod, &meta()).success()).unwrap();
}

#[test]
fn nothing_that_plexusd_does_on_a_usual_day_is_denied() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    let pod = node.pod("p", "mv1");
    node.added(&pod, &meta());
    node.deleted(&pod, &meta());
    node.refused(&node.pod("q", "nowhere"), &meta());
    node.events_when("q", |events| !events.is_empty());
    let denied: Vec<_> = node.calls_since(0).into_iter().filter(|call| call.status == 403).collect();
    assert_eq!(denied, []);
}
