//! Random commands over several containers and networks, with kills of plexusd in between: afterwards kernel, records
//! and reservations are what a map says.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use plexus_agent::lab::Pod;
use plexus_cni::Code;
use plexus_cni::env::Command;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::config::valid;
use crate::support::kernel::addresses;
use crate::support::random::Random;
use crate::support::{Node, failed, fastpath, macvlan, succeeded, with};

/// Commands in one run.
const COMMANDS: usize = 250;
/// A failing run is repeated with its seed in this variable.
const SEED_VARIABLE: &str = "PLEXUS_SEQUENCE_SEED";

/// What is attached: by pod and network, the result of the ADD.
type Model = BTreeMap<(usize, usize), Value>;

struct Run {
    node: Node,
    pods: Vec<Pod>,
    networks: Vec<(&'static str, Value)>,
    model: Model,
}

impl Run {
    fn step(&mut self, random: &mut Random) -> String {
        let (pod, network) = (random.below(self.pods.len()), random.below(self.networks.len()));
        match random.below(100) {
            0..40 => self.add(pod, network),
            40..65 => self.del(pod, network),
            65..80 => self.check(pod, network),
            80..86 => self.gc(network, random),
            86..92 => self.status(network),
            92..96 => self.kill(),
            _ => self.lose_interface(pod, network),
        }
    }

    fn add(&mut self, pod: usize, network: usize) -> String {
        let (ifname, config) = &self.networks[network];
        let outcome = self.node.add(&self.pods[pod], ifname, config);
        match self.model.entry((pod, network)) {
            Entry::Occupied(_) => drop(failed(&outcome, Code::AlreadyAttached)),
            Entry::Vacant(free) => {
                free.insert(succeeded(&outcome));
            }
        }
        format!("add {pod} {ifname}")
    }

    fn del(&mut self, pod: usize, network: usize) -> String {
        let (ifname, config) = &self.networks[network];
        succeeded(&self.node.del(&self.pods[pod], ifname, config));
        self.model.remove(&(pod, network));
        format!("del {pod} {ifname}")
    }

    fn check(&self, pod: usize, network: usize) -> String {
        let (ifname, config) = &self.networks[network];
        match self.model.get(&(pod, network)) {
            Some(result) => drop(succeeded(&self.node.check(&self.pods[pod], ifname, config, result))),
            None => drop(failed(
                &self.node.check(&self.pods[pod], ifname, config, &json!({"cniVersion": "1.1.0"})),
                Code::CheckFailed,
            )),
        }
        format!("check {pod} {ifname}")
    }

    /// The runtime has forgotten some attachments of the network.
    fn gc(&mut self, network: usize, random: &mut Random) -> String {
        let (ifname, config) = &self.networks[network];
        self.model.retain(|(_, other), _| *other != network || random.below(3) > 0);
        let kept = self.model.keys().filter(|(_, other)| *other == network);
        let kept: Vec<(&Pod, &str)> = kept.map(|(pod, _)| (&self.pods[*pod], *ifname)).collect();
        succeeded(&self.node.ask(Command::Gc, &valid(config.clone(), &kept)));
        format!("gc {ifname}, {} kept", kept.len())
    }

    fn status(&self, network: usize) -> String {
        succeeded(&self.node.ask(Command::Status, &self.networks[network].1));
        format!("status {}", self.networks[network].0)
    }

    fn kill(&mut self) -> String {
        self.node.plexusd.kill().unwrap();
        // A DEL meanwhile is kept and served at the start.
        if let Some((pod, network)) = self.model.keys().next().copied() {
            self.del(pod, network);
        }
        self.node.plexusd.restart().unwrap();
        "kill".into()
    }

    /// Somebody deletes the interface; what is left of the attachment goes with its DEL.
    fn lose_interface(&mut self, pod: usize, network: usize) -> String {
        if self.model.contains_key(&(pod, network)) {
            let (ifname, config) = self.networks[network].clone();
            self.pods[pod].netns.ip(&["link", "del", ifname]).unwrap();
            let result = &self.model[&(pod, network)];
            failed(&self.node.check(&self.pods[pod], ifname, &config, result), Code::CheckFailed);
            self.del(pod, network);
        }
        format!("lose {pod} {}", self.networks[network].0)
    }

    /// Kernel = records = reservations = ports = model (C159, C160).
    fn assert_agrees(&self, trace: &[String]) {
        let mut leases: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for ((pod, network), result) in &self.model {
            let (ifname, config) = &self.networks[*network];
            let address = result["ips"][0]["address"].as_str().unwrap();
            assert_eq!(addresses(&self.pods[*pod].netns, ifname), [address], "{trace:#?}");
            let bare = address.split('/').next().unwrap().to_owned();
            let is_new = leases.entry(config["name"].as_str().unwrap()).or_default().insert(bare);
            assert!(is_new, "{address} has two owners: {trace:#?}");
        }
        for (_, config) in &self.networks {
            let name = config["name"].as_str().unwrap();
            let held: BTreeSet<String> = self.node.leases(name).into_iter().collect();
            assert_eq!(held, leases.remove(name).unwrap_or_default(), "{name}: {trace:#?}");
        }
        let interfaces: usize = self.pods.iter().map(|pod| pod.netns.interfaces().unwrap().len()).sum();
        let plain = self.node.outside.interfaces().unwrap().len() - 2;
        assert_eq!(interfaces - plain * self.pods.len(), self.model.len(), "{trace:#?}");
        let ports = self.node.query(&Query::Ports);
        assert_eq!(ports.as_array().unwrap().len(), self.model.len(), "{trace:#?}");
        assert_eq!(self.node.query(&Query::Status)["portsUsed"], self.model.len(), "{trace:#?}");
        let pods: BTreeSet<usize> = self.model.keys().map(|(pod, _)| *pod).collect();
        let records = fs::read_dir(self.node.host.state_dir().join("records")).unwrap().count();
        assert_eq!(records, pods.len(), "{trace:#?}");
    }
}

fn run(seed: u64) {
    let Some(node) = Node::start() else { return };
    let pods: Vec<Pod> = (0..4).map(|number| node.pod(&format!("p{number}"))).collect();
    let bridge = json!({
        "cniVersion": "1.1.0", "name": "cluster", "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}]]},
    });
    let second = with(with(fastpath(), "name", json!("red")), "vlan", json!(200));
    let networks = vec![("net1", macvlan()), ("net2", fastpath()), ("net3", second), ("eth0", bridge)];
    let mut run = Run { node, pods, networks, model: Model::new() };
    let mut random = Random::new(seed);
    let mut trace = vec![format!("repeat with {SEED_VARIABLE}={seed}")];
    for at in 0..COMMANDS {
        trace.push(run.step(&mut random));
        if at % 10 == 0 {
            run.assert_agrees(&trace);
        }
    }
    run.assert_agrees(&trace);
    for (pod, network) in run.model.clone().into_keys() {
        run.check(pod, network);
        run.del(pod, network);
    }
    run.node.assert_clean(&run.pods.iter().collect::<Vec<_>>());
}

#[test]
fn c159_to_c162_after_any_sequence_of_commands_and_kills_all_states_agree() {
    run(1);
}

#[test]
fn c159_to_c162_after_another_sequence_all_states_agree() {
    let seed = std::env::var(SEED_VARIABLE).map_or(20_261_121, |text| text.parse().unwrap());
    run(seed);
}
