//! Why interfaces do not have what their network or pod asks for by now.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The last refusal of each interface, until a change succeeds.
#[derive(Default)]
pub struct Refusals {
    of: Mutex<BTreeMap<(String, String), String>>,
}

impl Refusals {
    /// Why the interface of the container was left as it is, if it was.
    pub fn get(&self, container_id: &str, ifname: &str) -> Option<String> {
        self.lock().get(&(container_id.to_owned(), ifname.to_owned())).cloned()
    }

    /// How many interfaces were left as they are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether all interfaces have what is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes a refusal; whether it is new.
    pub(super) fn put(&self, container_id: &str, ifname: &str, why: &str) -> bool {
        let key = (container_id.to_owned(), ifname.to_owned());
        self.lock().insert(key, why.to_owned()).as_deref() != Some(why)
    }

    pub(super) fn clear(&self, container_id: &str, ifname: &str) {
        self.lock().remove(&(container_id.to_owned(), ifname.to_owned()));
    }

    /// Forgets containers that are gone.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().retain(|(container_id, _), _| is_there(container_id));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), String>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
