//! Slices whose node is gone: its Node object does not exist any more.

use std::collections::BTreeSet;
use std::time::Instant;

use super::turn::turn;
use super::{Pace, Suspects};
use crate::cluster::{ApiError, ApiErrorKind, PoolStore, SlicePool};

/// A slice, as its pool names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claimed {
    pool: String,
    range: String,
    node: String,
}

/// What is remembered from round to round.
#[derive(Debug, Default)]
pub(super) struct LostNodes {
    suspects: Suspects<Claimed>,
    last: Option<String>,
}

impl LostNodes {
    /// One bounded look; returns how many slices were given back.
    pub(super) fn look(
        &mut self,
        store: &dyn PoolStore,
        pools: &[SlicePool],
        pace: &Pace,
        now: Instant,
        deadline: Instant,
    ) -> Result<u64, ApiError> {
        let slices = || pools.iter().flat_map(|pool| pool.slices.iter().map(move |slice| (pool, slice)));
        let nodes: BTreeSet<&str> =
            slices().map(|(_, slice)| &*slice.node).filter(|node| !node.is_empty()).collect();
        let urgent: BTreeSet<String> = self.suspects.all().map(|claimed| claimed.node.clone()).collect();
        let urgent = urgent.iter().map(|node| &**node).collect();
        let looked = turn(&nodes, &urgent, self.last.as_deref(), pace.reads_max);
        let mut gone = BTreeSet::new();
        for node in &looked {
            if !store.node_exists(node, deadline)? {
                gone.insert(*node);
            }
        }
        let claimed = slices().filter(|(_, slice)| gone.contains(&*slice.node)).map(|(pool, slice)| {
            Claimed { pool: pool.name.clone(), range: slice.range.clone(), node: slice.node.clone() }
        });
        let claimed: Vec<_> = claimed.collect();
        let was_looked =
            |claimed: &Claimed| looked.contains(&&*claimed.node) || !nodes.contains(&*claimed.node);
        let due = self.suspects.look(claimed, was_looked, now, pace.node_grace);
        self.last = looked.last().map(|node| (*node).to_owned());
        let mut freed = 0;
        for claimed in due {
            freed += u64::from(give_back(store, pools, &claimed, deadline)?);
        }
        Ok(freed)
    }

    /// Forgets what was seen.
    pub(super) fn clear(&mut self) {
        self.suspects.clear();
    }
}

fn give_back(
    store: &dyn PoolStore,
    pools: &[SlicePool],
    claimed: &Claimed,
    deadline: Instant,
) -> Result<bool, ApiError> {
    let pool = pools.iter().find(|pool| pool.name == claimed.pool);
    let found = pool.and_then(|pool| {
        let mut slices = pool.slices.iter().enumerate();
        slices.find(|(_, slice)| slice.range == claimed.range && slice.node == claimed.node)
    });
    let Some((index, slice)) = found else { return Ok(false) };
    // A node of that name may have come back meanwhile; its agent goes on with what it has.
    if store.node_exists(&claimed.node, deadline)? {
        return Ok(false);
    }
    match store.change_slice(&claimed.pool, index, slice, "", deadline) {
        Ok(()) => {
            let Claimed { pool, range, node } = claimed;
            tracing::info!(pool, range, node, "a slice was taken back: its node is gone");
            Ok(true)
        }
        Err(error) if error.kind == ApiErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}
