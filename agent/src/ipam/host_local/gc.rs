//! GC: release what the runtime does not know any more.

use std::collections::HashSet;

use plexus_cni::CniError;

use super::owner::{self, Owner};
use super::stamp::Origin;
use super::store::Store;
use super::{LOCK_WAIT, release_all, sweep};
use crate::ipam::IpamRequest;

/// Releases every reservation whose (container id, interface) is not in `valid`; goes on after an error (C113).
///
/// One that somebody else made stays while its container is in `valid` at all: for which of its interfaces the others
/// hold addresses, the list need not say.
pub(in crate::ipam) fn gc(request: &IpamRequest, valid: &[(String, String)]) -> Result<(), CniError> {
    let Some(store) = Store::existing(&request.place()?, request.network, LOCK_WAIT)? else {
        return Ok(());
    };
    let exact: HashSet<String> =
        valid.iter().map(|(container_id, ifname)| Owner { container_id, ifname }.content()).collect();
    let containers: HashSet<&str> = valid.iter().map(|(container_id, _)| container_id.trim()).collect();
    let mut stale = Vec::new();
    sweep(&store, |reservation, content| {
        let is_listed = exact.contains(content.trim()) || containers.contains(content.trim());
        let is_living = containers.contains(owner::container(content));
        let stays = is_listed || (is_living && store.origin(&reservation.name)? == Origin::Foreign);
        if !stays {
            stale.push(reservation);
        }
        Ok(())
    })?;
    release_all(&store, &stale)
}
