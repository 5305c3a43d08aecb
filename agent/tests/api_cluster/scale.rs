//! A large cluster: memory of plexusd, and what a warm ADD costs beside one without an API server.

use std::time::{Duration, Instant};

use plexus_agent::lab::apiserver;
use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_agent::lab::skip::require_binaries_or_skip;
use plexus_agent::lab::{DaemonSetup, Host, Pod, Runtime};
use serde_json::json;

use crate::node::{NETWORKS, Node, macvlan, meta};

const NETWORKS_MADE: usize = 5_000;
const PODS_MADE: usize = 500;
/// Most that plexusd may have resident, in KiB.
const RESIDENT_KIB_MAX: u64 = 60_000;
/// ADDs of each arm.
const ROUNDS: usize = 40;

#[test]
fn five_thousand_networks_and_five_hundred_pods_fit_into_60_mb() {
    let Some(standalone) = standalone_median() else { return };
    let Some(mut node) = Node::start_with(|api, _| {
        let started = Instant::now();
        let networks: Vec<_> = (0..NETWORKS_MADE)
            .map(|index| apiserver::network("default", &format!("mv{index}"), &macvlan("mv", 211)))
            .collect();
        let pods: Vec<_> = (0..PODS_MADE)
            .map(|index| {
                apiserver::pod("default", &format!("p{index}"), &json!({NETWORKS: format!("mv{index}")}))
            })
            .collect();
        api.admin.create_all(&networks).unwrap();
        api.admin.create_all(&pods).unwrap();
        println!("{NETWORKS_MADE} networks and {PODS_MADE} pods made in {:?}", started.elapsed());
    }) else {
        return;
    };
    let cluster = warm_median(&node, 0);
    let resident_kib = node.plexusd.resident_kib().unwrap();

    let mut setup = node.plexusd.setup().clone();
    setup.arguments.extend(["--status".into(), "background".into()]);
    node.plexusd.stop().unwrap();
    node.plexusd = setup.start().unwrap();
    let background = warm_median(&node, ROUNDS);

    let ratio = |arm: Duration| arm.as_secs_f64() / standalone.as_secs_f64();
    let report = format!(
        "plexusd has {resident_kib} KiB resident\n\
         median ADD, standalone: {standalone:?}\n\
         median ADD, cluster, status waited for: {cluster:?}, ratio {:.2}\n\
         median ADD, cluster, status in the background: {background:?}, ratio {:.2}\n",
        ratio(cluster),
        ratio(background),
    );
    print!("{report}");
    assert!(resident_kib <= RESIDENT_KIB_MAX, "{report}");
}

/// The median ADD of pods from `first` on, which plexusd knows. None of them asks the API server anything.
fn warm_median(node: &Node, first: usize) -> Duration {
    let known = |index: usize| {
        let name = format!("p{index}");
        let mut pod = node.host.pod(&name).unwrap();
        let object = node.api.admin.get("/api/v1/namespaces/default/pods", &name).unwrap();
        object["metadata"]["uid"].as_str().unwrap().clone_into(&mut pod.uid);
        pod
    };
    let pods: Vec<Pod> = (first..first + ROUNDS).map(known).collect();
    // Until the first lists are read.
    node.added(&pods[0], &meta());
    std::thread::sleep(Duration::from_secs(2));
    let earlier = node.calls_since(0).len();
    let times = pods[1..].iter().map(|pod| timed(|| drop(node.added(pod, &meta())))).collect();
    let reads =
        node.calls_since(earlier).into_iter().filter(|call| call.verb == "get" || call.verb == "list");
    assert_eq!(reads.collect::<Vec<_>>(), [], "warm ADDs ask nothing");
    median(times)
}

/// The median ADD of the same pods on a node whose plexusd reads manifests.
fn standalone_median() -> Option<Duration> {
    let binaries = require_binaries_or_skip("a large cluster")?;
    let host = Host::enter().unwrap();
    let outside = host.netns_named("outside").unwrap();
    host.cable("uplink0", &outside, "eth0").unwrap();
    write_network(&host.manifests_dir(), "default", "mv", &macvlan("mv", 211)).unwrap();
    let pods: Vec<Pod> = (0..ROUNDS).map(|index| host.pod(&format!("p{index}")).unwrap()).collect();
    for pod in &pods {
        write_pod(&host.manifests_dir(), pod, "mv").unwrap();
    }
    let mut setup = DaemonSetup::new(&host, &binaries);
    setup.log = host.dir().join("standalone.log");
    let _plexusd = setup.start().unwrap();
    let runtime = Runtime::new(&host, &binaries);
    let add = |pod| drop(runtime.add(pod, "eth0", &meta()).unwrap().success().unwrap());
    add(&pods[0]);
    Some(median(pods[1..].iter().map(|pod| timed(|| add(pod))).collect()))
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
