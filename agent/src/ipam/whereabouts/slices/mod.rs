//! Fast mode: addresses from slices that this node owns, without a request to the API server.
//!
//! A range is cut into slices, which stand in a NodeSlicePool. A node writes its name into a free one, and hands out its
//! addresses from a file of its own. There is no controller and no leader: a claim is a patch of one entry that tests what
//! it changes. When three quarters are in use another slice is taken ahead, and an empty one is given back.

mod acquire;
mod book;
mod claim;
mod claimed;
mod claimer;
mod counters;
mod cut;
mod dice;
mod exhausted;
mod lease;
mod overlap;
mod plan;
mod pool;
mod release;
mod repair;
mod span;
mod spec;
mod store;
mod sync;
pub(super) mod verbs;
mod view;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use plexus_cni::CniError;

pub use self::acquire::Wish;
pub use self::book::Usage;
pub use self::claimed::ClaimedSlices;
pub use self::counters::{Counter, Counters};
pub use self::lease::Lease;
pub use self::overlap::claimed;
pub use self::repair::Held;
pub use self::span::Span;
pub use self::spec::PoolSpec;
pub use self::view::PoolView;

use self::claimer::Bell;
use self::dice::Dice;
use self::pool::Pool;
use self::store::{EXTENSION, Store, failed};
use crate::cluster::PoolStore;

/// For this long an agent that allocates from an overlapping range may not know of a claim.
pub const UNSEEN_MAX: Duration = Duration::from_secs(5);
/// For this long a slice that overlaps such a range waits before it serves: [`UNSEEN_MAX`] and the end of a call.
const SETTLE: Duration = Duration::from_secs(8);

/// All slices of this node.
pub struct Slices {
    dir: PathBuf,
    node: String,
    api: Arc<dyn PoolStore>,
    pools: RwLock<BTreeMap<String, Arc<Pool>>>,
    dice: Dice,
    bell: Arc<Bell>,
    unsynced: Arc<Bell>,
    settle: Duration,
    counters: Counters,
}

impl Slices {
    /// Reads the files beneath `dir`, which is made where it is missing; one that cannot be read is set aside. Nothing is
    /// handed out before the API server has said that the slices are still this node's.
    pub fn open(dir: &Path, node: &str, api: Arc<dyn PoolStore>) -> Result<Self, CniError> {
        Self::open_with(dir, node, api, Dice::random(), SETTLE)
    }

    fn open_with(
        dir: &Path,
        node: &str,
        api: Arc<dyn PoolStore>,
        dice: Dice,
        settle: Duration,
    ) -> Result<Self, CniError> {
        fs::create_dir_all(dir).map_err(|error| failed("create", dir, &error))?;
        let mut pools = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(|error| failed("list", dir, &error))? {
            let path = entry.map_err(|error| failed("list", dir, &error))?.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            match Store::open(&path) {
                Ok(Some((store, snapshot))) => {
                    pools.insert(snapshot.spec.name.clone(), Arc::new(Pool::open(store, snapshot)));
                }
                Ok(None) => tracing::warn!(path = %path.display(), "an empty file of leases is left aside"),
                Err(error) => set_aside(&path, &error)?,
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            node: node.to_owned(),
            api,
            pools: RwLock::new(pools),
            dice,
            bell: Arc::default(),
            unsynced: Arc::default(),
            settle,
            counters: Counters::default(),
        })
    }

    /// What happened since this process started.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The pool that a config names.
    fn pool(&self, spec: &PoolSpec) -> Arc<Pool> {
        let known = self.pools.read().unwrap_or_else(PoisonError::into_inner).get(&spec.name).cloned();
        known.unwrap_or_else(|| {
            let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Pool::new(&self.dir, spec.clone()));
            Arc::clone(pools.entry(spec.name.clone()).or_insert_with(new))
        })
    }

    /// Every pool of this node.
    fn all(&self) -> Vec<Arc<Pool>> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl Drop for Slices {
    fn drop(&mut self) {
        // The threads see that nobody holds it any more.
        self.bell.ring();
        self.unsynced.ring();
    }
}

fn set_aside(path: &Path, error: &CniError) -> Result<(), CniError> {
    tracing::error!(path = %path.display(), %error, "leases cannot be read and are set aside; records and API server tell most of them");
    fs::rename(path, path.with_extension("unreadable")).map_err(|error| failed("set aside", path, &error))
}

#[cfg(all(test, feature = "lab"))]
mod tests;
