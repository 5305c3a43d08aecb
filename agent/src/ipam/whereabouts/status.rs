//! STATUS: could an ADD be served?

use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};

use super::config::Config;
use super::exhausted::exhausted;
use crate::ipam::IpamRequest;

/// An answer that is no older will do: runtimes ask often.
const AGE_MAX: Duration = Duration::from_secs(10);
/// How long the API server is waited for.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Every pool can be read and has a free address.
pub(in crate::ipam) fn status(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    let cluster = request.cluster()?;
    let now = Instant::now();
    let (since, deadline) = (now.checked_sub(AGE_MAX), request.deadline.min(now + WAIT_MAX));
    for part in &config.parts {
        let shared = cluster.pool(&part.pool, part.range.network);
        let looked = shared.look(&*cluster.store, since, deadline);
        let unavailable = |error: CniError| CniError { code: Code::Unavailable, ..error };
        let Some(pool) = looked.map_err(|error| unavailable(error.into()))? else { continue };
        let held = pool.allocations.keys().filter(|offset| part.range.gives(**offset)).count();
        if part.range.capacity() <= held as u128 {
            return Err(unavailable(exhausted(&part.range, &pool, 0)));
        }
    }
    Ok(())
}
