//! A large cluster: memory of plexusd, and what a warm ADD costs beside one without an API server.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plexus_agent::lab::apiserver;
use plexus_agent::lab::manifests::{write_network, write_pod};
use plexus_agent::lab::{Binaries, DaemonSetup, Host, Pod, Runtime};
use serde_json::json;

use crate::node::{NETWORKS, Node, macvlan, meta};

const NETWORKS_MADE: usize = 5_000;
const PODS_MADE: usize = 500;
/// Most that plexusd may have resident, in KiB.
const RESIDENT_KIB_MAX: u64 = 60_000;
/// Before each ADD: what follows the one before it (its events, a status in the background, the API server's own work on the
/// same processors) is over by then.
const REST: Duration = Duration::from_millis(50);
/// ADDs of each arm in each comparison.
const ROUNDS: usize = 40;
/// Comparisons.
const COMPARISONS: usize = 2;

#[test]
fn five_thousand_networks_and_five_hundred_pods_fit_into_60_mb() {
    // Before this thread enters a host: the other one must not be inside of it.
    let standalone = Standalone::start();
    let Some(mut node) = Node::start_with(|api, _| {
        let started = Instant::now();
        let network = |index| apiserver::network("default", &format!("mv{index}"), &macvlan("mv", 211));
        let pod =
            |index| apiserver::pod("default", &format!("p{index}"), &json!({NETWORKS: format!("mv{index}")}));
        api.admin.create_all(&(0..NETWORKS_MADE).map(network).collect::<Vec<_>>()).unwrap();
        api.admin.create_all(&(0..PODS_MADE).map(pod).collect::<Vec<_>>()).unwrap();
        println!("{NETWORKS_MADE} networks and {PODS_MADE} pods made in {:?}", started.elapsed());
    }) else {
        return;
    };
    let waited = compare(&node, &standalone, 0);
    let resident_kib = node.plexusd.resident_kib().unwrap();

    let mut setup = node.plexusd.setup().clone();
    setup.arguments.extend(["--status".into(), "background".into()]);
    node.plexusd.stop().unwrap();
    node.plexusd = setup.start().unwrap();
    let background = compare(&node, &standalone, ROUNDS);
    standalone.end();

    let report = format!(
        "plexusd has {resident_kib} KiB resident\n\
         median ADD, status waited for: {waited}\n\
         median ADD, status in the background: {background}\n"
    );
    print!("{report}");
    assert!(resident_kib <= RESIDENT_KIB_MAX, "{report}");
}

/// Attaches pods from `first` on, which plexusd knows, in turns with the other arm. None of them asks the API server for
/// anything. What came out, for people: whether it is fast enough is no matter of a test.
fn compare(node: &Node, standalone: &Standalone, first: usize) -> String {
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
    standalone.attach();
    std::thread::sleep(Duration::from_secs(2));
    let earlier = node.calls_since(0).len();
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for pod in &pods[1..] {
        std::thread::sleep(REST);
        here.push(timed(|| drop(node.added(pod, &meta()))));
        std::thread::sleep(REST);
        there.push(standalone.attach());
    }
    let reads =
        node.calls_since(earlier).into_iter().filter(|call| call.verb == "get" || call.verb == "list");
    assert_eq!(reads.collect::<Vec<_>>(), [], "warm ADDs ask nothing");
    let (here, there) = (median(here), median(there));
    format!("{here:?}, standalone {there:?}, ratio {:.2}", here.as_secs_f64() / there.as_secs_f64())
}

/// The other arm: a node whose plexusd reads manifests, on a thread of its own. It is made when it is first asked.
struct Standalone {
    requests: Sender<()>,
    times: Receiver<Duration>,
    thread: JoinHandle<()>,
}

impl Standalone {
    fn start() -> Self {
        let ((requests, asked), (done, times)) = (channel(), channel());
        let thread = std::thread::spawn(move || serve(&asked, &done));
        Self { requests, times, thread }
    }

    /// Waits until the other node is gone.
    fn end(self) {
        drop(self.requests);
        self.thread.join().expect("the other node ends well");
    }

    /// How long the ADD of one more pod takes.
    fn attach(&self) -> Duration {
        self.requests.send(()).expect("the other node runs");
        self.times.recv().expect("the other node attaches a pod")
    }
}

fn serve(asked: &Receiver<()>, done: &Sender<Duration>) {
    let mut asked = asked.iter().peekable();
    if asked.peek().is_none() {
        return;
    }
    let binaries = Binaries::find().unwrap();
    let host = Host::enter().unwrap();
    let outside = host.netns_named("outside").unwrap();
    host.cable("uplink0", &outside, "eth0").unwrap();
    write_network(&host.manifests_dir(), "default", "mv", &macvlan("mv", 211)).unwrap();
    let pods: Vec<Pod> =
        (0..ROUNDS * COMPARISONS).map(|index| host.pod(&format!("p{index}")).unwrap()).collect();
    for pod in &pods {
        write_pod(&host.manifests_dir(), pod, "mv").unwrap();
    }
    let _plexusd = DaemonSetup::new(&host, &binaries).start().unwrap();
    let runtime = Runtime::new(&host, &binaries);
    let add = |pod| drop(runtime.add(pod, "eth0", &meta()).unwrap().success().unwrap());
    for (pod, ()) in pods.iter().zip(asked) {
        if done.send(timed(|| add(pod))).is_err() {
            return;
        }
    }
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
