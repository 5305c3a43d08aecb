//! Addresses from the cluster's pools, with the rights that deploy/ grants.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plexus_agent::cluster::{self, ApiServer, Calls, Catalog, IpPool, PoolStore, Reservation};
use plexus_agent::ipam::whereabouts::{Cluster, choose, names, range};
use plexus_agent::ipam::{Ipam, IpamRequest};
use plexus_agent::lab::apiserver::Admin;
use plexus_agent::lab::page;
use plexus_cni::CniError;
use plexus_cni::args::CniArgs;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::node::{Node, meta};

const METRICS: &str = "127.0.0.1:9477";
pub(crate) const OBJECTS: &str = "/apis/whereabouts.cni.cncf.io/v1alpha1/namespaces/kube-system";

fn shared(name: &str, ranges: &[&str]) -> Value {
    let more: Vec<Value> = ranges[1..].iter().map(|range| json!({"range": range})).collect();
    json!({
        "cniVersion": "1.0.0", "name": name, "type": "macvlan", "master": "uplink0",
        "ipam": {"type": "whereabouts", "range": ranges[0], "ipRanges": more},
    })
}

impl Node {
    /// Allocations of a pool: offset, then `podref ifname`.
    fn pool(&self, name: &str) -> Vec<String> {
        let pool = self.api.admin.get(&format!("{OBJECTS}/ippools"), name).unwrap();
        let allocations = pool["spec"]["allocations"].as_object().unwrap();
        let text = |(offset, held): (&String, &Value)| {
            format!("{offset} {} {}", held["podref"].as_str().unwrap(), held["ifname"].as_str().unwrap())
        };
        allocations.iter().map(text).collect()
    }

    /// Names of all reservations.
    fn reservations(&self) -> Vec<String> {
        let all = self.api.admin.get(&format!("{OBJECTS}/overlappingrangeipreservations"), "").unwrap();
        let items = all["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Calls about whereabouts' objects since there were `earlier` calls; none may have been refused.
    pub(crate) fn pool_calls(&self, earlier: usize) -> Vec<String> {
        let calls = self.calls_since(earlier);
        assert!(calls.iter().all(|call| call.status != 403), "{calls:?}");
        let resources = ["ippools", "overlappingrangeipreservations", "nodeslicepools"];
        let ours = calls.iter().filter(|call| resources.contains(&&*call.resource));
        ours.map(|call| format!("{} {}", call.verb, call.resource)).collect()
    }
}

#[test]
fn a_pod_gets_addresses_of_the_clusters_pools_and_gives_them_back() {
    let metrics = ["--metrics", METRICS].map(str::to_owned);
    let Some(node) = Node::start_with(|_, setup| setup.arguments.extend(metrics)) else { return };
    node.network("wb", &shared("wb", &["10.77.0.0/24", "fd77::/64"]));
    let (one, two) = (node.pod("one", "wb"), node.pod("two", "wb"));
    node.added(&one, &meta());
    std::thread::sleep(Duration::from_millis(500));
    let earlier = node.calls_since(0).len();
    node.added(&two, &meta());
    let warm = ["create overlappingrangeipreservations", "patch ippools"];
    let mut calls = node.pool_calls(earlier);
    // What nodes in fast mode hold is looked at every few seconds.
    calls.retain(|call| call != "list nodeslicepools");
    assert_eq!(calls, [warm, warm].concat(), "two requests for each address");
    assert_eq!(node.pool("10.77.0.0-24"), ["1 default/one net1", "2 default/two net1"]);
    assert_eq!(node.pool("fd77---64"), ["1 default/one net1", "2 default/two net1"]);
    assert_eq!(node.reservations(), ["10.77.0.1", "10.77.0.2", "fd77--1", "fd77--2"]);
    node.status_when("two", |status| status.contains("10.77.0.2") && status.contains("fd77::2"));
    assert_the_pools_are_on_the_page();
    assert_plexusctl_shows_pools_holders_and_conflicts(&node);
    for pod in [&one, &two] {
        node.deleted(pod, &meta());
    }
    node.assert_nothing_attached(&one);
    assert_eq!((node.pool("10.77.0.0-24"), node.pool("fd77---64")), (Vec::new(), Vec::new()));
    assert_eq!(node.reservations(), Vec::<String>::new());
    node.pool_calls(0);
}

/// `plexusctl ipam` and `plexusctl ipam 10.77.0.0-24`, before and after another pool gave away an address that a pod has.
fn assert_plexusctl_shows_pools_holders_and_conflicts(node: &Node) {
    let ask = |pool: Option<&str>| {
        let answer = node.plexusd.ask(&Query::Ipam { pool: pool.map(str::to_owned) }).unwrap();
        assert_eq!(answer["errors"], json!([]));
        answer["pools"].as_array().unwrap().clone()
    };
    let all = ask(None);
    let named = |name: &str| all.iter().find(|pool| pool["name"] == name).unwrap();
    for name in ["10.77.0.0-24", "fd77---64"] {
        let pool = named(name);
        assert_eq!(
            (&pool["kind"], &pool["used"], &pool["holders"]),
            (&json!("whereabouts"), &json!(2), &Value::Null)
        );
        assert_eq!(pool["conflicts"], json!([]));
    }
    let one = ask(Some("10.77.0.0-24"));
    let holder = |holder: &Value| format!("{} {} {}", holder["address"], holder["pod"], holder["interface"]);
    let holders: Vec<_> = one[0]["holders"].as_array().unwrap().iter().map(holder).collect();
    assert_eq!(
        (one.len(), holders),
        (
            1,
            vec![
                r#""10.77.0.1" "default/one" "net1""#.to_owned(),
                r#""10.77.0.2" "default/two" "net1""#.to_owned()
            ]
        )
    );
    let pools = format!("{OBJECTS}/ippools");
    let stray = json!({
        "apiVersion": "whereabouts.cni.cncf.io/v1alpha1", "kind": "IPPool",
        "metadata": {"name": "10.77.0.0-30", "namespace": "kube-system"},
        "spec": {"range": "10.77.0.0/30", "allocations": {"1": {"id": "x", "podref": "default/stray", "ifname": "net1"}}},
    });
    node.api.admin.create(&stray).unwrap();
    let conflicts: Vec<Value> =
        ask(None).iter().flat_map(|pool| pool["conflicts"].as_array().unwrap().clone()).collect();
    assert!(conflicts.iter().any(|conflict| conflict["address"] == "10.77.0.1"), "{conflicts:?}");
    node.api.admin.delete(&pools, "10.77.0.0-30").unwrap();
    let unknown = node.plexusd.ask(&Query::Ipam { pool: Some("nowhere".into()) }).unwrap_err();
    assert!(unknown.to_string().contains("nowhere"), "{unknown}");
}

/// All metrics that docs/metrics.md promises where there is an API server.
fn assert_the_pools_are_on_the_page() {
    let (_, page) = page::get(METRICS, "/metrics").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("With an API server there are also:").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split(" | ").next().unwrap().split('`'))
        .filter(|word| word.starts_with("plexus_"))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("# TYPE {name} ")), "{name} in\n{page}");
    }
    assert!(
        page.contains(r#"plexus_ipam_cluster_pool_used{pool="10.77.0.0-24",range="10.77.0.0/24"} 2"#),
        "{page}"
    );
}

#[test]
fn a_del_while_the_api_server_is_away_gives_its_address_back_later() {
    let Some(mut node) = Node::start() else { return };
    node.network("wb", &shared("wb", &["10.77.0.0/24"]));
    let pod = node.pod("one", "wb");
    node.added(&pod, &meta());
    node.api.stop();
    let begun = Instant::now();
    node.deleted(&pod, &meta());
    println!("DEL without an API server took {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(20));
    node.assert_nothing_attached(&pod);
    let kept = || std::fs::read_dir(node.host.state_dir().join("releases")).unwrap().count();
    assert_eq!(kept(), 1, "the release is kept on disk");
    node.plexusd.stop().unwrap();
    node.plexusd.restart().unwrap();
    node.api.restart().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    while !(node.pool("10.77.0.0-24").is_empty() && node.reservations().is_empty()) {
        assert!(
            Instant::now() < deadline,
            "still held; the log of plexusd ends:\n{}",
            node.plexusd.log_tail()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn an_add_without_definitions_says_what_is_missing() {
    let Some(node) = Node::start() else { return };
    node.api
        .admin
        .delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "ippools.whereabouts.cni.cncf.io")
        .unwrap();
    node.network("wb", &shared("wb", &["10.77.0.0/24"]));
    let pod = node.pod("one", "wb");
    // The resource goes some moments after its definition.
    std::thread::sleep(Duration::from_secs(3));
    let said = node.refused(&pod, &meta());
    for part in ["wb", "net1", "ippools", "CustomResourceDefinition"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    node.assert_nothing_attached(&pod);
}

/// One agent's view of the cluster, with the rights of plexusd's account.
pub(crate) fn connect(node: &Node, name: &str) -> Arc<ApiServer> {
    let (catalog, calls) = (Arc::new(Catalog::default()), Arc::new(Calls::default()));
    let kubeconfig = Some(node.api.kubeconfig());
    cluster::start(kubeconfig, name.into(), "kube-system".into(), &catalog, &calls).unwrap()
}

fn ask<T>(
    cluster: &Cluster,
    config: &Value,
    id: &str,
    work: impl FnOnce(&IpamRequest) -> Result<T, CniError>,
) -> T {
    let args = CniArgs::parse(&format!("K8S_POD_NAMESPACE=default;K8S_POD_NAME={id}")).unwrap();
    work(&IpamRequest {
        network: "wb",
        container_id: id,
        ifname: "net1",
        config: config.as_object().unwrap(),
        args: &args,
        data_dirs: &[],
        boot_id: "",
        cluster: Some(cluster),
        deadline: Instant::now() + Duration::from_secs(100),
    })
    .unwrap()
}

/// Takes an address as the original does: pool first, reservation after; gives up after a lost reservation.
fn original_add(
    admin: &Admin,
    store: &dyn PoolStore,
    pool: &str,
    range: &range::Range,
    id: &str,
) -> Option<u128> {
    let deadline = Instant::now() + Duration::from_secs(100);
    let mut elsewhere = BTreeSet::new();
    for _ in 0..200 {
        let Some(found) = store.pool(pool, deadline).unwrap() else {
            store.create_pool(pool, &range.network.to_string(), deadline).ok();
            continue;
        };
        let offset = choose::lowest_free(range, &found.allocations, &elsewhere, 0)?;
        let name = names::reservation("", range.address(offset)?);
        if store.reservation(&name, deadline).unwrap().is_some() {
            elsewhere.insert(offset);
            continue;
        }
        let (podref, ifname) = (format!("default/{id}"), "net1".to_owned());
        let holder = json!({"id": id, "podref": podref, "ifname": ifname});
        if !original_change(admin, &found, offset, &holder) {
            continue;
        }
        let reservation = Reservation { name, podref, ifname, ..Reservation::default() };
        if store.reserve(&reservation, deadline).is_ok() {
            return Some(offset);
        }
        original_free(admin, store, pool, offset, id);
    }
    None
}

/// One entry of a pool, provided that the whole object still has the version that was read; else false.
fn original_change(admin: &Admin, pool: &IpPool, offset: u128, to: &Value) -> bool {
    let change = json!({
        "metadata": {"resourceVersion": pool.resource_version},
        "spec": {"allocations": {offset.to_string(): to}},
    });
    match admin.patch(&format!("{OBJECTS}/ippools"), &pool.name, "", &change) {
        Ok(_) => true,
        Err(error) if error.to_string().contains("the object has been modified") => false,
        Err(error) => panic!("{error}"),
    }
}

fn original_free(admin: &Admin, store: &dyn PoolStore, pool: &str, offset: u128, id: &str) {
    let deadline = Instant::now() + Duration::from_secs(100);
    loop {
        let found = store.pool(pool, deadline).unwrap().unwrap();
        let is_ours = found.allocations.get(&offset).is_some_and(|held| held.id == id);
        if !is_ours || original_change(admin, &found, offset, &Value::Null) {
            return;
        }
    }
}

#[test]
fn two_agents_and_an_original_share_a_pool_without_a_duplicate_or_a_leak() {
    let Some(node) = Node::start() else { return };
    let state = tempfile::tempdir().unwrap();
    let config = shared("wb", &["10.78.0.0/24"]);
    let text = range::RangeText { range: "10.78.0.0/24".into(), ..range::RangeText::default() };
    let range = range::Range::new(&text, "range").unwrap();
    let admin = &node.api.admin;
    let held = Mutex::new(BTreeSet::new());
    let given = |address: &str| assert!(held.lock().unwrap().insert(address.to_owned()), "{address} twice");
    let back = |address: &str| assert!(held.lock().unwrap().remove(address), "{address} back twice");
    std::thread::scope(|scope| {
        for agent in ["node-1", "node-2"] {
            let store = connect(&node, agent);
            let folder = Path::new(state.path()).join(agent);
            let cluster = Cluster::new(store, agent.into(), None, &folder);
            let (config, given, back) = (&config, &given, &back);
            scope.spawn(move || {
                std::thread::scope(|workers| {
                    for worker in 0..4 {
                        let cluster = &cluster;
                        workers.spawn(move || {
                            for round in 0..10 {
                                let id = format!("{agent}-{worker}-{round}");
                                let result =
                                    ask(cluster, config, &id, |request| Ipam::Whereabouts.add(request));
                                let address = result.ips[0].address.addr().to_string();
                                given(&address);
                                back(&address);
                                ask(cluster, config, &id, |request| Ipam::Whereabouts.del(request));
                            }
                        });
                    }
                });
                println!("{agent}: {} changes were tried again", cluster.retries());
                assert!(cluster.pending.is_empty());
            });
        }
        let (store, range) = (connect(&node, "node-3"), &range);
        let (given, back) = (&given, &back);
        scope.spawn(move || {
            for round in 0..20 {
                let id = format!("original-{round}");
                let Some(offset) = original_add(admin, &*store, "10.78.0.0-24", range, &id) else { continue };
                let address = range.address(offset).unwrap();
                given(&address.to_string());
                back(&address.to_string());
                original_free(admin, &*store, "10.78.0.0-24", offset, &id);
                let deadline = Instant::now() + Duration::from_secs(100);
                store.unreserve(&names::reservation("", address), None, deadline).unwrap();
            }
        });
    });
    assert_eq!(node.pool("10.78.0.0-24"), Vec::<String>::new());
    assert_eq!(node.reservations(), Vec::<String>::new());
}
