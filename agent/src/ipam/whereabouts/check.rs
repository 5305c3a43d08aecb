//! CHECK: the allocations are there and ours.

use std::net::IpAddr;
use std::time::Instant;

use plexus_cni::{CniError, CniResult, Code};

use super::config::Config;
use super::wish::is_of;
use crate::ipam::IpamRequest;

/// Of each range an address of `prevResult` is allocated to this container's interface.
pub(in crate::ipam) fn check(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    let cluster = request.cluster()?;
    let previous = request.config.get("prevResult").filter(|value| !value.is_null()).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "key \"prevResult\" is missing")
            .because("CHECK compares with the result of ADD")
    })?;
    let previous = CniResult::from_value(previous, "prevResult")?;
    let addresses: Vec<IpAddr> = previous.ips.iter().map(|ip| ip.address.addr().to_canonical()).collect();
    let fail = |what: String, why: &str| {
        let what = format!("container {} interface {:?}: {what}", request.container_id, request.ifname);
        Err(CniError::new(Code::CheckFailed, what).because(why.to_owned()))
    };
    for part in &config.parts {
        let shared = cluster.pool(&part.pool, part.range.network);
        let pool = shared.look(&*cluster.store, Some(Instant::now()), request.deadline)?;
        let mut offsets = addresses.iter().filter_map(|address| part.range.offset(*address)).peekable();
        if offsets.peek().is_none() {
            let what = format!("prevResult holds no address of range {}", part.range);
            return fail(what, "attach the pod anew");
        }
        let holds = |offset: &u128| {
            let held = pool.as_ref().and_then(|pool| pool.allocations.get(offset));
            held.is_some_and(|held| is_of(held, request.container_id, request.ifname))
        };
        if !offsets.any(|offset| holds(&offset)) {
            let what =
                format!("no address of range {} is allocated to it in IPPool {}", part.range, part.pool);
            return fail(what, "another pod may get the address; recreate this pod");
        }
    }
    Ok(())
}
