//! IPAM `host-local`: one free address of each range set, reserved by a file.

mod config;
mod data_dir;
mod lock;
mod owner;
mod range;
mod resolv_conf;
mod store;

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use plexus_cni::json::Object;
use plexus_cni::result::{CniResult, IpConfig};
use plexus_cni::{CniError, Code};

use self::config::Config;
use self::data_dir::DataDir;
use self::owner::{Match, Owner};
use self::range::{Range, RangeSet};
use self::store::{Reservation, Store};
use super::{IpamRequest, IpamResult};

/// How long another holder of the lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How many holders of a full range a message names.
const HOLDERS_SHOWN: usize = 3;
/// Most tries to create a file that was free when the directory was read; another one means a user without the lock.
const RESERVE_TRIES: usize = 16;

impl<'a> IpamRequest<'a> {
    fn owner(&self) -> Owner<'a> {
        Owner { container_id: self.container_id, ifname: self.ifname }
    }

    fn place(&self) -> Result<DataDir, CniError> {
        DataDir::new(&config::data_dir(self)?, self.data_dirs)
    }
}

/// Checks ranges, requested addresses, routes and the directory's name.
pub(super) fn validate(request: &IpamRequest) -> Result<(), CniError> {
    Config::of(request)?;
    request.place().map(drop)
}

/// Reserves one address of each range set; on failure what this call reserved is released again.
pub(super) fn add(request: &IpamRequest) -> Result<IpamResult, CniError> {
    let config = Config::of(request)?;
    let dns = config.resolv_conf.as_deref().map(resolv_conf::read).transpose()?.unwrap_or_default();
    let store = Store::create(&request.place()?, request.network, LOCK_WAIT)?;
    let mut taken = taken_by_others(&store, request.owner(), &config.sets)?;
    let mut reserved = Vec::with_capacity(config.sets.len());
    for (index, (set, wanted)) in config.sets.iter().zip(&config.wanted).enumerate() {
        let outcome = match wanted {
            Some(address) => reserve_wanted(&store, request.owner(), set, *address),
            None => reserve_next(&store, request.owner(), index, set, &mut taken),
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

/// Releases what this container holds for this interface; files of an old version only where there is no other.
pub(super) fn del(request: &IpamRequest) -> Result<(), CniError> {
    let place = match request.place() {
        Ok(place) => place,
        Err(refused) => {
            // ADD refuses such a directory too, so nothing of ours is there; a pod must not hang in Terminating.
            tracing::warn!(network = request.network, "host-local DEL skipped: {refused}");
            return Ok(());
        }
    };
    let Some(store) = Store::existing(&place, request.network, LOCK_WAIT)? else {
        return Ok(());
    };
    let (mut exact, mut legacy) = (Vec::new(), Vec::new());
    sweep(&store, |reservation, content| {
        match request.owner().holds(content) {
            Match::Exact => exact.push(reservation),
            Match::Legacy => legacy.push(reservation),
            Match::No => {}
        }
        Ok(())
    })?;
    let ours = if exact.is_empty() { legacy } else { exact };
    release_all(&store, &ours)
}

/// Every address of `prevResult` that lies in our ranges is held by this container and interface.
pub(super) fn check(request: &IpamRequest) -> Result<(), CniError> {
    let config = Config::of(request)?;
    let previous = request.config.get("prevResult").filter(|value| !value.is_null()).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, "key \"prevResult\" is missing")
            .because("CHECK compares with the result of ADD")
    })?;
    let previous = CniResult::from_value(previous, "prevResult")?;
    let ours = |address: &IpAddr| config.sets.iter().any(|set| set.range_for(*address).is_some());
    let addresses: Vec<IpAddr> =
        previous.ips.iter().map(|ip| ip.address.addr().to_canonical()).filter(ours).collect();
    let fail = |what: String, why: String| {
        let what = format!("container {} interface {:?}: {what}", request.container_id, request.ifname);
        Err(CniError::new(Code::CheckFailed, what).because(why))
    };
    if addresses.is_empty() {
        return fail(
            "prevResult holds no address of the configured ranges".into(),
            "attach the pod anew".into(),
        );
    }
    let store = Store::look(&request.place()?, request.network)?;
    for address in addresses {
        let content = match &store {
            Some(store) => store.content(&address.to_string())?,
            None => String::new(),
        };
        if content.trim().is_empty() {
            return fail(
                format!("the reservation of {address} is gone"),
                "another pod may get the address; recreate this pod".into(),
            );
        }
        if request.owner().holds(&content) == Match::No {
            return fail(
                format!("address {address} is not ours"),
                format!("held by {}", owner::describe(&content)),
            );
        }
    }
    Ok(())
}

/// Every range set has a free address; reads the directory's names only.
pub(super) fn status(request: &IpamRequest) -> Result<(), CniError> {
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

/// Releases every reservation whose (container id, interface) is not in `valid`; goes on after an error (C113).
pub(super) fn gc(request: &IpamRequest, valid: &[(String, String)]) -> Result<(), CniError> {
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

/// Visits every reservation with its content, and removes empty files: under the lock nobody is writing, so an empty
/// file was left by a process that died between creating and writing it.
fn sweep(
    store: &Store,
    mut visit: impl FnMut(Reservation, &str) -> Result<(), CniError>,
) -> Result<(), CniError> {
    for reservation in store.reservations()? {
        let content = store.content(&reservation.name)?;
        if content.is_empty() {
            store.release(&reservation.name)?;
        } else {
            visit(reservation, &content)?;
        }
    }
    Ok(())
}

fn reserve_wanted<'a>(
    store: &Store,
    owner: Owner,
    set: &'a RangeSet,
    address: IpAddr,
) -> Result<(&'a Range, IpAddr), CniError> {
    let unavailable = |why: String| {
        CniError::new(Code::AddressUnavailable, format!("requested address {address} cannot be given"))
            .because(why)
    };
    let range = set.range_for(address).ok_or_else(|| unavailable(format!("it lies outside {set}")))?;
    if store.reserve(address, owner)? {
        return Ok((range, address));
    }
    let holder = store.content(&address.to_string())?;
    Err(unavailable(format!("held by {}", owner::describe(&holder))))
}

fn reserve_next<'a>(
    store: &Store,
    owner: Owner,
    index: usize,
    set: &'a RangeSet,
    taken: &mut HashSet<IpAddr>,
) -> Result<(&'a Range, IpAddr), CniError> {
    let last = store.last_reserved(index);
    for _ in 0..RESERVE_TRIES {
        let Some((range, address)) = set.next_free(last, taken) else {
            return Err(exhausted(store, set)?);
        };
        if store.reserve(address, owner)? {
            return Ok((range, address));
        }
        taken.insert(address);
    }
    Err(CniError::new(Code::TryAgain, format!("no address of {set} could be reserved"))
        .because("another process creates reservations without taking the lock"))
}

/// The error for a full range: which, how large, and who holds it.
fn exhausted(store: &Store, set: &RangeSet) -> Result<CniError, CniError> {
    let held: Vec<Reservation> =
        store.reservations()?.into_iter().filter(|found| set.range_for(found.address).is_some()).collect();
    let mut holders = Vec::with_capacity(HOLDERS_SHOWN);
    for reservation in held.iter().take(HOLDERS_SHOWN) {
        let content = store.content(&reservation.name)?;
        holders.push(format!("{} by {}", reservation.address, owner::describe(&content)));
    }
    if held.len() > HOLDERS_SHOWN {
        holders.push(format!("and {} more", held.len() - HOLDERS_SHOWN));
    }
    let what = format!("no free address in range {set}: all {} addresses are held", set.capacity());
    Ok(CniError::new(Code::RangeExhausted, what)
        .because(format!("held: {}; delete pods or enlarge the range", holders.join(", "))))
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

fn release_all(store: &Store, reservations: &[Reservation]) -> Result<(), CniError> {
    let failed: Vec<CniError> =
        reservations.iter().filter_map(|reservation| store.release(&reservation.name).err()).collect();
    match failed.split_first() {
        None => Ok(()),
        Some((first, rest)) => {
            let all = rest.iter().fold(first.details.clone(), |all, error| format!("{all}; {error}"));
            Err(first.clone().because(all))
        }
    }
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

#[cfg(test)]
mod tests;
