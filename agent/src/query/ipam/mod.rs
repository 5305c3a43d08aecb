//! `plexusctl ipam [POOL]`: pools of addresses, how full they are, who holds what, and what contradicts.

mod cluster;
mod conflicts;
mod local;
mod pool;
mod slices;

use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};
use serde::Serialize;

use self::pool::Pool;
use crate::agent::Agent;
use crate::cluster::{ApiError, ApiErrorKind, PoolStore};

/// How long the API server may take for all its lists; plexusctl waits a little longer for the answer.
const READ_WAIT: Duration = Duration::from_secs(7);
/// Most holders of an answer.
const HOLDERS_MAX: usize = 20_000;

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ipam {
    pools: Vec<Pool>,
    /// Holders that had no place in the answer.
    holders_left_out: usize,
    /// What could not be read, for people.
    errors: Vec<String>,
}

/// All pools without their holders, or those that `wanted` names (by name, network or range) with them.
pub(super) fn ipam(agent: &Agent, wanted: Option<&str>) -> Result<Ipam, CniError> {
    let mut errors = Vec::new();
    let mut pools = local::pools(agent);
    pools.extend(local::leased(agent));
    pools.extend(slices::pools(agent));

    if let Some(api) = &agent.api {
        match read(&**api) {
            Ok(found) => pools.extend(found),
            Err(error) => errors.push(format!("{error}; {}", error.advice())),
        }
    }
    let mut holders_left_out = 0;
    if let Some(wanted) = wanted {
        pools.retain(|pool| pool.is_called(wanted));
        if pools.is_empty() {
            let known = "`plexusctl ipam` lists pools by name, network and range";
            let why = if errors.is_empty() { known.to_owned() } else { errors.join("; ") };
            return Err(
                CniError::new(Code::NetworkNotFound, format!("no pool is called {wanted:?}")).because(why)
            );
        }
        let mut places = HOLDERS_MAX;
        for pool in &mut pools {
            holders_left_out += pool.bound_holders(places);
            places -= pool.holders.as_ref().map_or(0, Vec::len);
        }
    } else {
        for pool in &mut pools {
            pool.holders = None;
        }
    }
    Ok(Ipam { pools, holders_left_out, errors })
}

/// The pools of the API server; none where nobody made the kinds of whereabouts.
fn read(api: &dyn PoolStore) -> Result<Vec<Pool>, ApiError> {
    let deadline = Instant::now() + READ_WAIT;
    let lists = || {
        let (pools, reservations) = (api.pools(deadline)?, api.reservations(deadline)?);
        Ok((pools, reservations, api.slice_pools(deadline)?))
    };
    match lists() {
        Ok((pools, reservations, slice_pools)) => Ok(cluster::pools(&pools, &reservations, &slice_pools)),
        Err(ApiError { kind: ApiErrorKind::NotFound, .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
