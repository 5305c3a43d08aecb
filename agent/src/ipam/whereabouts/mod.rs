//! IPAM `whereabouts`: addresses of ranges that a whole cluster shares, kept in the API server.
//!
//! The objects and their names are those of the original plugin, so that nodes with it and nodes with Plexus allocate
//! from one pool. The facts are those of whereabouts v0.9.4.
//!
//! An ADD reserves an address against all other ranges, then takes it in its pool by a patch that tests the address's own
//! entry. Both name container, pod and interface, so whatever a crash leaves in between is found by the next
//! ADD, by DEL or by the reconciler. Nobody is elected for it: who loses a race reads again.

mod allocate;
pub mod backoff;
mod check;
pub mod choose;
mod cluster;
pub mod config;
mod crowd;
pub mod exhausted;
mod flat_file;
mod gc;
pub mod names;
pub mod pending;
pub mod range;
pub mod reconcile;
mod release;
mod reservation;
mod retry;
pub mod shared;
pub mod slices;
mod status;
pub mod wish;

use plexus_cni::CniError;

pub use self::cluster::Cluster;
use self::config::Config;
pub use self::gc::LiveSandbox;
pub use self::retry::pending as retry_pending;
use self::slices::verbs;
use super::{IpamRequest, IpamResult};

/// Checks ranges, requested addresses and routes; nothing is asked.
pub(super) fn validate(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    if config.has_slices() { verbs::specs(&config, request.network).map(drop) } else { Ok(()) }
}

/// ADD: from pools of the cluster, or in fast mode from this node's slices.
pub(super) fn add(request: &IpamRequest) -> Result<IpamResult, CniError> {
    let config = Config::of(request)?;
    if config.has_slices() {
        verbs::add(&*request.cluster()?.slices()?, request, config)
    } else {
        allocate::add(request)
    }
}

/// DEL: whatever the interface holds in this node's slices, and what it holds in the pools that its config names.
pub(super) fn del(request: &IpamRequest) -> Result<(), CniError> {
    let slices = request.cluster()?.slices();
    if let Ok(slices) = &slices {
        slices.release(request.container_id, request.ifname)?;
    }
    match Config::of(request) {
        Ok(config) if config.has_slices() => slices.map(drop),
        _ => release::del(request),
    }
}

/// CHECK: the addresses are still this interface's.
pub(super) fn check(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    if config.has_slices() {
        verbs::check(&*request.cluster()?.slices()?, request, &config)
    } else {
        check::check(request)
    }
}

/// STATUS: an ADD could be served.
pub(super) fn status(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    if config.has_slices() {
        verbs::status(&*request.cluster()?.slices()?, request, &config)
    } else {
        status::status(request)
    }
}

/// GC: what containers hold that are gone.
pub(crate) fn gc(
    request: &IpamRequest,
    valid: &[(String, String)],
    live: &[LiveSandbox],
) -> Result<(), CniError> {
    if Config::of(request)?.has_slices() {
        request.cluster()?.slices()?.collect(request.network, valid).map(drop)
    } else {
        gc::gc(request, valid, live)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
