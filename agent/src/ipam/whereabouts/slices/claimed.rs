//! Which slices nodes have claimed, for allocations one by one from ranges that overlap them.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use ipnet::IpNet;

use super::UNSEEN_MAX;
use super::overlap::claimed;
use crate::cluster::{ApiError, ApiErrorKind, PoolStore, SlicePool};

/// The NodeSlicePools as they were a moment ago.
#[derive(Debug, Default)]
pub struct ClaimedSlices(Mutex<Option<(Instant, Vec<SlicePool>)>>);

impl ClaimedSlices {
    /// The claimed slices of networks that share addresses with this one, no older than [`UNSEEN_MAX`]. Where there is no
    /// such resource, or no right to see it, nobody has claimed anything.
    pub fn ranges(
        &self,
        store: &dyn PoolStore,
        network_name: &str,
        deadline: Instant,
    ) -> Result<Vec<IpNet>, ApiError> {
        let known = {
            let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = seen.as_ref().filter(|(at, _)| at.elapsed() < UNSEEN_MAX);
            fresh.map(|(_, pools)| claimed(pools, network_name))
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let asked = Instant::now();
        let pools = match store.slice_pools(deadline) {
            Err(error) if matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Denied) => Vec::new(),
            answer => answer?,
        };
        let ranges = claimed(&pools, network_name);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((asked, pools));
        Ok(ranges)
    }
}
