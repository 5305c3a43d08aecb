//! Frees leaks, each only while its object still names the same holder.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::hold::{Hold, Place};
use super::suspect::Suspect;
use crate::cluster::{ApiError, ApiErrorKind, IpPool, PoolChange, PoolStore, Reservation};

/// Tries of one pool; others write it at the same time.
const TRIES_MAX: usize = 5;
/// Most entries that one change takes out of a pool.
const CHANGES_MAX: usize = 200;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What a round gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Addresses of pools.
    pub allocations: u64,
    /// Reservations.
    pub reservations: u64,
    /// Slices of nodes that are gone.
    pub slices: u64,
}

/// Frees what is due. `still` asks once more, right before: a pod of the same name may just have come.
pub(super) fn free(
    store: &dyn PoolStore,
    due: Vec<Suspect>,
    still: &mut dyn FnMut(&Suspect) -> bool,
    deadline: Instant,
) -> Result<Freed, ApiError> {
    let mut freed = Freed::default();
    let mut pools: BTreeMap<String, Vec<(u128, Suspect)>> = BTreeMap::new();
    let mut reservations = Vec::new();
    for suspect in due {
        match suspect.hold.place.clone() {
            Place::Pool { pool, offset } => pools.entry(pool).or_default().push((offset, suspect)),
            Place::Reservation { name } => reservations.push((name, suspect)),
        }
    }
    for (name, mut suspects) in pools {
        suspects.truncate(CHANGES_MAX);
        freed.allocations += of_pool(store, &name, &suspects, still, deadline)?;
    }
    // Behind the pools: an address that is in no pool but reserved is handed out to nobody.
    for (name, suspect) in reservations {
        freed.reservations += u64::from(reservation(store, &name, &suspect, still, deadline)?);
    }
    Ok(freed)
}

fn of_pool(
    store: &dyn PoolStore,
    name: &str,
    suspects: &[(u128, Suspect)],
    still: &mut dyn FnMut(&Suspect) -> bool,
    deadline: Instant,
) -> Result<u64, ApiError> {
    for _ in 0..TRIES_MAX {
        let Some(pool) = store.pool(name, deadline)? else { return Ok(0) };
        let due: Vec<_> = suspects
            .iter()
            .filter(|(offset, suspect)| is_same(&pool, *offset, &suspect.hold) && still(suspect))
            .collect();
        if due.is_empty() {
            return Ok(0);
        }
        let changes: Vec<_> =
            due.iter().map(|(offset, _)| PoolChange { offset: *offset, to: None }).collect();
        match store.change_pool(&pool, &changes, deadline) {
            Ok(_) => {
                for (_, suspect) in &due {
                    suspect.log();
                }
                return Ok(due.len() as u64);
            }
            Err(error) if error.kind == ApiErrorKind::Conflict => sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    // A pool that is written all the time is cleaned in another round.
    Ok(0)
}

fn is_same(pool: &IpPool, offset: u128, hold: &Hold) -> bool {
    pool.allocations.get(&offset).is_some_and(|now| {
        (&now.id, &now.podref, &now.ifname) == (&hold.container_id, &hold.podref, &hold.ifname)
    })
}

fn reservation(
    store: &dyn PoolStore,
    name: &str,
    suspect: &Suspect,
    still: &mut dyn FnMut(&Suspect) -> bool,
    deadline: Instant,
) -> Result<bool, ApiError> {
    let Some(now) = store.reservation(name, deadline)? else { return Ok(false) };
    let Reservation { container_id, podref, ifname, resource_version, .. } = &now;
    let hold = &suspect.hold;
    if (container_id, podref, ifname) != (&hold.container_id, &hold.podref, &hold.ifname) || !still(suspect) {
        return Ok(false);
    }
    match store.unreserve(name, Some(resource_version), deadline) {
        Ok(()) => {
            suspect.log();
            Ok(true)
        }
        Err(error) if error.kind == ApiErrorKind::Conflict => Ok(false),
        Err(error) => Err(error),
    }
}
