//! A hold that looks like a leak.

use super::decide::Leak;
use super::hold::{Hold, Place};

/// What was found, why, and of which pod: another one of its name is another case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suspect {
    /// What is held.
    pub(super) hold: Hold,
    /// Why nobody holds it.
    pub(super) leak: Leak,
    /// UID of the pod that lives under the holder's name; empty without one.
    pub(super) pod_uid: String,
}

impl Suspect {
    /// Says that it was freed.
    pub(super) fn log(&self) {
        let Hold { place, address, container_id, podref, ifname } = &self.hold;
        let (kind, object) = match place {
            Place::Pool { pool, .. } => ("IPPool", pool),
            Place::Reservation { name } => ("OverlappingRangeIPReservation", name),
        };
        let address = address.map(|address| address.to_string()).unwrap_or_default();
        let why = self.leak.to_string();
        tracing::info!(
            kind,
            object,
            address,
            pod = podref,
            container = container_id,
            interface = ifname,
            why,
            "an address was freed that nobody holds"
        );
    }
}
