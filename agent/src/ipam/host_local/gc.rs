//! GC: release what the runtime does not know any more.

use std::collections::HashSet;

use plexus_cni::CniError;

use super::owner::Owner;
use super::store::Store;
use super::{LOCK_WAIT, release_all, sweep};
use crate::ipam::IpamRequest;

/// Releases every reservation whose (container id, interface) is not in `valid`; goes on after an error (C113).
pub(in crate::ipam) fn gc(request: &IpamRequest, valid: &[(String, String)]) -> Result<(), CniError> {
    let Some(store) = Store::existing(&request.place()?, request.network, LOCK_WAIT)? else {
        return Ok(());
    };
    let exact: HashSet<String> =
        valid.iter().map(|(container_id, ifname)| Owner { container_id, ifname }.content()).collect();
    let containers: HashSet<&str> = valid.iter().map(|(container_id, _)| container_id.trim()).collect();
    let mut stale = Vec::new();
    sweep(&store, |reservation, content| {
        if !exact.contains(content.trim()) && !containers.contains(content.trim()) {
            stale.push(reservation);
        }
        Ok(())
    })?;
    release_all(&store, &stale)
}
