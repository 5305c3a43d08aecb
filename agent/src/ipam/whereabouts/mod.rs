//! IPAM `whereabouts`: addresses of ranges that a whole cluster shares, kept in the API server.
//!
//! The objects and their names are those of the original plugin, so that nodes with it and nodes with Plexus allocate
//! from one pool. The facts are those of whereabouts v0.9.4.
//!
//! An ADD reserves an address against all other ranges, then takes it in its pool by a patch that is tested against the
//! pool's version. Both name container, pod and interface, so whatever a crash leaves in between is found by the next
//! ADD, by DEL or by the reconciler. Nobody is elected for it: who loses a race reads again.

mod allocate;
pub mod backoff;
mod check;
pub mod choose;
mod cluster;
pub mod config;
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

pub(super) use self::allocate::add;
pub(super) use self::check::check;
pub use self::cluster::Cluster;
use self::config::Config;
pub use self::gc::LiveSandbox;
pub(crate) use self::gc::gc;
pub(super) use self::release::del;
pub use self::retry::pending as retry_pending;
pub(super) use self::status::status;
use super::IpamRequest;

/// Checks ranges, requested addresses and routes; nothing is asked.
pub(super) fn validate(request: &IpamRequest) -> Result<(), CniError> {
    Config::of(request).map(drop)
}

#[cfg(test)]
mod tests;
