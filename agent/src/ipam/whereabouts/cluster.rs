//! What this agent knows of the cluster's pools.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use plexus_cni::CniError;

use super::pending::Pending;
use super::shared::SharedPool;
use super::slices::{ClaimedSlices, Slices};
use crate::cluster::{ApiError, ApiErrorKind, Catalog, IpPool, PoolStore};

/// After a call that nobody answered, releases are left to the retry for this long.
const AWAY: Duration = Duration::from_secs(10);
/// Most pools that are remembered; one that is not is read again.
const POOLS_MAX: usize = 4096;
/// Most versions of reservations that are remembered; one that is not is read before it is deleted.
const VERSIONS_MAX: usize = 65_536;

/// The cluster, to whoever allocates from its pools.
pub struct Cluster {
    /// Reads and writes the objects.
    pub store: Arc<dyn PoolStore>,
    /// Name of this node's Node object.
    pub node: String,
    /// This node's pods, if they are followed.
    pub catalog: Option<Arc<Catalog>>,
    /// Releases that could not be made yet.
    pub pending: Pending,
    /// Where this node's slices are kept, and they themselves once somebody needed them.
    slices_dir: PathBuf,
    slices: Mutex<Option<Arc<Slices>>>,
    /// Slices of whichever node: nothing is allocated inside of them one by one.
    pub(super) claimed: ClaimedSlices,
    pools: Mutex<BTreeMap<String, Arc<SharedPool>>>,
    /// Versions of the reservations that this process made, by name.
    versions: Mutex<BTreeMap<String, String>>,
    away_until: Mutex<Option<Instant>>,
    retries: AtomicU64,
    allocated: AtomicU64,
}

impl Cluster {
    /// One that keeps unfinished releases below `state_dir`; nothing is asked yet.
    pub fn new(
        store: Arc<dyn PoolStore>,
        node: String,
        catalog: Option<Arc<Catalog>>,
        state_dir: &Path,
    ) -> Self {
        Self {
            store,
            node,
            catalog,
            pending: Pending::below(state_dir),
            slices_dir: state_dir.join("ipam/slices"),
            slices: Mutex::default(),
            claimed: ClaimedSlices::default(),
            pools: Mutex::default(),
            versions: Mutex::default(),
            away_until: Mutex::default(),
            retries: AtomicU64::default(),
            allocated: AtomicU64::default(),
        }
    }

    /// The slices of this node; their files are read by the first call.
    pub fn slices(&self) -> Result<Arc<Slices>, CniError> {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slices) = &*slices {
            return Ok(Arc::clone(slices));
        }
        let opened = Arc::new(Slices::open(&self.slices_dir, &self.node, Arc::clone(&self.store))?);
        Ok(Arc::clone(slices.insert(opened)))
    }

    /// The pool of this name, as all workers share it.
    pub fn pool(&self, name: &str, network: IpNet) -> Arc<SharedPool> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(name) {
            return Arc::clone(pool);
        }
        if pools.len() >= POOLS_MAX {
            let unused = |pool: &Arc<SharedPool>| Arc::strong_count(pool) == 1;
            let gone: u64 = pools.values().filter(|pool| unused(pool)).map(|pool| pool.retries()).sum();
            self.retries.fetch_add(gone, Ordering::Relaxed);
            pools.retain(|_, pool| !unused(pool));
        }
        let pool = Arc::new(SharedPool::new(name.to_owned(), network));
        pools.insert(name.to_owned(), Arc::clone(&pool));
        pool
    }

    /// How often a change of a pool was tried again since the start, because others were quicker or a call failed.
    pub fn retries(&self) -> u64 {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        self.retries.load(Ordering::Relaxed) + pools.values().map(|pool| pool.retries()).sum::<u64>()
    }

    /// The pools that this agent has used, as the last answers showed them; nothing is asked.
    pub fn known(&self) -> Vec<Arc<IpPool>> {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.values().filter_map(|pool| pool.known()).collect()
    }

    /// Addresses that ADDs were given since the start.
    pub fn allocated(&self) -> u64 {
        self.allocated.load(Ordering::Relaxed)
    }

    /// Counts addresses that an ADD was given.
    pub(super) fn note_allocated(&self, count: usize) {
        self.allocated.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The version of a reservation that this process made.
    pub(super) fn version(&self, name: &str) -> Option<String> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Notes a reservation's version, or that it is gone.
    pub(super) fn note_version(&self, name: &str, version: Option<&str>) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        match version {
            Some(version) if versions.len() < VERSIONS_MAX || versions.contains_key(name) => {
                versions.insert(name.to_owned(), version.to_owned());
            }
            Some(_) => {}
            None => drop(versions.remove(name)),
        }
    }

    /// Whether nobody answered a moment ago.
    pub(super) fn is_away(&self) -> bool {
        let until = *self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Notes whether the API server answered.
    pub(super) fn note<T>(&self, outcome: &Result<T, ApiError>) {
        let is_away = matches!(outcome, Err(error) if error.kind == ApiErrorKind::Unreachable);
        let mut until = self.away_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = is_away.then(|| Instant::now() + AWAY);
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("node", &self.node).finish_non_exhaustive()
    }
}
