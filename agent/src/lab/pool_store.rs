//! The cluster's pools in memory, for tests: it counts requests, loses some, and lets somebody else write in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::cluster::{
    ApiError, ApiErrorKind, IpPool, Lease, LivePod, PoolChange, PoolStore, Reservation, Slice, SlicePool,
};

/// How a request is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// On its way there: nothing happens.
    Before,
    /// On its way back: it took effect, and nobody hears of it.
    After,
}

/// All objects.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// IPPools by name.
    pub pools: BTreeMap<String, IpPool>,
    /// OverlappingRangeIPReservations by name.
    pub reservations: BTreeMap<String, Reservation>,
    /// NodeSlicePools by name.
    pub slice_pools: BTreeMap<String, SlicePool>,
    /// Leases by name.
    pub leases: BTreeMap<String, Lease>,
    /// Names of Node objects.
    pub nodes: BTreeSet<String>,
    /// Pods by `namespace/name`.
    pub pods: BTreeMap<String, LivePod>,
}

type Change = Box<dyn FnOnce(&mut Content) + Send>;

#[derive(Default)]
struct State {
    content: Content,
    version: u64,
    requests: Vec<(&'static str, &'static str)>,
    faults: BTreeMap<usize, Fault>,
    dies: Option<(usize, Fault)>,
    changes: BTreeMap<usize, Change>,
}

/// A [`PoolStore`] whose objects live as long as it does.
#[derive(Default)]
pub struct MemoryPools {
    state: Mutex<State>,
    latency: Duration,
}

impl MemoryPools {
    /// One that takes this long for each request.
    pub fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::default() }
    }

    /// Requests so far, as (verb, resource).
    pub fn requests(&self) -> Vec<(&'static str, &'static str)> {
        self.lock().requests.clone()
    }

    /// How many requests there were so far.
    pub fn count(&self) -> usize {
        self.lock().requests.len()
    }

    /// The objects as they are now.
    pub fn content(&self) -> Content {
        self.lock().content.clone()
    }

    /// Changes objects as somebody else would; what has changed gets a new version.
    pub fn edit(&self, change: impl FnOnce(&mut Content)) {
        self.lock().edit(change);
    }

    /// Loses the `nth` request from now; 0 is the next one.
    pub fn fail(&self, nth: usize, fault: Fault) {
        let mut state = self.lock();
        let at = state.requests.len() + nth;
        state.faults.insert(at, fault);
    }

    /// Loses the `nth` request from now so, and all that follow on their way there, until [`MemoryPools::revive`].
    pub fn die(&self, nth: usize, fault: Fault) {
        let mut state = self.lock();
        state.dies = Some((state.requests.len() + nth, fault));
    }

    /// Ends what [`MemoryPools::die`] began; says whether a request was lost.
    pub fn revive(&self) -> bool {
        let mut state = self.lock();
        let died = state.dies.take();
        died.is_some_and(|(at, _)| state.requests.len() > at)
    }

    /// Makes a change right before the `nth` request from now takes effect.
    pub fn before(&self, nth: usize, change: impl FnOnce(&mut Content) + Send + 'static) {
        let mut state = self.lock();
        let at = state.requests.len() + nth;
        state.changes.insert(at, Box::new(change));
    }

    /// Changes a pool as the original does: provided that the whole object is still of `pool`'s version.
    pub fn change_pool_of_version(
        &self,
        pool: &IpPool,
        changes: &[PoolChange],
        deadline: Instant,
    ) -> Result<IpPool, ApiError> {
        self.request("patch", "ippools", deadline, |state| {
            let found = state.content.pools.get(&pool.name).ok_or(NOT_FOUND)?;
            if found.resource_version != pool.resource_version {
                return Err(CONFLICT);
            }
            state.change_pool(&pool.name, changes)
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One request: counted, then lost or answered.
    fn request<T>(
        &self,
        verb: &'static str,
        resource: &'static str,
        deadline: Instant,
        act: impl FnOnce(&mut State) -> Result<T, (ApiErrorKind, u16)>,
    ) -> Result<T, ApiError> {
        if !self.latency.is_zero() {
            std::thread::sleep(self.latency);
        }
        let mut state = self.lock();
        let at = state.requests.len();
        state.requests.push((verb, resource));
        if let Some(change) = state.changes.remove(&at) {
            state.edit(change);
        }
        let fault = match state.dies {
            Some((from, fault)) if at == from => Some(fault),
            Some((from, _)) if at > from => Some(Fault::Before),
            _ => state.faults.remove(&at),
        };
        let lost = || ApiError {
            kind: ApiErrorKind::Unreachable,
            verb,
            resource,
            status: 0,
            why: "this request was lost".into(),
        };
        if fault == Some(Fault::Before) || Instant::now() > deadline {
            return Err(lost());
        }
        let outcome = act(&mut state);
        if fault == Some(Fault::After) {
            return Err(lost());
        }
        let why = "so it is".to_owned();
        outcome.map_err(|(kind, status)| ApiError { kind, verb, resource, status, why })
    }
}

const CONFLICT: (ApiErrorKind, u16) = (ApiErrorKind::Conflict, 409);
const NOT_FOUND: (ApiErrorKind, u16) = (ApiErrorKind::NotFound, 404);

impl State {
    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// Makes all changes of one pool or none.
    fn change_pool(&mut self, name: &str, changes: &[PoolChange]) -> Result<IpPool, (ApiErrorKind, u16)> {
        let version = self.next_version();
        let pool = self.content.pools.get_mut(name).ok_or(NOT_FOUND)?;
        let mut allocations = pool.allocations.clone();
        for PoolChange { offset, to } in changes {
            match to {
                Some(allocation) => drop(allocations.insert(*offset, allocation.clone())),
                // A JSON patch that removes what is not there is refused as a whole.
                None => drop(allocations.remove(offset).ok_or(CONFLICT)?),
            }
        }
        pool.allocations = allocations;
        pool.resource_version = version;
        Ok(pool.clone())
    }

    fn edit(&mut self, change: impl FnOnce(&mut Content)) {
        let before = self.content.clone();
        change(&mut self.content);
        let version = self.next_version();
        for (name, pool) in &mut self.content.pools {
            if before.pools.get(name) != Some(pool) {
                pool.resource_version.clone_from(&version);
            }
        }
        for (name, reservation) in &mut self.content.reservations {
            if before.reservations.get(name) != Some(reservation) {
                reservation.resource_version.clone_from(&version);
            }
        }
        for (name, pool) in &mut self.content.slice_pools {
            if before.slice_pools.get(name) != Some(pool) {
                pool.resource_version.clone_from(&version);
            }
        }
        for (name, lease) in &mut self.content.leases {
            if before.leases.get(name) != Some(lease) {
                lease.resource_version.clone_from(&version);
            }
        }
    }
}

impl PoolStore for MemoryPools {
    fn pool(&self, name: &str, deadline: Instant) -> Result<Option<IpPool>, ApiError> {
        self.request("get", "ippools", deadline, |state| Ok(state.content.pools.get(name).cloned()))
    }

    fn pools(&self, deadline: Instant) -> Result<Vec<IpPool>, ApiError> {
        self.request("list", "ippools", deadline, |state| Ok(state.content.pools.values().cloned().collect()))
    }

    fn create_pool(&self, name: &str, range: &str, deadline: Instant) -> Result<IpPool, ApiError> {
        self.request("create", "ippools", deadline, |state| {
            if state.content.pools.contains_key(name) {
                return Err(CONFLICT);
            }
            let pool = IpPool {
                name: name.into(),
                range: range.into(),
                resource_version: state.next_version(),
                ..IpPool::default()
            };
            state.content.pools.insert(name.into(), pool.clone());
            Ok(pool)
        })
    }

    fn change_pool(
        &self,
        pool: &IpPool,
        changes: &[PoolChange],
        deadline: Instant,
    ) -> Result<IpPool, ApiError> {
        self.request("patch", "ippools", deadline, |state| {
            let entry = |pool: &IpPool, offset: &u128| {
                pool.allocations.get(offset).map(|held| (held.id.clone(), held.podref.clone()))
            };
            let found = state.content.pools.get(&pool.name).ok_or(NOT_FOUND)?;
            if changes.iter().any(|change| entry(found, &change.offset) != entry(pool, &change.offset)) {
                return Err(CONFLICT);
            }
            state.change_pool(&pool.name, changes)
        })
    }

    fn reservation(&self, name: &str, deadline: Instant) -> Result<Option<Reservation>, ApiError> {
        self.request("get", "overlappingrangeipreservations", deadline, |state| {
            Ok(state.content.reservations.get(name).cloned())
        })
    }

    fn reservations(&self, deadline: Instant) -> Result<Vec<Reservation>, ApiError> {
        self.request("list", "overlappingrangeipreservations", deadline, |state| {
            Ok(state.content.reservations.values().cloned().collect())
        })
    }

    fn reserve(&self, reservation: &Reservation, deadline: Instant) -> Result<Reservation, ApiError> {
        self.request("create", "overlappingrangeipreservations", deadline, |state| {
            if state.content.reservations.contains_key(&reservation.name) {
                return Err(CONFLICT);
            }
            let made = Reservation { resource_version: state.next_version(), ..reservation.clone() };
            state.content.reservations.insert(made.name.clone(), made.clone());
            Ok(made)
        })
    }

    fn unreserve(
        &self,
        name: &str,
        resource_version: Option<&str>,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        self.request("delete", "overlappingrangeipreservations", deadline, |state| {
            let Some(found) = state.content.reservations.get(name) else { return Ok(()) };
            if resource_version.is_some_and(|version| version != found.resource_version) {
                return Err(CONFLICT);
            }
            state.content.reservations.remove(name);
            Ok(())
        })
    }

    fn slice_pool(&self, name: &str, deadline: Instant) -> Result<Option<SlicePool>, ApiError> {
        self.request("get", "nodeslicepools", deadline, |state| {
            Ok(state.content.slice_pools.get(name).cloned())
        })
    }

    fn slice_pools(&self, deadline: Instant) -> Result<Vec<SlicePool>, ApiError> {
        self.request("list", "nodeslicepools", deadline, |state| {
            Ok(state.content.slice_pools.values().cloned().collect())
        })
    }

    fn create_slice_pool(&self, pool: &SlicePool, deadline: Instant) -> Result<SlicePool, ApiError> {
        self.request("create", "nodeslicepools", deadline, |state| {
            if state.content.slice_pools.contains_key(&pool.name) {
                return Err(CONFLICT);
            }
            let made = SlicePool { resource_version: state.next_version(), ..pool.clone() };
            state.content.slice_pools.insert(made.name.clone(), made.clone());
            Ok(made)
        })
    }

    fn change_slice(
        &self,
        pool: &str,
        index: usize,
        slice: &Slice,
        to_node: &str,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        self.request("patch", "nodeslicepools", deadline, |state| {
            let version = state.next_version();
            let found = state.content.slice_pools.get_mut(pool).ok_or(NOT_FOUND)?;
            let entry = found.slices.get_mut(index).filter(|entry| *entry == slice).ok_or(CONFLICT)?;
            to_node.clone_into(&mut entry.node);
            found.resource_version = version;
            Ok(())
        })
    }

    fn node_exists(&self, name: &str, deadline: Instant) -> Result<bool, ApiError> {
        self.request("get", "nodes", deadline, |state| Ok(state.content.nodes.contains(name)))
    }

    fn pod_now(&self, namespace: &str, name: &str, deadline: Instant) -> Result<Option<LivePod>, ApiError> {
        let podref = format!("{namespace}/{name}");
        self.request("get", "pods", deadline, |state| Ok(state.content.pods.get(&podref).cloned()))
    }

    fn lease(&self, name: &str, deadline: Instant) -> Result<Option<Lease>, ApiError> {
        self.request("get", "leases", deadline, |state| Ok(state.content.leases.get(name).cloned()))
    }

    fn create_lease(&self, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError> {
        self.request("create", "leases", deadline, |state| {
            if state.content.leases.contains_key(&lease.name) {
                return Err(CONFLICT);
            }
            let made = Lease { resource_version: state.next_version(), ..lease.clone() };
            state.content.leases.insert(made.name.clone(), made.clone());
            Ok(made)
        })
    }

    fn replace_lease(&self, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError> {
        self.request("update", "leases", deadline, |state| {
            let version = state.next_version();
            let found = state.content.leases.get_mut(&lease.name).ok_or(NOT_FOUND)?;
            if found.resource_version != lease.resource_version {
                return Err(CONFLICT);
            }
            *found = Lease { resource_version: version, ..lease.clone() };
            Ok(found.clone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_change_is_tested_against_its_entries_and_the_originals_against_the_version() {
        let store = MemoryPools::default();
        let old = store.create_pool("p", "10.0.0.0/24", later()).unwrap();
        assert_eq!(store.create_pool("p", "10.0.0.0/24", later()).unwrap_err().kind, ApiErrorKind::Conflict);
        let change = PoolChange { offset: 1, to: Some(crate::cluster::Allocation::default()) };
        let new = store.change_pool(&old, std::slice::from_ref(&change), later()).unwrap();
        assert_eq!(store.change_pool(&old, &[change], later()).unwrap_err().kind, ApiErrorKind::Conflict);
        assert_eq!(store.pool("p", later()).unwrap(), Some(new));
        let other = PoolChange { offset: 2, to: Some(crate::cluster::Allocation::default()) };
        let refused = store.change_pool_of_version(&old, std::slice::from_ref(&other), later());
        assert_eq!(refused.unwrap_err().kind, ApiErrorKind::Conflict);
        let both = store.change_pool(&old, &[other], later()).unwrap();
        assert_eq!(both.allocations.len(), 2, "an old look at the rest does no harm");
        let gone = PoolChange { offset: 3, to: None };
        assert_eq!(store.change_pool(&both, &[gone], later()).unwrap_err().kind, ApiErrorKind::Conflict);
        assert_eq!(store.count(), 8);
    }

    #[test]
    fn a_lost_request_took_effect_or_not() {
        let store = MemoryPools::default();
        store.fail(0, Fault::Before);
        assert!(store.create_pool("p", "10.0.0.0/24", later()).is_err());
        assert!(store.content().pools.is_empty());
        store.die(0, Fault::After);
        assert!(store.create_pool("p", "10.0.0.0/24", later()).is_err());
        assert!(store.pool("p", later()).is_err() && store.revive());
        assert!(store.pool("p", later()).unwrap().is_some());
    }
}
