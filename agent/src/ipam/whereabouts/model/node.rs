//! A node of the model: what its agent keeps in memory, and what lies on its disk.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use plexus_cni::CniError;
use plexus_cni::args::CniArgs;
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::PoolStore;
use crate::ipam::whereabouts::reconcile::decide::{Attached, Known};
use crate::ipam::whereabouts::reconcile::{Here, Pace, Reconciler};
use crate::ipam::whereabouts::slices::{Held, Lease, PoolSpec, Slices, Span, Wish};
use crate::ipam::whereabouts::{Cluster, retry_pending};
use crate::ipam::{Ipam, IpamRequest};
use crate::lab::MemoryPools;

pub(super) const IFNAME: &str = "net1";
/// Small, so that pools are full now and then.
const CLASSIC: [&str; 2] = ["10.1.0.0/28", "fd01::/124"];
const FAST: [(&str, &str); 2] = [("10.2.0.0/26", "/29"), ("fd02::/122", "/125")];
/// Calls of the agent keep the last seconds of their time for undoing.
const CALL: Duration = Duration::from_millis(5_120);
const FAST_CALL: Duration = Duration::from_millis(150);

/// A container, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Container {
    pub(super) id: String,
    /// `namespace/name`
    pub(super) podref: String,
    pub(super) is_fast: bool,
}

/// A node.
pub(super) struct Node {
    pub(super) name: String,
    dir: TempDir,
    store: Arc<MemoryPools>,
    cluster: Cluster,
    slices: Slices,
    /// Records, with addresses once the ADD has ended.
    pub(super) records: Vec<(Container, Vec<IpAddr>)>,
    reconciler: Reconciler,
}

impl Node {
    pub(super) fn new(name: String, store: &Arc<MemoryPools>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        store.edit(|content| {
            content.nodes.insert(name.clone());
        });
        let (cluster, slices) = memory(&name, &dir, store);
        let reconciler = Reconciler::new(name.clone(), Pace { own_every: 1, ..Pace::default() });
        Self { name, dir, store: Arc::clone(store), cluster, slices, records: Vec::new(), reconciler }
    }

    /// The process dies and is started again: memory is lost, the disk stays.
    pub(super) fn restart(&mut self) {
        (self.cluster, self.slices) = memory(&self.name, &self.dir, &self.store);
        self.reconciler = Reconciler::new(self.name.clone(), Pace { own_every: 1, ..Pace::default() });
        let held =
            self.records.iter().filter(|(container, _)| container.is_fast).map(|(container, addresses)| {
                Held { lease: lease(container), addresses: addresses.clone(), specs: specs() }
            });
        self.slices.repair(&held.collect::<Vec<_>>()).unwrap();
    }

    pub(super) fn add(&self, container: &Container) -> Result<Vec<IpAddr>, CniError> {
        if container.is_fast {
            let wishes: Vec<_> = specs().into_iter().map(|spec| Wish { spec, wanted: None }).collect();
            return self.slices.acquire(&wishes, &lease(container), Instant::now() + FAST_CALL);
        }
        let result = self.ask(container, |request| Ipam::Whereabouts.add(request))?;
        Ok(result.ips.iter().map(|ip| ip.address.addr()).collect())
    }

    pub(super) fn del(&self, container: &Container) -> Result<(), CniError> {
        if container.is_fast {
            return self.slices.release(&container.id, IFNAME).map(drop);
        }
        self.ask(container, |request| Ipam::Whereabouts.del(request))
    }

    fn ask<T>(&self, container: &Container, act: impl FnOnce(&IpamRequest) -> T) -> T {
        let (namespace, name) = container.podref.split_once('/').unwrap();
        let args = CniArgs::parse(&format!("K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name}")).unwrap();
        let ranges = CLASSIC.map(|range| json!({"range": range}));
        let config = json!({"name": "classic", "ipam": {"type": "whereabouts", "ipRanges": ranges}});
        act(&IpamRequest {
            network: "classic",
            container_id: &container.id,
            ifname: IFNAME,
            config: config.as_object().unwrap(),
            args: &args,
            data_dirs: &[],
            boot_id: "boot",
            cluster: Some(&self.cluster),
            deadline: Instant::now() + CALL,
        })
    }

    /// What the agent does every 10 s.
    pub(super) fn retry(&self) {
        retry_pending(&self.cluster, SystemTime::now() + Duration::from_mins(2), |_| Some(()));
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.cluster.pending.is_empty()
    }

    pub(super) fn reconcile(&mut self, now: Instant) {
        let here = OnNode { records: &self.records };
        self.reconciler.round(&*self.store, &here, now).unwrap();
    }

    /// Addresses of fast mode that this node's files say are held, by container.
    pub(super) fn leases(&self) -> BTreeSet<(IpAddr, String)> {
        let views = self.slices.views();
        let leases = views.iter().flat_map(|view| &view.leases);
        leases.map(|(address, lease)| (*address, lease.container_id.clone())).collect()
    }
}

struct OnNode<'a> {
    records: &'a [(Container, Vec<IpAddr>)],
}

impl Here for OnNode<'_> {
    fn known(&self) -> Option<Known> {
        let attached = |container: &Container| Attached {
            container_id: container.id.clone(),
            podref: container.podref.clone(),
            ifname: IFNAME.into(),
        };
        let attachments = self.records.iter().map(|(container, _)| attached(container)).collect();
        Some(Known { attachments, foreign: BTreeSet::new() })
    }

    fn has_pod(&self, _: &str, _: &str) -> bool {
        true
    }
}

fn memory(name: &str, dir: &TempDir, store: &Arc<MemoryPools>) -> (Cluster, Slices) {
    let api = || Arc::clone(store) as Arc<dyn PoolStore>;
    let cluster = Cluster::new(api(), name.to_owned(), None, dir.path());
    (cluster, Slices::open(&dir.path().join("slices"), name, api()).unwrap())
}

fn lease(container: &Container) -> Lease {
    Lease {
        container_id: container.id.clone(),
        ifname: IFNAME.into(),
        podref: container.podref.clone(),
        pod_uid: format!("uid of {}", container.podref),
        network: "fast".into(),
    }
}

fn specs() -> Vec<PoolSpec> {
    let spec = |(range, size): (&str, &str)| {
        let range: ipnet::IpNet = range.parse().unwrap();
        PoolSpec {
            name: range.to_string().replace([':', '/'], "-"),
            network_name: String::new(),
            range,
            slice_size: size.into(),
            usable: Span::of_net(range),
            excludes: Vec::new(),
            checks_overlaps: true,
        }
    };
    FAST.map(spec).into()
}
