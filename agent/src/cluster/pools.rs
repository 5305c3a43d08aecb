//! The cluster's pools of addresses: the objects of `whereabouts.cni.cncf.io/v1alpha1`, as far as they are used.
//!
//! Each call is one request, or one for each page of a list. Who lost a race gets [`ApiErrorKind::Conflict`] and
//! reads again.
//!
//! [`ApiErrorKind::Conflict`]: super::ApiErrorKind::Conflict

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use super::ApiError;

/// An IPPool: the allocated addresses of one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpPool {
    /// The object's name, which follows from the range.
    pub name: String,
    /// The version that it was read with; the original tests its changes against it.
    pub resource_version: String,
    /// The whole range in CIDR notation.
    pub range: String,
    /// Who holds what, by offset from the range's first address.
    pub allocations: BTreeMap<u128, Allocation>,
}

/// The holder of one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// The container's id.
    pub id: String,
    /// The pod: `namespace/name`.
    pub podref: String,
    /// The interface inside the container; empty in objects of old versions.
    pub ifname: String,
}

/// One step of a change to an IPPool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolChange {
    /// The address, as an offset from the range's first one.
    pub offset: u128,
    /// The new holder; `None` removes the allocation, which must be there.
    pub to: Option<Allocation>,
}

/// An OverlappingRangeIPReservation: one address, whatever ranges it lies in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// The object's name, which follows from the address.
    pub name: String,
    /// The container's id; empty in those that the original made.
    pub container_id: String,
    /// The pod: `namespace/name`.
    pub podref: String,
    /// The interface inside the container.
    pub ifname: String,
    /// The version that it was read with; empty where it was not.
    pub resource_version: String,
}

/// A NodeSlicePool: a range that is dealt out to nodes in slices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlicePool {
    /// The object's name.
    pub name: String,
    /// The version that it was read with.
    pub resource_version: String,
    /// The whole range in CIDR notation.
    pub range: String,
    /// A slice's prefix length, as configured: `/28` or `28`.
    pub slice_size: String,
    /// All slices, in the order of their addresses.
    pub slices: Vec<Slice>,
}

/// One slice of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// The Node object's name; empty for a free slice.
    pub node: String,
    /// The slice in CIDR notation.
    pub range: String,
}

/// What the API server says about a pod now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LivePod {
    /// `metadata.uid`
    pub uid: String,
    /// `spec.nodeName`; empty until it is scheduled.
    pub node: String,
    /// All addresses of its network-status.
    pub ips: Vec<IpAddr>,
    /// Whether there is a network-status that can be read.
    pub has_status: bool,
    /// Whether it has succeeded or failed for good.
    pub has_ended: bool,
}

/// A Lease of `coordination.k8s.io/v1`, by which one of several is elected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// The object's name.
    pub name: String,
    /// The version that a replacement is tested against.
    pub resource_version: String,
    /// Who leads; empty for nobody.
    pub holder: String,
    /// For how long a renewal counts, in seconds.
    pub duration_s: u32,
    /// When the holder came to lead.
    pub acquired: Option<SystemTime>,
    /// When the holder renewed last.
    pub renewed: Option<SystemTime>,
    /// How often the holder changed.
    pub transitions: u32,
}

/// Reads and writes the cluster's pools. Every call blocks until it is answered, at most until `deadline`.
pub trait PoolStore: Send + Sync {
    /// The pool of this name, if there is one.
    fn pool(&self, name: &str, deadline: Instant) -> Result<Option<IpPool>, ApiError>;

    /// All pools.
    fn pools(&self, deadline: Instant) -> Result<Vec<IpPool>, ApiError>;

    /// Makes an empty pool; one that is there already is a conflict.
    fn create_pool(&self, name: &str, range: &str, deadline: Instant) -> Result<IpPool, ApiError>;

    /// Makes all changes or none, provided that each entry to be changed is still as in `pool`: else it is a conflict.
    /// Other entries may have changed meanwhile, so that nodes which take other addresses do not hinder each other.
    fn change_pool(
        &self,
        pool: &IpPool,
        changes: &[PoolChange],
        deadline: Instant,
    ) -> Result<IpPool, ApiError>;

    /// The reservation of this name, if there is one.
    fn reservation(&self, name: &str, deadline: Instant) -> Result<Option<Reservation>, ApiError>;

    /// All reservations.
    fn reservations(&self, deadline: Instant) -> Result<Vec<Reservation>, ApiError>;

    /// Makes a reservation and returns it with its version; one that is there already is a conflict.
    fn reserve(&self, reservation: &Reservation, deadline: Instant) -> Result<Reservation, ApiError>;

    /// Deletes a reservation, provided that it still has this version where one is given. One that is gone is a success.
    fn unreserve(
        &self,
        name: &str,
        resource_version: Option<&str>,
        deadline: Instant,
    ) -> Result<(), ApiError>;

    /// The slice pool of this name, if there is one.
    fn slice_pool(&self, name: &str, deadline: Instant) -> Result<Option<SlicePool>, ApiError>;

    /// All slice pools.
    fn slice_pools(&self, deadline: Instant) -> Result<Vec<SlicePool>, ApiError>;

    /// Makes a slice pool with all its slices; one that is there already is a conflict.
    fn create_slice_pool(&self, pool: &SlicePool, deadline: Instant) -> Result<SlicePool, ApiError>;

    /// Gives slice `index` to a node, or frees it with an empty name, provided that it is still as `slice` says. Other
    /// slices may change meanwhile: many nodes write one object.
    fn change_slice(
        &self,
        pool: &str,
        index: usize,
        slice: &Slice,
        to_node: &str,
        deadline: Instant,
    ) -> Result<(), ApiError>;

    /// Whether there is a Node object of this name.
    fn node_exists(&self, name: &str, deadline: Instant) -> Result<bool, ApiError>;

    /// The pod of this name, read from the API server and from no cache, if there is one.
    fn pod_now(&self, namespace: &str, name: &str, deadline: Instant) -> Result<Option<LivePod>, ApiError>;

    /// The lease of this name, if there is one.
    fn lease(&self, name: &str, deadline: Instant) -> Result<Option<Lease>, ApiError>;

    /// Makes a lease; one that is there already is a conflict.
    fn create_lease(&self, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError>;

    /// Replaces a lease, provided that it still has this one's version: else it is a conflict.
    fn replace_lease(&self, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError>;
}
