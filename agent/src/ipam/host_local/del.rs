//! DEL: release, as often as one likes.

use plexus_cni::CniError;

use super::owner::Match;
use super::store::Store;
use super::{LOCK_WAIT, release_all, sweep};
use crate::ipam::IpamRequest;

/// Releases what this container holds for this interface; files of an old version only where there is no other.
pub(in crate::ipam) fn del(request: &IpamRequest) -> Result<(), CniError> {
    let place = match request.place() {
        Ok(place) => place,
        Err(refused) => {
            // ADD refuses such a directory too, so nothing of ours is there; a pod must not hang in Terminating.
            tracing::warn!(network = request.network, "host-local DEL skipped: {refused}");
            return Ok(());
        }
    };
    let Some(store) = Store::existing(&place, request.network, LOCK_WAIT)? else {
        return Ok(());
    };
    let (mut exact, mut legacy) = (Vec::new(), Vec::new());
    sweep(&store, |reservation, content| {
        match request.owner().holds(content) {
            Match::Exact => exact.push(reservation),
            Match::Legacy => legacy.push(reservation),
            Match::No => {}
        }
        Ok(())
    })?;
    let ours = if exact.is_empty() { legacy } else { exact };
    release_all(&store, &ours)
}
