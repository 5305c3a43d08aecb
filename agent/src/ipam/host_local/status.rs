//! STATUS: could an ADD be served?

use std::collections::HashSet;
use std::net::IpAddr;

use plexus_cni::{CniError, Code};

use super::config::Config;
use super::exhausted::exhausted;
use super::store::Store;
use crate::ipam::IpamRequest;

/// Every range set has a free address; reads the directory's names only.
pub(in crate::ipam) fn status(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    let Some(store) = Store::look(&request.place()?, request.network)? else {
        return Ok(());
    };
    let taken: HashSet<IpAddr> = store.reservations()?.into_iter().map(|found| found.address).collect();
    match config.sets.iter().find(|set| set.next_free(None, &taken).is_none()) {
        None => Ok(()),
        Some(full) => Err(CniError { code: Code::Unavailable, ..exhausted(&store, full)? }),
    }
}
