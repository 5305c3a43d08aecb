//! Port ids: dense, so that maps can be arrays.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use plexus_cni::{CniError, Code};

/// The port ids in use.
pub struct PortPool {
    used: Mutex<BTreeSet<u32>>,
    ports_max: u32,
}

impl PortPool {
    /// A pool of ids below `ports_max` in which `used` are taken.
    pub fn new(ports_max: u32, used: impl IntoIterator<Item = u32>) -> Self {
        Self { used: Mutex::new(used.into_iter().collect()), ports_max }
    }

    /// Takes the lowest free id.
    pub fn take(&self) -> Result<u32, CniError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (0..self.ports_max).find(|id| !used.contains(id)).ok_or_else(|| {
            CniError::new(
                Code::TryAgain,
                format!("all {} ports of the data plane are in use", self.ports_max),
            )
            .because("raise --ports-max, or remove pods from this node")
        })?;
        used.insert(free);
        Ok(free)
    }

    /// Gives an id back.
    pub fn give_back(&self, id: u32) {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// How many ids are in use.
    pub fn used(&self) -> usize {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_dense_and_exhaustion_is_an_error() {
        let pool = PortPool::new(3, [1]);
        assert_eq!(pool.take().unwrap(), 0);
        assert_eq!(pool.take().unwrap(), 2);
        assert_eq!(pool.take().unwrap_err().code, Code::TryAgain);
        pool.give_back(1);
        assert_eq!(pool.take().unwrap(), 1);
    }
}
