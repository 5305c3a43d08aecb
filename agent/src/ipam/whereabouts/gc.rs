//! GC: release what earlier sandboxes of this node's pods left.

use std::time::Instant;

use plexus_cni::CniError;

use super::config::Config;
use super::release;
use super::wish::is_of;
use crate::ipam::IpamRequest;

/// A container that is attached on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSandbox {
    /// Its id.
    pub container_id: String,
    /// Its pod: `namespace/name`.
    pub podref: String,
}

/// Releases allocations of pods that have a sandbox in `live`, but of another container that is neither in `live` nor
/// in `valid`: a pod has one sandbox at a time. Allocations of other pods may be another node's, and are left to the
/// reconciler. Goes on after an error and returns the first.
pub(crate) fn gc(
    request: &IpamRequest,
    valid: &[(String, String)],
    live: &[LiveSandbox],
) -> Result<(), CniError> {
    let config = Config::of(request)?;
    let cluster = request.cluster()?;
    let mut first = Ok(());
    for part in &config.parts {
        let shared = cluster.pool(&part.pool, part.range.network);
        let Some(pool) = shared.look(&*cluster.store, Some(Instant::now()), request.deadline)? else {
            continue;
        };
        for held in pool.allocations.values() {
            let is_here = live.iter().any(|sandbox| sandbox.podref == held.podref);
            let is_live = live.iter().any(|sandbox| sandbox.container_id == held.id);
            let is_valid = valid.iter().any(|(id, ifname)| is_of(held, id, ifname));
            if !is_here || is_live || is_valid {
                continue;
            }
            let mut left = release::of(request, &config, Vec::new());
            left.pools.retain(|place| place.name == part.pool);
            left.container_id.clone_from(&held.id);
            left.podref.clone_from(&held.podref);
            left.ifname.clone_from(&held.ifname);
            if let Err(error) = release::now(cluster, &left, request.deadline) {
                first = first.and(Err(error.into()));
            }
        }
    }
    first
}
