//! Against a store in memory, which the lab has.
#![cfg(feature = "lab")]

mod behaviour;
mod crash;
mod race;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use plexus_cni::args::CniArgs;
use plexus_cni::{CniError, CniResult, Version};
use serde_json::{Value, json};

use super::*;
use crate::cluster::PoolStore;
use crate::ipam::{Ipam, IpamResult};
use crate::lab::MemoryPools;

/// An agent on a cluster that others share.
struct Node {
    store: Arc<MemoryPools>,
    cluster: Cluster,
    dir: Arc<tempfile::TempDir>,
    patience: Duration,
}

/// One sandbox's interface.
#[derive(Clone, Copy)]
struct Who<'a> {
    container: &'a str,
    pod: &'a str,
    ifname: &'a str,
}

fn who<'a>(container: &'a str, pod: &'a str) -> Who<'a> {
    Who { container, pod, ifname: "net1" }
}

impl Node {
    fn on(store: &Arc<MemoryPools>) -> Self {
        Self::with_state(store, Arc::new(tempfile::tempdir().unwrap()))
    }

    fn with_state(store: &Arc<MemoryPools>, dir: Arc<tempfile::TempDir>) -> Self {
        let shared = Arc::clone(store) as Arc<dyn PoolStore>;
        let cluster = Cluster::new(shared, "node-1".into(), None, dir.path());
        Self { store: Arc::clone(store), cluster, dir, patience: Duration::from_secs(30) }
    }

    /// The process dies and the next one finds what it left.
    fn restarted(self) -> Self {
        Self::with_state(&self.store, self.dir)
    }

    fn ask<T>(&self, config: &Value, who: Who, work: impl FnOnce(&IpamRequest) -> T) -> T {
        let args = CniArgs::parse(&format!("K8S_POD_NAMESPACE=n;K8S_POD_NAME={}", who.pod)).unwrap();
        work(&IpamRequest {
            network: "net",
            container_id: who.container,
            ifname: who.ifname,
            cluster: Some(&self.cluster),
            deadline: Instant::now() + self.patience,
            ..crate::ipam::testing::request(config.as_object().unwrap(), &args)
        })
    }

    fn result(&self, config: &Value, who: Who) -> Result<IpamResult, CniError> {
        self.ask(config, who, |request| Ipam::Whereabouts.add(request))
    }

    fn add(&self, config: &Value, who: Who) -> Result<Vec<String>, CniError> {
        Ok(self.result(config, who)?.ips.iter().map(|ip| ip.address.addr().to_string()).collect())
    }

    fn del(&self, config: &Value, who: Who) {
        self.ask(config, who, |request| Ipam::Whereabouts.del(request)).unwrap();
    }

    fn retry(&self) {
        retry_pending(&self.cluster, SystemTime::now() + Duration::from_mins(2), |_| Some(()));
    }

    fn check(&self, config: &Value, who: Who, addresses: &[String]) -> Result<(), CniError> {
        let ips: Vec<Value> =
            addresses.iter().map(|address| json!({"address": format!("{address}/24")})).collect();
        let mut config = config.clone();
        config["prevResult"] = CniResult::from_value(&json!({"cniVersion": "1.0.0", "ips": ips}), "r")
            .unwrap()
            .to_value(Version::V1_0_0);
        self.ask(&config, who, |request| Ipam::Whereabouts.check(request))
    }
}

fn ipam(range: &str) -> Value {
    json!({"ipam": {"type": "whereabouts", "range": range}})
}

/// Holders in all pools, as `address by container`.
fn held(store: &MemoryPools) -> Vec<String> {
    let content = store.content();
    let of_pool = |pool: &crate::cluster::IpPool| -> Vec<String> {
        let text = range::RangeText { range: pool.range.clone(), ..range::RangeText::default() };
        let range = range::Range::new(&text, "r").unwrap();
        let name = |(offset, held): (&u128, &crate::cluster::Allocation)| {
            format!("{} by {}", range.address(*offset).unwrap(), held.id)
        };
        pool.allocations.iter().map(name).collect()
    };
    content.pools.values().flat_map(of_pool).collect()
}

/// Holders of all reservations, as `name by container`.
fn reserved(store: &MemoryPools) -> Vec<String> {
    let all = store.content().reservations;
    all.values().map(|held| format!("{} by {}", held.name, held.container_id)).collect()
}

fn assert_nothing_held(store: &MemoryPools, when: &str) {
    assert_eq!((held(store), reserved(store)), (Vec::new(), Vec::new()), "{when}");
}

fn unique(addresses: &[String]) -> BTreeSet<&String> {
    addresses.iter().collect()
}
