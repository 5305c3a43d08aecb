//! Something that the API server says is held: an address of a pool, or a reservation.

use std::net::IpAddr;

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// An entry of an IPPool.
    Pool {
        /// The object's name.
        pool: String,
        /// The entry's key.
        offset: u128,
    },
    /// An OverlappingRangeIPReservation, by its name.
    Reservation {
        /// The object's name.
        name: String,
    },
}

/// A held address, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hold {
    /// Where that is written.
    pub place: Place,
    /// The address; `None` where the object's range or name cannot be read.
    pub address: Option<IpAddr>,
    /// The sandbox.
    pub container_id: String,
    /// `namespace/name` of its pod.
    pub podref: String,
    /// The interface; empty in objects of old releases.
    pub ifname: String,
}

impl Hold {
    /// Namespace and name of the pod, if that is what `podref` holds.
    pub fn pod(&self) -> Option<(&str, &str)> {
        let (namespace, name) = self.podref.split_once('/')?;
        let is_plain = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        is_plain.then_some((namespace, name))
    }
}
