//! The metrics page and the probes, over HTTP, of a plexusd that has served calls.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::path::Path;

use plexus_agent::lab::page;
use plexus_cni::Code;
use serde_json::json;

use crate::support::{Node, failed, fastpath, macvlan, meta, succeeded, with};

const ADDRESS: &str = "127.0.0.1:9477";
/// How names of metrics begin that are about the cluster's pools of addresses.
const CLUSTER: [&str; 3] = ["plexus_ipam_cluster_", "plexus_ipam_slice", "plexus_ipam_reconciler_"];

/// Status and body of a GET, asked by the test's thread, which is in the node's namespace.
fn get(path: &str) -> (u16, String) {
    page::get(ADDRESS, path).unwrap()
}

fn node() -> Option<Node> {
    Node::start_with(|setup| {
        setup.arguments = ["--metrics", ADDRESS, "--metrics-multus-names"].map(str::to_owned).into();
    })
}

/// The number of the one sample whose line begins so.
fn sample(page: &str, start: &str) -> f64 {
    let found: Vec<_> = page.lines().filter_map(|line| line.strip_prefix(start)).collect();
    assert_eq!(found.len(), 1, "{start} in\n{page}");
    found[0].trim().parse().unwrap()
}

/// Names of metrics that a text mentions, without the ends that samples have.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
    let named = words.filter(|word| word.starts_with("plexus_") || word.starts_with("multus_server"));
    let base = |word: &str| {
        let ends = ["_total", "_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    named.map(base).collect()
}

fn checkout(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

#[test]
fn the_page_follows_calls_ports_and_addresses() {
    let Some(node) = node() else { return };
    assert_eq!((get("/healthz").0, get("/readyz").0, get("/else").0), (200, 200, 404));
    let pod = node.known_pod("a", "");
    succeeded(&node.add(&pod, "eth0", &meta(macvlan())));
    let bad = with(macvlan(), "master", json!("nowhere0"));
    failed(&node.add(&pod, "eth1", &bad), Code::InvalidConfig);
    // Nobody has that address, so the pod asks for it: a frame that its port counts.
    let speak = || UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"x", "10.1.0.200:9"));
    pod.netns.within(speak).unwrap().unwrap();
    let (status, page) = get("/metrics");
    assert!(status == 200 && page.ends_with("# EOF\n"));
    for (start, expected) in [
        (r#"plexus_request_seconds_count{command="ADD",plugin="plexus",result="ok"}"#, 1.0),
        (r#"plexus_request_seconds_count{command="ADD",plugin="macvlan",result="invalid_config"}"#, 1.0),
        (r#"plexus_plugin_seconds_count{command="ADD",plugin="macvlan",result="ok"}"#, 1.0),
        (r#"multus_server_request_total{handler="/cni",code="200",method="post"}"#, 1.0),
        (r#"multus_server_request_total{handler="/readyz",code="200",method="get"}"#, 1.0),
        (r#"plexus_cache_objects{kind="pods"}"#, 1.0),
        (r#"plexus_ipam_pool_used{network="lan",range="10.1.0.1-10.1.0.254"}"#, 1.0),
        (r#"plexus_ipam_pool_size{network="lan",range="10.1.0.1-10.1.0.254"}"#, 253.0),
        ("plexus_records ", 1.0),
        ("plexus_ports_used ", 1.0),
        ("plexus_queue_depth ", 0.0),
        ("plexus_port_series_left_out ", 0.0),
    ] {
        assert!((sample(&page, start) - expected).abs() < 1e-9, "{start}\n{page}");
    }
    let port = r#"{namespace="default",pod="a",network="lan",interface="eth0",direction="tx"}"#;
    assert!(sample(&page, &format!("plexus_port_packets_total{port}")) > 0.0);
    succeeded(&node.del(&pod, "eth0", &meta(macvlan())));
    let (_, page) = get("/metrics");
    assert_eq!((sample(&page, "plexus_records "), page.contains(port)), (0.0, false));
    assert!(sample(&page, r#"plexus_network_packets_total{network="lan",direction="tx"}"#) > 0.0);
    node.assert_clean(&[&pod]);
}

#[test]
fn every_metric_is_documented_and_the_dashboard_names_no_other() {
    let Some(node) = node() else { return };
    let pod = node.known_pod("a", "");
    succeeded(&node.add(&pod, "eth0", &meta(fastpath())));
    let (_, page) = get("/metrics");
    let kinds = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let served: BTreeSet<String> = kinds.map(str::to_owned).collect();
    // `plexus_cache_…` in the text stands for all of them.
    let documented: BTreeSet<_> =
        names(&checkout("docs/metrics.md")).into_iter().filter(|name| !name.ends_with('_')).collect();
    // Without an API server; `api_cluster` looks for the others.
    let is_of_cluster = |name: &str| CLUSTER.iter().any(|start| name.starts_with(start));
    let here: BTreeSet<_> = documented.iter().filter(|name| !is_of_cluster(name)).cloned().collect();
    assert_eq!(served, here);
    let dashboard = checkout("deploy/dashboards/plexus.json");
    let unknown: Vec<_> = names(&dashboard).difference(&documented).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
    succeeded(&node.del(&pod, "eth0", &meta(fastpath())));
}
