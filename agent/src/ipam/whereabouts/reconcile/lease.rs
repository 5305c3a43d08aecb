//! The Lease by which one agent of the cluster is elected.

use std::time::{Duration, Instant, SystemTime};

use super::election::{Claim, Election, Step};
use crate::cluster::{ApiError, ApiErrorKind, Lease, PoolStore};

/// The Lease's name; the original's is `whereabouts`, so both can work beside one another.
pub(super) const NAME: &str = "plexus-ipam-reconciler";

/// Takes, renews or leaves the Lease; whether this agent leads now.
pub(super) fn lead(
    store: &dyn PoolStore,
    election: &mut Election,
    me: &str,
    duration: Duration,
    now: Instant,
    deadline: Instant,
) -> Result<bool, ApiError> {
    let lease = store.lease(NAME, deadline)?;
    let claim = lease
        .as_ref()
        .map(|lease| Claim { holder: lease.holder.clone(), version: lease.resource_version.clone() });
    let step = election.step(claim.as_ref(), now);
    let renewed = Some(SystemTime::now());
    let duration_s = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1);
    let ours = Lease { name: NAME.into(), holder: me.to_owned(), duration_s, renewed, ..Lease::default() };
    let outcome = match (step, lease) {
        (Step::Follow, _) => return Ok(false),
        (Step::Renew, Some(lease)) => {
            let Lease { resource_version, acquired, transitions, .. } = lease;
            store.replace_lease(&Lease { resource_version, acquired, transitions, ..ours }, deadline)
        }
        (Step::Take, Some(lease)) => {
            let transitions = lease.transitions.saturating_add(1);
            let resource_version = lease.resource_version;
            store.replace_lease(&Lease { resource_version, acquired: renewed, transitions, ..ours }, deadline)
        }
        (_, _) => store.create_lease(&Lease { acquired: renewed, ..ours }, deadline),
    };
    match outcome {
        Ok(_) => Ok(true),
        // Somebody was quicker.
        Err(error) if error.kind == ApiErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}
