//! Giving addresses back: at once if the API server answers, else from a file until it does.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use plexus_cni::{CniError, Code};

use super::cluster::Cluster;
use super::config::Config;
use super::pending::{PoolPlace, Release};
use super::range::{Range, RangeText};
use super::wish::{Wish, is_of};
use super::{names, reservation};
use crate::cluster::{ApiError, IpPool};
use crate::ipam::IpamRequest;

/// How long a DEL waits for the API server; a pod must not hang in Terminating because that is away.
const DEL_MAX: Duration = Duration::from_secs(2);

/// Releases what this container's interface holds. Where the API server does not take it now, the release is kept and
/// tried again until it does, and this is a success.
pub(in crate::ipam) fn del(request: &IpamRequest) -> Result<(), CniError> {
    let config = match Config::of(request) {
        Ok(config) => config,
        Err(refused) if refused.code == Code::Io => return Err(refused),
        Err(refused) => {
            // ADD refuses such a config too, so nothing of ours is there; a pod must not hang in Terminating.
            tracing::warn!(network = request.network, "whereabouts DEL skipped: {refused}");
            return Ok(());
        }
    };
    now_or_later(request.cluster()?, &of(request, &config, Vec::new()), request.deadline)
}

/// What the interface of this request has to give back.
pub(super) fn of(request: &IpamRequest, config: &Config, reservations: Vec<String>) -> Release {
    let mut pools: Vec<PoolPlace> = Vec::new();
    for part in &config.parts {
        let place = PoolPlace { name: part.pool.clone(), network: part.range.network };
        if !pools.contains(&place) {
            pools.push(place);
        }
    }
    Release {
        network: request.network.to_owned(),
        container_id: request.container_id.to_owned(),
        ifname: request.ifname.to_owned(),
        podref: request.args.pod().map(|(namespace, name)| format!("{namespace}/{name}")).unwrap_or_default(),
        network_name: config.network_name.clone(),
        overlapping: config.overlapping,
        pools,
        reservations,
        not_before_s: 0,
    }
}

/// Releases, or keeps the release for later; an error only if neither is possible. One whose time has not come is made and
/// kept: it is made again then.
pub(super) fn now_or_later(cluster: &Cluster, release: &Release, deadline: Instant) -> Result<(), CniError> {
    let why = if cluster.is_away() {
        "the API server did not answer a moment ago".to_owned()
    } else {
        let outcome = now(cluster, release, deadline.min(Instant::now() + DEL_MAX));
        cluster.note(&outcome);
        match outcome {
            Ok(()) if release.is_due(SystemTime::now()) => return Ok(()),
            Ok(()) => "what the failed ADD asked for may still take effect".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    tracing::warn!(
        network = release.network,
        container = release.container_id,
        interface = release.ifname,
        why,
        "addresses are released later; it is tried again until it works"
    );
    cluster.pending.put(release)
}

/// Makes kept releases of one interface; an error if one of them is still not possible.
pub(super) fn finish(
    cluster: &Cluster,
    container_id: &str,
    ifname: &str,
    deadline: Instant,
) -> Result<(), CniError> {
    for release in cluster.pending.of(container_id, ifname)? {
        let outcome = now(cluster, &release, deadline);
        cluster.note(&outcome);
        outcome.map_err(|error| {
            CniError::from(error)
                .within("addresses of an earlier attachment of this interface are not released yet")
        })?;
        cluster.pending.done(&release)?;
    }
    Ok(())
}

/// Releases now; what is not there any more is a success.
pub(super) fn now(cluster: &Cluster, release: &Release, deadline: Instant) -> Result<(), ApiError> {
    for place in &release.pools {
        from_pool(cluster, release, place, deadline)?;
    }
    for name in &release.reservations {
        reservation::give_back(cluster, name, &release.holder(), deadline)?;
    }
    Ok(())
}

fn from_pool(
    cluster: &Cluster,
    release: &Release,
    place: &PoolPlace,
    deadline: Instant,
) -> Result<(), ApiError> {
    let shared = cluster.pool(&place.name, place.network);
    let store = &*cluster.store;
    let mut pool = shared.look(store, None, deadline)?;
    let mut held = held(pool.as_ref(), release);
    if held.is_empty() {
        // What is known may be older than the allocation.
        pool = shared.look(store, Some(Instant::now()), deadline)?;
        held = self::held(pool.as_ref(), release);
    }
    let text = RangeText { range: place.network.to_string(), ..RangeText::default() };
    let range = Range::new(&text, "pool").ok();
    for (offset, podref) in held {
        // The reservation goes first: what is left after a crash in between is found by container and interface.
        if let Some(address) =
            range.as_ref().filter(|_| release.overlapping).and_then(|range| range.address(offset))
        {
            let name = names::reservation(&release.network_name, address);
            let holder = crate::cluster::Allocation { podref, ..release.holder() };
            reservation::give_back(cluster, &name, &holder, deadline)?;
        }
        let (id, ifname) = (release.container_id.clone(), release.ifname.clone());
        shared.make(store, Wish::Free { offset, id, ifname }, deadline)?;
    }
    Ok(())
}

/// Offsets that this interface holds, with the pod that they name.
fn held(pool: Option<&Arc<IpPool>>, release: &Release) -> Vec<(u128, String)> {
    let Some(pool) = pool else { return Vec::new() };
    let ours =
        pool.allocations.iter().filter(|(_, held)| is_of(held, &release.container_id, &release.ifname));
    ours.map(|(offset, held)| (*offset, held.podref.clone())).collect()
}
