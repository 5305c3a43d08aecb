//! Running pods follow what changes in their networks and annotations.

use std::fs;
use std::time::{Duration, Instant};

use plexus_agent::lab::Pod;
use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_agent::lab::traffic::{Flow, FlowSpec};
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::meta::default_only;
use crate::support::kernel::addresses;
use crate::support::{Node, fastpath, meta, succeeded, wait};

/// From the edit to the limit in the data plane.
const WITHIN: Duration = Duration::from_secs(1);
/// Of tests that are not about the time; shorter than the agent's period, in which it would look anyway.
const PATIENCE: Duration = Duration::from_secs(8);

fn limited(egress_bps: u64) -> Value {
    let limit = json!({"type": "bandwidth", "egressRate": egress_bps, "capabilities": {"bandwidth": true}});
    json!({"cniVersion": "1.1.0", "name": "blue", "plugins": [fastpath(), limit]})
}

/// A node whose network blue is limited, and two pods on it by this annotation.
fn node_and_pods(annotation: &str) -> Option<(Node, [(Pod, Value); 2])> {
    let node = Node::start()?;
    node.network("blue", &limited(2_000_000));
    let pods = ["a", "b"].map(|name| {
        let pod = node.known_pod(name, annotation);
        let result = wait::until("the network is known", || {
            let outcome = node.add(&pod, "eth0", &default_only());
            (!outcome.stdout.contains("does not exist")).then(|| succeeded(&outcome))
        });
        (pod, result)
    });
    Some((node, pods))
}

/// The limits in the data plane's maps: of what each pod's interface sends, in bits per second.
fn egress_bps(node: &Node, ifname: &str) -> Vec<Option<u64>> {
    let ports = node.query(&Query::Ports);
    let ports = ports.as_array().unwrap().iter().filter(|port| port["interface"] == ifname);
    ports.map(|port| port["state"]["egress"]["rateBps"].as_u64()).collect()
}

/// Waits for the limits, and longer than a user would: this machine may have more to do. Returns how long it took.
#[track_caller]
fn expect_egress(node: &Node, ifname: &str, expected: &[Option<u64>]) -> Duration {
    let begun = Instant::now();
    loop {
        let seen = egress_bps(node, ifname);
        if seen == expected {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "{seen:?} instead of {expected:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn end(node: &Node, pods: &[(Pod, Value); 2]) {
    for (pod, result) in pods {
        succeeded(&node.check(pod, "eth0", &default_only(), result));
        succeeded(&node.del(pod, "eth0", &default_only()));
    }
    node.assert_clean(&[&pods[0].0, &pods[1].0]);
}

/// What `from` gets through to `to` over `net1`, in bits per second.
fn steady_bps(from: &Pod, to: &Pod) -> f64 {
    let address: std::net::IpAddr =
        addresses(&to.netns, "net1")[0].split('/').next().unwrap().parse().unwrap();
    let spec = FlowSpec {
        to: (address, 5001).into(),
        rate_pps: 2_000,
        payload_bytes: 1_000,
        duration: Duration::from_millis(1500),
        warm_up: Duration::from_millis(500),
    };
    Flow::start(&from.netns, &to.netns, spec).unwrap().wait().unwrap().steady_bps
}

#[test]
fn an_edited_network_changes_running_pods_within_a_second_and_a_restart_keeps_it() {
    let Some((mut node, pods)) = node_and_pods("blue") else { return };
    expect_egress(&node, "net1", &[Some(2_000_000), Some(2_000_000)]);
    let edit = |egress_bps| {
        node.network("blue", &limited(egress_bps));
        expect_egress(&node, "net1", &[Some(egress_bps), Some(egress_bps)])
    };
    let fastest = [5_000_000, 6_000_000, 8_000_000].map(edit).into_iter().min().unwrap();
    assert!(fastest < WITHIN, "{fastest:?}");
    let seen = steady_bps(&pods[0].0, &pods[1].0);
    assert!((7_000_000.0..9_000_000.0).contains(&seen), "{seen} bit/s");
    node.plexusd.kill().unwrap();
    node.plexusd.restart().unwrap();
    expect_egress(&node, "net1", &[Some(8_000_000), Some(8_000_000)]);
    // Without a limit in the new config there is none.
    let unlimited =
        json!({"cniVersion": "1.1.0", "name": "blue", "plugins": [fastpath(), {"type": "bandwidth"}]});
    node.network("blue", &unlimited);
    expect_egress(&node, "net1", &[None, None]);
    end(&node, &pods);
}

#[test]
fn an_edit_that_came_while_no_agent_was_there_is_followed_at_the_start() {
    let Some((mut node, pods)) = node_and_pods("blue") else { return };
    node.plexusd.kill().unwrap();
    node.network("blue", &limited(6_000_000));
    node.plexusd.restart().unwrap();
    expect_egress(&node, "net1", &[Some(6_000_000), Some(6_000_000)]);
    end(&node, &pods);
}

#[test]
fn a_bad_edit_changes_nothing_and_is_told() {
    let Some((node, pods)) = node_and_pods("blue") else { return };
    let explained =
        |node: &Node| node.query(&Query::Explain { pod: "default/a".into() })["findings"].to_string();
    for bad in [limited(3), json!({"cniVersion": "1.1.0", "name": "blue", "plugins": []})] {
        node.network("blue", &bad);
        wait::until("the refusal is told", || explained(&node).contains("stays as it is").then_some(()));
        expect_egress(&node, "net1", &[Some(2_000_000), Some(2_000_000)]);
    }
    // What cannot be changed live is left for new pods, and what can is taken.
    let mut other = limited(4_000_000);
    other["plugins"][0]["mtu"] = json!(1400);
    node.network("blue", &other);
    expect_egress(&node, "net1", &[Some(4_000_000), Some(4_000_000)]);
    assert!(!explained(&node).contains("stays as it is"), "{}", explained(&node));
    end(&node, &pods);
}

#[test]
fn an_edited_annotation_changes_its_pod_alone_and_goes_before_the_network() {
    let element = |limits: Value| json!([{"name": "blue", "bandwidth": limits}]).to_string();
    let Some((node, pods)) = node_and_pods(&element(json!({"egressRate": 5_000_000}))) else { return };
    let manifests = node.host.manifests_dir();
    write_pod(&manifests, &pods[0].0, &element(json!({"egressRate": 7_000_000, "egressBurst": 70_000})))
        .unwrap();
    expect_egress(&node, "net1", &[Some(7_000_000), Some(5_000_000)]);
    write_network(&manifests, "default", "blue", &limited(9_000_000)).unwrap();
    write_pod(&manifests, &pods[1].0, "blue").unwrap();
    expect_egress(&node, "net1", &[Some(7_000_000), Some(9_000_000)]);
    end(&node, &pods);
}

#[test]
fn the_kubernetes_annotations_are_followed_on_the_default_network() {
    let Some(node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    let mut config = meta(limited(2_000_000));
    let passed = json!({"bandwidth": {"egressRate": 3_000_000, "egressBurst": u32::MAX}});
    config["runtimeConfig"] = passed;
    let manifest = |egress: &str| {
        let metadata = json!({
            "namespace": pod.namespace, "name": pod.name, "uid": pod.uid,
            "annotations": {"kubernetes.io/egress-bandwidth": egress},
        });
        let manifest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}});
        fs::write(node.host.manifests_dir().join("pod-default-a.yaml"), manifest.to_string()).unwrap();
    };
    manifest("3M");
    std::thread::sleep(Duration::from_millis(300));
    let result = succeeded(&node.add(&pod, "eth0", &config));
    expect_egress(&node, "eth0", &[Some(3_000_000)]);
    let port = node.query(&Query::Ports)[0].clone();
    assert_eq!(port["egress"]["burstBits"], 750_000, "what a runtime passes for no burst is none");
    manifest("12M");
    expect_egress(&node, "eth0", &[Some(12_000_000)]);
    succeeded(&node.check(&pod, "eth0", &config, &result));
    succeeded(&node.del(&pod, "eth0", &config));
    node.assert_clean(&[&pod]);
}
