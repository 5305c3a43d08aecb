//! What is said about a range without a free address.

use plexus_cni::{CniError, Code};

use super::range::RangeSet;
use super::store::{Reservation, Store};

/// How many holders of a full range a message names.
const HOLDERS_SHOWN: usize = 3;

/// The error for a full range: which, how large, and who holds it.
pub(super) fn exhausted(store: &Store, set: &RangeSet) -> Result<CniError, CniError> {
    let held: Vec<Reservation> =
        store.reservations()?.into_iter().filter(|found| set.range_for(found.address).is_some()).collect();
    let mut holders = Vec::with_capacity(HOLDERS_SHOWN);
    for reservation in held.iter().take(HOLDERS_SHOWN) {
        holders.push(format!("{} by {}", reservation.address, store.holder(&reservation.name)?));
    }
    if held.len() > HOLDERS_SHOWN {
        holders.push(format!("and {} more", held.len() - HOLDERS_SHOWN));
    }
    let what = format!("no free address in range {set}: all {} addresses are held", set.capacity());
    Ok(CniError::new(Code::RangeExhausted, what)
        .because(format!("held: {}; delete pods or enlarge the range", holders.join(", "))))
}
