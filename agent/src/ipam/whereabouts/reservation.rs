//! One address against all other ranges: the OverlappingRangeIPReservation of an interface.

use std::time::Instant;

use super::backoff::Backoff;
use super::cluster::Cluster;
use crate::cluster::{Allocation, ApiError, ApiErrorKind, Reservation};

/// Most tries to make or delete one: each of them means that somebody was quicker, or that a call failed.
const TRIES: usize = 6;

/// How a reservation ended.
pub(super) enum Reserved {
    /// It is ours.
    Ours,
    /// Somebody else has it.
    Others(Reservation),
}

/// Reserves `name` for `holder`; one that this pod's interface has from an earlier container is taken over.
pub(super) fn take(
    cluster: &Cluster,
    name: &str,
    holder: &Allocation,
    deadline: Instant,
) -> Result<Reserved, ApiError> {
    let wanted = Reservation {
        name: name.to_owned(),
        container_id: holder.id.clone(),
        podref: holder.podref.clone(),
        ifname: holder.ifname.clone(),
        resource_version: String::new(),
    };
    retried(deadline, |last| {
        match cluster.store.reserve(&wanted, deadline) {
            Ok(made) => {
                cluster.note_version(&remembered(name, holder), Some(&made.resource_version));
                return Ok(Some(Reserved::Ours));
            }
            Err(error) if error.kind == ApiErrorKind::Conflict => *last = Some(error),
            Err(error) => return Err(error),
        }
        let Some(found) = cluster.store.reservation(name, deadline)? else { return Ok(None) };
        if found.podref != holder.podref || found.ifname != holder.ifname {
            return Ok(Some(Reserved::Others(found)));
        }
        if found.container_id == holder.id {
            cluster.note_version(&remembered(name, holder), Some(&found.resource_version));
            return Ok(Some(Reserved::Ours));
        }
        // Whoever looks for leftovers goes by the container.
        match cluster.store.unreserve(name, Some(&found.resource_version), deadline) {
            Err(error) if error.kind != ApiErrorKind::Conflict => Err(error),
            _ => Ok(None),
        }
    })
}

/// What a version is remembered by: another holder's reservation of the same name must not be deleted by it.
fn remembered(name: &str, holder: &Allocation) -> String {
    format!("{name} {} {}", holder.id, holder.ifname)
}

/// Gives a reservation back, if it is this interface's; none is a success.
pub(super) fn give_back(
    cluster: &Cluster,
    name: &str,
    holder: &Allocation,
    deadline: Instant,
) -> Result<(), ApiError> {
    retried(deadline, |last| {
        let version = match cluster.version(&remembered(name, holder)) {
            Some(version) => version,
            None => match cluster.store.reservation(name, deadline)? {
                Some(found) if is_of(&found, holder) => found.resource_version,
                _ => return Ok(Some(())),
            },
        };
        let outcome = cluster.store.unreserve(name, Some(&version), deadline);
        match outcome {
            Ok(()) => {
                cluster.note_version(&remembered(name, holder), None);
                Ok(Some(()))
            }
            Err(error) if error.kind == ApiErrorKind::Conflict => {
                // Not the one that was remembered: it is looked at.
                cluster.note_version(&remembered(name, holder), None);
                *last = Some(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    })
}

/// Whether this container's interface has it; the original's name no container, those of old versions no interface.
fn is_of(found: &Reservation, holder: &Allocation) -> bool {
    found.podref == holder.podref
        && (found.ifname == holder.ifname || found.ifname.is_empty())
        && (found.container_id == holder.id || found.container_id.is_empty())
}

/// Tries until there is an answer; lost races and passing failures are waited out, within limits.
fn retried<T>(
    deadline: Instant,
    mut attempt: impl FnMut(&mut Option<ApiError>) -> Result<Option<T>, ApiError>,
) -> Result<T, ApiError> {
    let mut backoff = Backoff::default();
    let mut last = None;
    for _ in 0..TRIES {
        let pause = match attempt(&mut last) {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => backoff.after_race(),
            Err(error) if error.kind.is_passing() => {
                last = Some(error);
                backoff.after_failure()
            }
            Err(error) => return Err(error),
        };
        if Instant::now() + pause >= deadline {
            break;
        }
        std::thread::sleep(pause);
    }
    Err(last.unwrap_or_else(|| ApiError {
        kind: ApiErrorKind::Conflict,
        verb: "create",
        resource: "overlappingrangeipreservations",
        status: 409,
        why: "others were quicker again and again".into(),
    }))
}
