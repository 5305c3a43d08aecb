//! Addresses from slices of a node, with the rights that deploy/ grants.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use plexus_agent::cluster::{PoolStore, Slice};
use plexus_agent::ipam::whereabouts::reconcile::{Pace, Reconciler};
use plexus_agent::ipam::whereabouts::slices::{Lease, PoolSpec, Slices, Span, Wish};
use serde_json::{Value, json};

use crate::node::{Node, meta};
use crate::reconcile::Bare;
use crate::whereabouts::{OBJECTS, connect};

fn fast(name: &str) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "uplink0",
        "ipam": {
            "type": "whereabouts", "range": "10.79.0.0/16", "ipRanges": [{"range": "fd79::/64"}], "node_slice_size": "/24",
        },
    })
}

fn wish(range: &str, size: &str) -> Wish {
    let range: IpNet = range.parse().unwrap();
    let hosts: Vec<IpAddr> = range.hosts().collect();
    let spec = PoolSpec {
        name: "race".into(),
        network_name: String::new(),
        range,
        slice_size: size.into(),
        usable: Span::new(hosts[0], hosts[hosts.len() - 1]).unwrap(),
        excludes: Vec::new(),
        checks_overlaps: true,
    };
    Wish { spec, wanted: None }
}

fn lease(id: &str) -> Lease {
    Lease {
        container_id: id.into(),
        ifname: "net1".into(),
        podref: format!("default/{id}"),
        pod_uid: id.into(),
        network: "race".into(),
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(100)
}

#[test]
fn a_warm_add_asks_the_api_server_for_no_address() {
    let Some(node) = Node::start() else { return };
    node.network("fast", &fast("fast"));
    let first = node.pod("first", "fast");
    node.added(&first, &meta());
    let more = ["second", "third"].map(|name| node.pod(name, "fast"));
    let earlier = node.calls_since(0).len();
    for pod in &more {
        node.added(pod, &meta());
    }
    let mut calls = node.pool_calls(earlier);
    // The claimer compares at its first look, whenever that is.
    calls.retain(|call| call != "get nodeslicepools");
    assert_eq!(calls, Vec::<String>::new());
    for name in ["first", "second", "third"] {
        node.status_when(name, |status| status.contains("10.79.") && status.contains("fd79:"));
    }
    for name in ["fast", "fast-fd79---64"] {
        let pool = node.api.admin.get(&format!("{OBJECTS}/nodeslicepools"), name).unwrap();
        let slices = pool["status"]["allocations"].as_array().unwrap();
        assert_eq!(slices.iter().filter(|slice| slice["nodeName"] != "").count(), 1, "{name}");
    }
    for pod in more.iter().chain([&first]) {
        node.deleted(pod, &meta());
    }
    node.assert_nothing_attached(&first);
    node.pool_calls(0);
}

#[test]
fn sixteen_agents_claim_slices_of_one_object_without_a_duplicate() {
    let Some(node) = Node::start() else { return };
    let stores: Vec<Arc<dyn PoolStore>> =
        (0..4).map(|at| connect(&node, &format!("node-{at}")) as Arc<dyn PoolStore>).collect();
    let dir = tempfile::tempdir().unwrap();
    let agents: Vec<Slices> = (0..16)
        .map(|at| {
            let name = format!("node-{at}");
            Slices::open(&dir.path().join(&name), &name, Arc::clone(&stores[at % 4])).unwrap()
        })
        .collect();
    let given: Vec<IpAddr> = std::thread::scope(|scope| {
        let work: Vec<_> = agents
            .iter()
            .enumerate()
            .map(|(at, agent)| {
                scope.spawn(move || {
                    let wishes = [wish("10.80.0.0/20", "/28")];
                    let give =
                        |pod| agent.acquire(&wishes, &lease(&format!("c-{at}-{pod}")), soon()).unwrap()[0];
                    (0..40).map(give).collect::<Vec<IpAddr>>()
                })
            })
            .collect();
        work.into_iter().flat_map(|agent| agent.join().unwrap()).collect()
    });
    let conflicts: u64 = agents.iter().map(|agent| agent.counters().conflicts.get()).sum();
    println!("{} addresses, {conflicts} claims were tried again", given.len());
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 16 * 40);
    let pool = stores[0].slice_pool("race", soon()).unwrap().unwrap();
    for (at, agent) in agents.iter().enumerate() {
        let name = format!("node-{at}");
        let entries = pool.slices.iter().filter(|slice| slice.node == name).count();
        assert_eq!(agent.views()[0].slices.len(), entries, "{name}");
    }
    node.pool_calls(0);
}

#[test]
fn what_was_claimed_for_another_node_meanwhile_is_not_handed_out_any_more() {
    let Some(node) = Node::start() else { return };
    let store: Arc<dyn PoolStore> = connect(&node, "node-a");
    let dir = tempfile::tempdir().unwrap();
    let open = || Slices::open(dir.path(), "node-a", Arc::clone(&store)).unwrap();
    let wishes = [wish("10.81.0.0/22", "/24")];
    let first = open().acquire(&wishes, &lease("one"), soon()).unwrap()[0];
    // The node's object was gone, its slice was freed, and another node took it.
    let pool = store.slice_pool("race", soon()).unwrap().unwrap();
    let index = pool.slices.iter().position(|slice| slice.node == "node-a").unwrap();
    store.change_slice("race", index, &pool.slices[index], "", soon()).unwrap();
    let free = Slice { node: String::new(), ..pool.slices[index].clone() };
    store.change_slice("race", index, &free, "node-b", soon()).unwrap();
    assert!(store.change_slice("race", index, &free, "node-c", soon()).is_err(), "one of two wins");
    let lost: IpNet = free.range.parse().unwrap();
    assert!(lost.contains(&first));
    let again = open();
    for id in ["two", "three"] {
        let given = again.acquire(&wishes, &lease(id), soon()).unwrap()[0];
        assert!(!lost.contains(&given), "{given}");
    }
    assert_eq!(again.counters().lost.get(), 1);
}

#[test]
fn slices_of_a_lost_node_come_to_others_and_it_hands_out_nothing_of_them_when_it_returns() {
    let Some(node) = Node::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let agent = |name: &str| {
        let store = connect(&node, name) as Arc<dyn PoolStore>;
        Slices::open(&dir.path().join(name), name, store).unwrap()
    };
    let wishes = [wish("10.82.0.0/27", "/28")];
    node.api
        .admin
        .create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}}))
        .unwrap();
    let (a, lost) = (agent("node-a"), agent("node-lost"));
    let of_lost = lost.acquire(&wishes, &lease("of-lost"), soon()).unwrap()[0];
    drop(lost);
    let mut held = BTreeSet::new();
    let error = loop {
        match a.acquire(&wishes, &lease(&format!("a-{}", held.len())), soon()) {
            Ok(given) => assert!(held.insert(given[0]), "{given:?} twice"),
            Err(error) => break error,
        }
    };
    for part in ["10.82.0.0/27", "node-lost"] {
        assert!(error.to_string().contains(part), "{error} without {part}");
    }
    assert!(!held.contains(&of_lost) && held.len() >= 14, "{held:?}");

    let store = connect(&node, "reconciler");
    let mut reconciler = Reconciler::new("reconciler".into(), Pace::default());
    let begun = Instant::now();
    let mut freed = 0;
    for round in 1..=3 {
        let at = begun + Duration::from_mins(15 * round);
        freed += reconciler.round(&*store, &Bare, at).unwrap().slices;
    }
    assert_eq!(freed, 1, "the slice of the node that is gone, and not the living one's");

    let more = a.acquire(&wishes, &lease("more"), soon()).unwrap()[0];
    assert!(!held.contains(&more));
    let returned = agent("node-lost");
    let error = returned.acquire(&wishes, &lease("new"), soon()).unwrap_err();
    assert!(error.to_string().contains("node-a"), "{error}");
    assert_eq!(returned.counters().lost.get(), 1);
}
