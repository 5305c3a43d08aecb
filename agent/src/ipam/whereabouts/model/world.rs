//! All nodes, the API server, and what the containers really hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::node::{Container, IFNAME, Node};
use crate::cluster::LivePod;
use crate::ipam::whereabouts::reconcile::read;
use crate::lab::{Fault, MemoryPools};

/// Looks of the reconcilers after which nothing may be left to free: a new leader waits for the Lease of a lost one.
const LOOKS: u32 = 8;

/// The API server is away from this request of a call on, and the process may die of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss {
    pub(super) nth: usize,
    pub(super) fault: Fault,
    pub(super) kills: bool,
}

/// A container that runs.
#[derive(Clone, Debug)]
struct Running {
    node: usize,
    container: Container,
    addresses: Vec<IpAddr>,
}

/// The cluster.
pub(super) struct World {
    store: Arc<MemoryPools>,
    nodes: Vec<Node>,
    running: Vec<Running>,
    /// Containers of ADDs that failed or died: their DEL is still to come.
    failed: Vec<(usize, Container)>,
    made: usize,
    now: Instant,
}

impl World {
    pub(super) fn new(nodes: usize) -> Self {
        let store = Arc::new(MemoryPools::default());
        let nodes = (0..nodes).map(|number| Node::new(format!("node-{number}"), &store)).collect();
        Self { store, nodes, running: Vec::new(), failed: Vec::new(), made: 100, now: Instant::now() }
    }

    pub(super) fn add(&mut self, node: usize, is_fast: bool, loss: Option<Loss>) {
        self.made += 1;
        let container =
            Container { id: format!("c{}", self.made), podref: format!("n/p{}", self.made), is_fast };
        self.start(node, container, loss);
    }

    /// The pod's first sandbox is gone, its agent never heard of it, and the second one asks.
    pub(super) fn again(&mut self, which: usize, loss: Option<Loss>) {
        let Some(old) = self.take(which) else { return };
        self.made += 1;
        self.forget(old.node, &old.container);
        let container = Container { id: format!("c{}", self.made), ..old.container };
        self.start(old.node, container, loss);
    }

    /// The pod is made, its record is written, and it asks for its addresses.
    fn start(&mut self, node: usize, container: Container, loss: Option<Loss>) {
        let pod = LivePod { uid: "u".into(), node: self.nodes[node].name.clone(), ..LivePod::default() };
        self.store.edit(|content| drop(content.pods.insert(container.podref.clone(), pod)));
        self.nodes[node].records.push((container.clone(), Vec::new()));
        let outcome = self.lossy(node, loss, |node| node.add(&container));
        let Some(Ok(addresses)) = outcome else {
            self.failed.push((node, container));
            return;
        };
        for running in &self.running {
            let shared = running.addresses.iter().find(|address| addresses.contains(address));
            assert_eq!(shared, None, "{container:?} was given an address of {running:?}");
        }
        let record =
            self.nodes[node].records.iter_mut().find(|(recorded, _)| *recorded == container).unwrap();
        record.1.clone_from(&addresses);
        let ips = addresses.clone();
        self.store.edit(|content| {
            let pod = content.pods.get_mut(&container.podref).unwrap();
            (pod.ips, pod.has_status) = (ips, true);
        });
        self.running.push(Running { node, container, addresses });
    }

    pub(super) fn del(&mut self, which: usize, loss: Option<Loss>) {
        // One whose ADD failed goes first: the runtime does not wait with its DEL.
        let (node, container) = match self.failed.pop() {
            Some(failed) => failed,
            None => match self.take(which) {
                Some(running) => (running.node, running.container),
                None => return,
            },
        };
        self.store.edit(|content| drop(content.pods.remove(&container.podref)));
        self.stop(node, container, loss);
    }

    fn stop(&mut self, node: usize, container: Container, loss: Option<Loss>) {
        match self.lossy(node, loss, |node| node.del(&container)) {
            Some(Ok(())) => self.forget(node, &container),
            // The record stays, and the runtime asks again.
            Some(Err(_)) | None => self.failed.push((node, container)),
        }
    }

    pub(super) fn vanish(&mut self, which: usize) {
        let Some(running) = self.take(which) else { return };
        self.store.edit(|content| drop(content.pods.remove(&running.container.podref)));
        self.forget(running.node, &running.container);
    }

    pub(super) fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
    }

    pub(super) fn lose(&mut self, node: usize) {
        let name = self.nodes[node].name.clone();
        self.running.retain(|running| running.node != node);
        self.failed.retain(|(at, _)| *at != node);
        self.store.edit(|content| {
            content.nodes.remove(&name);
            content.pods.retain(|_, pod| pod.node != name);
        });
        self.made += 1;
        self.nodes[node] = Node::new(format!("node-{}", self.made), &self.store);
    }

    pub(super) fn reconcile(&mut self) {
        self.now += Duration::from_mins(10);
        for node in &mut self.nodes {
            node.reconcile(self.now);
        }
    }

    /// The API server answers, what is due is asked for again, and everybody looks some times.
    pub(super) fn settle(&mut self) {
        while let Some((node, container)) = self.failed.pop() {
            self.store.edit(|content| drop(content.pods.remove(&container.podref)));
            // Releases are put off for a while after an outage; that is not a failure.
            self.nodes[node].del(&container).unwrap();
            self.forget(node, &container);
        }
        for node in &mut self.nodes {
            node.retry();
            assert!(!node.has_pending(), "{}: a release is still put off", node.name);
            node.restart();
        }
        for _ in 0..LOOKS {
            self.reconcile();
        }
    }

    /// What a container holds is given to it, or to its node, by the objects.
    pub(super) fn assert_held_by_objects(&self) {
        let content = self.store.content();
        let pools: Vec<_> = content.pools.values().cloned().collect();
        let given: BTreeMap<IpAddr, String> = read::holds(&pools, &[])
            .into_iter()
            .filter_map(|hold| Some((hold.address?, hold.container_id)))
            .collect();
        let slices = || content.slice_pools.values().flat_map(|pool| &pool.slices);
        for Running { node, container, addresses } in &self.running {
            for address in addresses {
                if container.is_fast {
                    let name = &self.nodes[*node].name;
                    let is_ours = slices().any(|slice| {
                        slice.node == *name && slice.range.parse::<ipnet::IpNet>().unwrap().contains(address)
                    });
                    assert!(is_ours, "{address} of {container:?} lies in no slice of {name}");
                } else {
                    assert_eq!(given.get(address), Some(&container.id), "{address}");
                }
            }
        }
    }

    /// Nothing is held but by containers that run.
    pub(super) fn assert_nothing_lost(&self) {
        self.assert_held_by_objects();
        let content = self.store.content();
        let (pools, reservations) = (
            content.pools.values().cloned().collect::<Vec<_>>(),
            content.reservations.values().cloned().collect::<Vec<_>>(),
        );
        let held = |is_fast: bool| -> BTreeSet<(IpAddr, String)> {
            let of_kind = self.running.iter().filter(|running| running.container.is_fast == is_fast);
            of_kind
                .flat_map(|it| it.addresses.iter().map(|address| (*address, it.container.id.clone())))
                .collect()
        };
        for (pools, reservations) in [(&pools[..], &[][..]), (&[][..], &reservations[..])] {
            let written = read::holds(pools, reservations).into_iter();
            let written: BTreeSet<_> =
                written.map(|hold| (hold.address.unwrap(), hold.container_id)).collect();
            assert_eq!(written, held(false), "classic, {IFNAME}");
        }
        let leases: BTreeSet<_> = self.nodes.iter().flat_map(Node::leases).collect();
        assert_eq!(leases, held(true), "fast");
        let living: BTreeSet<&str> = self.nodes.iter().map(|node| &*node.name).collect();
        for slice in content.slice_pools.values().flat_map(|pool| &pool.slices) {
            assert!(
                slice.node.is_empty() || living.contains(&*slice.node),
                "{slice:?} is of a node that is gone"
            );
        }
    }

    /// The call, with a loss in it; `None` where the process died.
    fn lossy<T>(&mut self, node: usize, loss: Option<Loss>, call: impl FnOnce(&Node) -> T) -> Option<T> {
        let Some(Loss { nth, fault, kills }) = loss else { return Some(call(&self.nodes[node])) };
        self.store.die(nth, fault);
        let outcome = call(&self.nodes[node]);
        if self.store.revive() && kills {
            self.nodes[node].restart();
            return None;
        }
        Some(outcome)
    }

    fn take(&mut self, which: usize) -> Option<Running> {
        let at = which.checked_rem(self.running.len())?;
        Some(self.running.swap_remove(at))
    }

    fn forget(&mut self, node: usize, container: &Container) {
        self.nodes[node].records.retain(|(recorded, _)| recorded != container);
    }
}
