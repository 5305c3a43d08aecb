//! The meta-plugin: which networks a pod gets, in which order, and what is told of them.

use plexus_agent::lab::Pod;
use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::kernel::{addresses, link};
use crate::support::plugin::REFUSE_ADD;
use crate::support::{Node, failed, fastpath, macvlan, meta, succeeded, wait, with};

/// The config whose default network is a macvlan of its own.
pub(crate) fn default_only() -> Value {
    meta(with(macvlan(), "name", json!("cluster")))
}

/// What plexusd holds as network-status of the only pod.
pub(crate) fn network_status(node: &Node) -> Value {
    node.query(&Query::Pods)[0]["networkStatus"].clone()
}

/// Waits until the network's manifest is known, by an ADD that needs it.
fn add_when_known(node: &Node, pod: &Pod, config: &Value) -> Value {
    wait::until("the manifests are known", || {
        let outcome = node.add(pod, "eth0", config);
        if outcome.error_code().is_ok_and(|code| code == u64::from(Code::NetworkNotFound.number())) {
            return None;
        }
        Some(succeeded(&outcome))
    })
}

#[test]
fn a_pod_gets_the_default_network_first_and_its_own_in_order() {
    let Some(node) = Node::start() else { return };
    node.network("lan", &macvlan());
    node.network("blue", &fastpath());
    let pod = node.known_pod("a", "lan, default/blue , lan@second");
    let result = add_when_known(&node, &pod, &default_only());
    assert_eq!(
        result["interfaces"].as_array().unwrap().len(),
        1,
        "the runtime gets the default network's result"
    );
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    let kinds = ["eth0", "net1", "net2", "second"]
        .map(|name| link(&pod.netns, name).unwrap()["linkinfo"]["info_kind"].as_str().unwrap().to_owned());
    assert_eq!(kinds, ["macvlan", "macvlan", "veth", "macvlan"]);
    assert_eq!(
        (node.leases("cluster").len(), node.leases("lan").len(), node.leases("blue").len()),
        (1, 2, 1)
    );
    succeeded(&node.check(&pod, "eth0", &default_only(), &result));
    succeeded(&node.del(&pod, "eth0", &default_only()));
    node.assert_clean(&[&pod]);
}

#[test]
fn network_status_has_the_shape_that_multus_writes() {
    let Some(node) = Node::start() else { return };
    let mut plain = macvlan();
    plain["ipam"]["routes"] = json!([]);
    node.network("lan", &plain);
    let pod = node.known_pod("a", "lan");
    add_when_known(&node, &pod, &default_only());
    let mac = |name: &str| link(&pod.netns, name).unwrap()["address"].clone();
    let mtu = |name: &str| link(&pod.netns, name).unwrap()["mtu"].clone();
    let expected = json!([
        {
            "name": "cluster", "interface": "eth0", "ips": ["10.1.0.2"], "mac": mac("eth0"), "mtu": mtu("eth0"),
            "default": true, "dns": {}, "gateway": ["10.1.0.1"],
        },
        {"name": "default/lan", "interface": "net1", "ips": ["10.1.0.2"], "mac": mac("net1"), "mtu": mtu("net1"), "dns": {}},
    ]);
    // The order of keys counts, too.
    assert_eq!(network_status(&node).to_string(), expected.to_string());
}

#[test]
fn the_default_network_can_be_replaced_by_the_pod() {
    let Some(node) = Node::start() else { return };
    write_network(&node.host.manifests_dir(), "kube-system", "special", &fastpath()).unwrap();
    let pod = node.pod("a");
    let manifest = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "a", "namespace": "default", "annotations": {"v1.multus-cni.io/default-network": "special"}},
    });
    std::fs::write(node.host.manifests_dir().join("pod-a.json"), manifest.to_string()).unwrap();
    let result = add_when_known(&node, &pod, &default_only());
    assert_eq!(result["ips"][0]["address"], "10.2.0.2/24");
    assert_eq!(network_status(&node)[0]["name"], "kube-system/special");
    assert_eq!(network_status(&node)[0]["default"], true);
}

#[test]
fn a_network_that_does_not_exist_is_named_and_nothing_is_attached() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "nowhere");
    let text = failed(&node.add(&pod, "eth0", &default_only()), Code::NetworkNotFound);
    for part in ["default/nowhere", "default/a", "k8s.v1.cni.cncf.io/networks", "element 0"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    node.assert_clean(&[&pod]);
    succeeded(&node.del(&pod, "eth0", &default_only()));
}

#[test]
fn isolation_refuses_networks_of_foreign_namespaces() {
    let Some(node) = Node::start() else { return };
    let manifests = node.host.manifests_dir();
    for (namespace, config) in [("default", macvlan()), ("own", fastpath()), ("foreign", fastpath())] {
        write_network(&manifests, namespace, "net", &config).unwrap();
    }
    let isolated = with(default_only(), "namespaceIsolation", json!(true));
    let mut pod = node.pod("a");
    pod.namespace = "own".into();
    write_pod(&manifests, &pod, "net,default/net").unwrap();
    add_when_known(&node, &pod, &isolated);
    succeeded(&node.del(&pod, "eth0", &isolated));
    write_pod(&manifests, &pod, "foreign/net").unwrap();
    let text = wait::until("the new annotation is followed", || {
        let outcome = node.add(&pod, "eth0", &isolated);
        if outcome.code != 0 {
            return Some(failed(&outcome, Code::NotAuthorized));
        }
        succeeded(&node.del(&pod, "eth0", &isolated));
        None
    });
    assert!(text.contains("foreign/net") && text.contains("namespaceIsolation"), "{text}");
    node.assert_clean(&[&pod]);
    succeeded(&node.add(&pod, "eth0", &default_only()));
}

#[test]
fn a_network_that_is_edited_counts_for_the_next_pod() {
    let Some(node) = Node::start() else { return };
    node.network("lan", &macvlan());
    let first = node.known_pod("a", "lan");
    let result = add_when_known(&node, &first, &default_only());
    let mut edited = fastpath();
    edited["ipam"]["ranges"] = json!([[{"subnet": "10.77.0.0/24"}]]);
    node.network("lan", &edited);
    let second = node.known_pod("b", "lan");
    wait::until("the edit is followed", || {
        succeeded(&node.add(&second, "eth0", &default_only()));
        let seen = addresses(&second.netns, "net1");
        if seen == ["10.77.0.2/24"] {
            return Some(());
        }
        succeeded(&node.del(&second, "eth0", &default_only()));
        None
    });
    // The first pod keeps what it has.
    assert_eq!(addresses(&first.netns, "net1"), ["10.1.0.2/24"]);
    succeeded(&node.check(&first, "eth0", &default_only(), &result));
    for pod in [&first, &second] {
        succeeded(&node.del(pod, "eth0", &default_only()));
    }
    node.assert_clean(&[&first, &second]);
}

#[test]
fn c032_a_pod_whose_manifest_comes_late_is_waited_for() {
    let Some(node) = Node::start() else { return };
    node.network("lan", &macvlan());
    let pod = node.pod("a");
    let (runtime, config) = (&node.runtime, default_only());
    let result = std::thread::scope(|scope| {
        let adding = scope.spawn(|| runtime.add(&pod, "eth0", &config).unwrap());
        write_pod(&node.host.manifests_dir(), &pod, "lan").unwrap();
        succeeded(&adding.join().unwrap())
    });
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    assert!(link(&pod.netns, "net1").is_some());
}

#[test]
fn c057_a_third_network_that_fails_undoes_the_two_before() {
    let Some(node) = Node::start() else { return };
    let refusing = node.plugin("vendor", REFUSE_ADD);
    node.network("blue", &fastpath());
    node.network("poor", &json!({"cniVersion": "1.0.0", "name": "poor", "type": "vendor"}));
    let pod = node.known_pod("a", "blue,poor");
    let text = wait::until("the networks are known", || {
        let outcome = node.add(&pod, "eth0", &default_only());
        let is_known = !outcome.stdout.contains("does not exist");
        is_known.then(|| failed(&outcome, Code::Other(777)))
    });
    for part in ["default/poor", "net2", "vendor", "no luck", "default/a"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    node.assert_clean(&[&pod]);
    assert_eq!(refusing.verbs(), ["ADD", "DEL"]);
    succeeded(&node.del(&pod, "eth0", &default_only()));
    assert_eq!(refusing.verbs(), ["ADD", "DEL"]);
}

#[test]
fn a_config_that_cannot_work_is_refused_before_any_network_is_attached() {
    let Some(node) = Node::start() else { return };
    let watching = node.plugin("vendor", REFUSE_ADD);
    node.network("first", &json!({"cniVersion": "1.0.0", "name": "first", "type": "vendor"}));
    node.network("wrong", &with(macvlan(), "mode", json!("sideways")));
    let pod = node.known_pod("a", "first,wrong");
    let text = wait::until("the networks are known", || {
        let outcome = node.add(&pod, "eth0", &default_only());
        let is_known = !outcome.stdout.contains("does not exist");
        is_known.then(|| failed(&outcome, Code::InvalidConfig))
    });
    assert!(text.contains("mode") && text.contains("sideways") && text.contains("default/wrong"), "{text}");
    assert_eq!(watching.verbs(), Vec::<String>::new());
    node.assert_clean(&[&pod]);
}

#[test]
fn c042_a_second_add_of_a_pod_is_refused_and_nothing_is_doubled() {
    let Some(node) = Node::start() else { return };
    node.network("blue", &fastpath());
    let pod = node.known_pod("a", "blue");
    let result = add_when_known(&node, &pod, &default_only());
    failed(&node.add(&pod, "eth0", &default_only()), Code::AlreadyAttached);
    assert_eq!((node.leases("cluster").len(), node.leases("blue").len()), (1, 1));
    succeeded(&node.check(&pod, "eth0", &default_only(), &result));
    for _ in 0..10 {
        succeeded(&node.del(&pod, "eth0", &default_only()));
        node.assert_clean(&[&pod]);
    }
}
