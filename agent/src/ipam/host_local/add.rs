//! ADD: one address of each range set.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::json::Object;
use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, Code};

use super::config::Config;
use super::exhausted::exhausted;
use super::owner::{self, Match, Owner};
use super::range::{Range, RangeSet};
use super::store::Store;
use super::{LOCK_WAIT, resolv_conf, sweep};
use crate::ipam::{IpamRequest, IpamResult};

/// Most tries to create a file that was free when the directory was read; another one means a user without the lock.
const RESERVE_TRIES: usize = 16;

/// Reserves one address of each range set; on failure what this call reserved is released again.
pub(in crate::ipam) fn add(request: &IpamRequest) -> Result<IpamResult, CniError> {
    let config = Config::of(request)?;
    let dns = config.resolv_conf.as_deref().map(resolv_conf::read).transpose()?.unwrap_or_default();
    let store = Store::create(&request.place()?, request.network, LOCK_WAIT)?;
    let mut taken = taken_by_others(&store, request.owner(), &config.sets)?;
    let mut reserved = Vec::with_capacity(config.sets.len());
    for (index, (set, wanted)) in config.sets.iter().zip(&config.wanted).enumerate() {
        let outcome = match wanted {
            Some(address) => reserve_wanted(&store, request, set, *address),
            None => reserve_next(&store, request, index, set, &mut taken),
        };
        let outcome = outcome.and_then(|(range, address)| {
            reserved.push((range, address));
            store.set_last_reserved(index, address)
        });
        if let Err(error) = outcome {
            return Err(undo(&store, &reserved, error));
        }
    }
    Ok(IpamResult { ips: reserved.iter().map(ip_config).collect(), routes: config.routes, dns })
}

/// The addresses in use; a reservation of `owner` itself in one of the sets means a second ADD and is refused.
fn taken_by_others(store: &Store, owner: Owner, sets: &[RangeSet]) -> Result<HashSet<IpAddr>, CniError> {
    let mut taken = HashSet::new();
    sweep(store, |reservation, content| {
        let address = reservation.address;
        if owner.holds(content) != Match::No && sets.iter().any(|set| set.range_for(address).is_some()) {
            let what = format!("{address} is already reserved for {}", owner::describe(content));
            return Err(CniError::new(Code::AlreadyAttached, what)
                .because("an attachment is added once; DEL it before another ADD"));
        }
        taken.insert(address);
        Ok(())
    })?;
    Ok(taken)
}

fn reserve_wanted<'a>(
    store: &Store,
    request: &IpamRequest,
    set: &'a RangeSet,
    address: IpAddr,
) -> Result<(&'a Range, IpAddr), CniError> {
    let unavailable = |why: String| {
        CniError::new(Code::AddressUnavailable, format!("requested address {address} cannot be given"))
            .because(why)
    };
    let range = set.range_for(address).ok_or_else(|| unavailable(format!("it lies outside {set}")))?;
    if store.reserve(address, request.owner(), &request.stamp())? {
        return Ok((range, address));
    }
    let holder = store.holder(&address.to_string())?;
    Err(unavailable(format!("held by {holder}")))
}

fn reserve_next<'a>(
    store: &Store,
    request: &IpamRequest,
    index: usize,
    set: &'a RangeSet,
    taken: &mut HashSet<IpAddr>,
) -> Result<(&'a Range, IpAddr), CniError> {
    let last = store.last_reserved(index);
    for _ in 0..RESERVE_TRIES {
        let Some((range, address)) = set.next_free(last, taken) else {
            return Err(exhausted(store, set)?);
        };
        if store.reserve(address, request.owner(), &request.stamp())? {
            return Ok((range, address));
        }
        taken.insert(address);
    }
    Err(CniError::new(Code::TryAgain, format!("no address of {set} could be reserved"))
        .because("another process creates reservations without taking the lock"))
}

fn undo(store: &Store, reserved: &[(&Range, IpAddr)], error: CniError) -> CniError {
    let mut details = error.details.clone();
    for (_, address) in reserved {
        if let Err(second) = store.release(&address.to_string()) {
            details = format!("{details}; then {second}");
        }
    }
    error.because(details)
}

fn ip_config((range, address): &(&Range, IpAddr)) -> IpConfig {
    let subnet = range.subnet;
    let address = match IpNet::new(*address, subnet.prefix_len()) {
        Ok(address) => address,
        // The prefix length belongs to a subnet of the same family, so it fits.
        Err(_) => IpNet::from(*address),
    };
    IpConfig { address, gateway: Some(range.gateway), interface: None, extra: Object::new() }
}
