//! The API server goes away, comes back, forgets; the way to it breaks.

use std::time::{Duration, Instant};

use plexus_agent::lab::apiserver::ApiCall;

use crate::node::{Node, macvlan, meta};

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(30);

#[test]
fn while_the_api_server_is_away_known_pods_are_attached_and_their_status_follows() {
    let Some(mut node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.added(&node.pod("before", "mv1"), &meta());
    let known = node.pod("known", "mv1");
    let gone = node.pod("gone", "mv1");
    node.added(&gone, &meta());
    std::thread::sleep(Duration::from_secs(1));

    node.api.stop();
    let away_since = Instant::now();
    node.added(&known, &meta());
    node.deleted(&gone, &meta());
    let unknown = node.host.pod("unknown").unwrap();
    let said = node.refused(&unknown, &meta());
    for part in ["default/unknown", "API server"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(unknown.netns.interfaces().unwrap(), node.plain);
    std::thread::sleep(AWAY.saturating_sub(away_since.elapsed()));
    node.api.restart().unwrap();

    let back_since = Instant::now();
    node.network("mv2", &macvlan("mv2", 212));
    node.added(&node.pod("after", "mv1,mv2"), &meta());
    println!("a new pod was attached {:?} after the API server came back", back_since.elapsed());
    node.status_when("known", |status| status.contains("default/mv1"));
}

#[test]
fn a_watch_that_is_cut_goes_on_where_it_was() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.added(&node.pod("before", "mv1"), &meta());
    let earlier = node.calls_since(0).len();
    node.api.gate.cut();
    node.network("mv2", &macvlan("mv2", 212));
    node.added(&node.pod("after", "mv2"), &meta());
    let begun = |resource: &str| {
        let calls = node.calls_since(earlier);
        calls.iter().any(|call| call.verb == "watch" && call.resource == resource && call.status == 200)
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    while !(begun("pods") && begun("network-attachment-definitions")) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let calls = node.calls_since(earlier);
    let is_watched = begun("pods") && begun("network-attachment-definitions");
    assert!(is_watched, "{calls:?}\n{}", node.plexusd.log_tail());
    assert!(calls.iter().all(|call| call.verb != "list"), "nothing is read twice: {calls:?}");
}

#[test]
fn a_watch_whose_version_is_forgotten_reads_everything_again() {
    let Some(mut node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    node.network("mv2", &macvlan("mv2", 212));
    node.added(&node.pod("before", "mv1,mv2"), &meta());
    let earlier = node.calls_since(0).len();

    node.api.gate.close();
    let admin = &node.api.admin;
    admin
        .delete("/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions", "mv2")
        .unwrap();
    node.network("mv3", &macvlan("mv3", 213));
    // The server's own memory of changes would still do for the watch; one that starts now has none.
    node.api.compact().unwrap();
    node.api.restart().unwrap();
    node.api.gate.open();

    node.added(&node.pod("after", "mv1,mv3"), &meta());
    let is_read_again = || {
        let calls = node.calls_since(earlier);
        let is_list = |call: &ApiCall| call.verb == "list" && call.status == 200;
        calls.iter().any(|call| is_list(call) && call.resource == "network-attachment-definitions")
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    while !is_read_again() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(is_read_again(), "{:?}", node.calls_since(earlier));
    // From the answer to the cache.
    std::thread::sleep(Duration::from_secs(1));
    let said = node.refused(&node.pod("late", "mv2"), &meta());
    assert!(said.contains("default/mv2"), "the network that went meanwhile is not known any more: {said}");
}

#[test]
fn plexusd_starts_while_the_api_server_is_away() {
    let Some(mut node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    let pod = node.pod("p", "mv1");
    node.added(&pod, &meta());
    node.api.stop();
    node.plexusd.stop().unwrap();
    node.plexusd.restart().unwrap();
    node.deleted(&pod, &meta());
    let other = node.host.pod("other").unwrap();
    let outcome = node.add(&other, &meta());
    assert_eq!(outcome.error_code().unwrap(), 11, "to be tried again: {}", outcome.stdout);
    node.api.restart().unwrap();
    node.added(&node.pod("after", "mv1"), &meta());
}

#[test]
fn a_status_that_a_killed_plexusd_left_unwritten_is_written_by_the_next() {
    let Some(mut node) = Node::start() else { return };
    let pod = node.pod("p", "");
    std::thread::sleep(Duration::from_secs(1));
    node.api.gate.close();
    node.added(&pod, &meta());
    node.plexusd.kill().unwrap();
    assert_eq!(node.status("p"), "");
    node.api.gate.open();
    node.plexusd.restart().unwrap();
    node.status_when("p", |status| status.contains("\"lab\""));
}
