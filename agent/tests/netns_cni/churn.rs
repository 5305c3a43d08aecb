//! Many pods that come and go in random order and at once: afterwards kernel, records and reservations agree, and when
//! the last one has gone nothing is left.

use std::collections::BTreeMap;
use std::fs;

use plexus_agent::lab::{Pod, Runtime};
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::kernel::addresses;
use crate::support::random::Random;
use crate::support::{Node, fastpath, macvlan, with};

/// Pods, where the environment does not say.
const PODS: usize = 200;
const PODS_VARIABLE: &str = "PLEXUS_CHURN_PODS";
/// A failing run is repeated with its seed in this variable.
const SEED_VARIABLE: &str = "PLEXUS_SEED";
/// Calls at once.
const THREADS: usize = 6;
/// Of so many ADDs one is followed by its DEL at once.
const SHORT_LIVED: usize = 8;

/// What is attached: by pod and interface, the address.
type Model = BTreeMap<(usize, &'static str), String>;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// A network of each kind that this kernel has, with room for a thousand addresses.
fn networks() -> [(&'static str, Value); 4] {
    let ipam =
        |third: u8| json!({"type": "host-local", "ranges": [[{"subnet": format!("10.{third}.0.0/22")}]]});
    let own = |name: &str, third: u8, keys: Value| {
        let config = json!({"cniVersion": "1.1.0", "name": name, "ipam": ipam(third)});
        keys.as_object().unwrap().iter().fold(config, |config, (key, value)| with(config, key, value.clone()))
    };
    [
        ("net1", with(macvlan(), "ipam", ipam(21))),
        ("net2", with(fastpath(), "ipam", ipam(22))),
        ("net3", own("cluster", 23, json!({"type": "bridge", "bridge": "cni0", "isGateway": true}))),
        ("net4", own("routed", 24, json!({"type": "ptp"}))),
    ]
}

/// One thread's pods.
struct Worker<'a> {
    runtime: &'a Runtime,
    pods: &'a [Pod],
    networks: &'a [(&'static str, Value); 4],
    random: Random,
    model: Model,
    /// How to repeat the run.
    seed: u64,
}

impl Worker<'_> {
    fn add(&mut self, pod: usize, network: usize) {
        let (ifname, config) = &self.networks[network];
        let outcome = self.runtime.add(&self.pods[pod], ifname, config).unwrap();
        let seed = self.seed;
        assert_eq!(outcome.code, 0, "{SEED_VARIABLE}={seed}: {} {}", outcome.stdout, outcome.stderr);
        let address = outcome.json().unwrap()["ips"][0]["address"].as_str().unwrap().to_owned();
        assert!(self.model.insert((pod, ifname), address).is_none());
    }

    fn del(&mut self, pod: usize, network: usize) {
        let (ifname, config) = &self.networks[network];
        let outcome = self.runtime.del(&self.pods[pod], ifname, config).unwrap();
        let seed = self.seed;
        assert_eq!(outcome.code, 0, "{SEED_VARIABLE}={seed}: {} {}", outcome.stdout, outcome.stderr);
        self.model.remove(&(pod, ifname));
    }

    /// Every interface of these pods, in random order.
    fn shuffled(&mut self, own: &[usize]) -> Vec<(usize, usize)> {
        let mut all: Vec<(usize, usize)> =
            own.iter().flat_map(|pod| (0..self.networks.len()).map(|network| (*pod, network))).collect();
        for at in (1..all.len()).rev() {
            all.swap(at, self.random.below(at + 1));
        }
        all
    }

    fn come(&mut self, own: &[usize]) {
        for (pod, network) in self.shuffled(own) {
            self.add(pod, network);
            if self.random.below(SHORT_LIVED) == 0 {
                self.del(pod, network);
                if self.random.below(2) == 0 {
                    self.add(pod, network);
                }
            }
        }
    }

    fn go(&mut self, own: &[usize]) {
        for (pod, network) in self.shuffled(own) {
            // A DEL of what is not there any more is no mistake either.
            self.del(pod, network);
        }
    }
}

/// Each worker with its own pods: no two calls for one pod at once, as runtimes do it.
fn in_parallel<'a>(workers: &mut [Worker<'a>], count: usize, work: fn(&mut Worker<'a>, &[usize])) {
    std::thread::scope(|scope| {
        for (at, worker) in workers.iter_mut().enumerate() {
            let own: Vec<usize> = (0..count).filter(|pod| pod % THREADS == at).collect();
            scope.spawn(move || work(worker, &own));
        }
    });
}

/// Kernel = records = reservations = ports = model (C159, C160).
fn assert_agrees(node: &Node, pods: &[Pod], networks: &[(&'static str, Value); 4], model: &Model, seed: u64) {
    let repeat = format!("{SEED_VARIABLE}={seed}");
    for (ifname, config) in networks {
        let attached: Vec<_> = model.iter().filter(|((_, name), _)| name == ifname).collect();
        let mut expected: Vec<&str> =
            attached.iter().map(|(_, address)| address.split('/').next().unwrap()).collect();
        expected.sort_unstable();
        let total = expected.len();
        expected.dedup();
        assert_eq!(expected.len(), total, "{repeat}: an address has two owners");
        assert_eq!(node.leases(config["name"].as_str().unwrap()), expected, "{repeat}");
        for ((pod, ifname), address) in attached {
            assert_eq!(addresses(&pods[*pod].netns, ifname), [&**address], "{repeat}");
        }
    }
    assert_eq!(node.query(&Query::Status)["portsUsed"], model.len(), "{repeat}");
    let mut with_any: Vec<usize> = model.keys().map(|(pod, _)| *pod).collect();
    with_any.dedup();
    let records = fs::read_dir(node.host.state_dir().join("records")).unwrap().count();
    assert_eq!(records, with_any.len(), "{repeat}");
}

#[test]
fn c159_c161_many_pods_that_come_and_go_at_once_leave_nothing() {
    let Some(node) = Node::start() else { return };
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| std::process::id().into());
    let count = number(PODS_VARIABLE).map_or(PODS, |count| usize::try_from(count).unwrap());
    println!("repeat with {SEED_VARIABLE}={seed} {PODS_VARIABLE}={count}");
    let pods: Vec<Pod> = (0..count).map(|at| node.pod(&format!("p{at}"))).collect();
    let networks = networks();
    let mut workers: Vec<Worker<'_>> = (0_u64..)
        .take(THREADS)
        .map(|at| Worker {
            runtime: &node.runtime,
            pods: &pods,
            networks: &networks,
            random: Random::new(seed.wrapping_mul(31).wrapping_add(at)),
            model: Model::new(),
            seed,
        })
        .collect();
    in_parallel(&mut workers, count, Worker::come);
    let model: Model = workers.iter().flat_map(|worker| worker.model.clone()).collect();
    assert!(model.len() > count * 3, "most of them stay");
    assert_agrees(&node, &pods, &networks, &model, seed);
    in_parallel(&mut workers, count, Worker::go);
    drop(workers);
    assert_agrees(&node, &pods, &networks, &Model::new(), seed);
    node.assert_clean(&pods.iter().collect::<Vec<_>>());
}
