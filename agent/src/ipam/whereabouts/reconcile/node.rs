//! The reconciler's thread in plexusd, and what it tells of itself.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::decide::{Attached, Known};
use super::round::{Here, Pace, Reconciler};
use crate::agent::Agent;
use crate::cluster::{ApiError, ApiErrorKind, PoolStore};
use crate::takeover::Cache;

/// The first round comes this long after the start, and a random part of it more: not all nodes at once.
const FIRST: Duration = Duration::from_mins(1);

/// What the reconciler did so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Rounds that came to their end.
    pub rounds: AtomicU64,
    /// Rounds that a failed call ended.
    pub failures: AtomicU64,
    /// Addresses of pools that were freed.
    pub allocations: AtomicU64,
    /// Reservations that were freed.
    pub reservations: AtomicU64,
    /// Slices that were taken back.
    pub slices: AtomicU64,
    /// Suspects that wait for their second look.
    pub suspects: AtomicU64,
    /// Whether this agent is the elected one.
    pub is_leader: AtomicBool,
}

/// Starts it on a thread of its own, if there is an API server.
pub fn start(agent: &Arc<Agent>) -> std::io::Result<()> {
    let (Some(api), Some(cluster)) = (agent.api.clone(), agent.settings.cluster.clone()) else {
        return Ok(());
    };
    let agent = Arc::clone(agent);
    let look_forever = move || {
        let pace = Pace::default();
        let mut reconciler = Reconciler::new(cluster.node_name, pace);
        sleep(FIRST + a_part_of(FIRST));
        loop {
            look(&mut reconciler, &*api, &agent);
            sleep(pace.period * 9 / 10 + a_part_of(pace.period / 5));
        }
    };
    std::thread::Builder::new().name("ipam-reconciler".into()).spawn(look_forever).map(drop)
}

/// A random part: the keys of each hasher are made by chance.
fn a_part_of(whole: Duration) -> Duration {
    let dice = RandomState::new().hash_one(0_u8) % 1000;
    whole * u32::try_from(dice).unwrap_or_default() / 1000
}

fn look(reconciler: &mut Reconciler, store: &dyn PoolStore, agent: &Agent) {
    let counts = &agent.reconciled;
    let outcome = reconciler.round(store, &OnNode(agent), Instant::now());
    counts.is_leader.store(reconciler.is_leader(), Ordering::Relaxed);
    counts.suspects.store(reconciler.suspects() as u64, Ordering::Relaxed);
    match outcome {
        Ok(freed) => {
            counts.rounds.fetch_add(1, Ordering::Relaxed);
            counts.allocations.fetch_add(freed.allocations, Ordering::Relaxed);
            counts.reservations.fetch_add(freed.reservations, Ordering::Relaxed);
            counts.slices.fetch_add(freed.slices, Ordering::Relaxed);
        }
        // Nobody has made the kinds of whereabouts here: there is nothing to reconcile.
        Err(ApiError { kind: ApiErrorKind::NotFound, .. }) => {}
        Err(error) => {
            counts.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, advice = error.advice(), "the cluster's pools cannot be reconciled now");
        }
    }
}

struct OnNode<'a>(&'a Agent);

impl Here for OnNode<'_> {
    fn known(&self) -> Option<Known> {
        let multus = Cache::at(&self.0.settings.multus_cache_dir).containers(Duration::ZERO);
        let foreign = match multus {
            Ok(containers) => containers.into_iter().collect(),
            Err(error) => {
                tracing::warn!(%error, "no pool is reconciled: it is not known what Multus attached here");
                return None;
            }
        };
        let records = self.0.records.all();
        let attachments = records.iter().flat_map(|record| {
            let podref = record.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
            record.attachments.iter().map(move |attachment| Attached {
                container_id: record.container_id.clone(),
                podref: podref.clone().unwrap_or_default(),
                ifname: attachment.ifname.clone(),
            })
        });
        Some(Known { attachments: attachments.collect(), foreign })
    }

    fn has_pod(&self, namespace: &str, name: &str) -> bool {
        self.0.catalog.as_ref().is_some_and(|catalog| catalog.pods.get(namespace, name).is_some())
    }
}
