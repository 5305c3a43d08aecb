//! One operation per container at a time (C134), and no GC beside an ADD or DEL (C136).

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use plexus_cni::{CniError, Code};

/// The locks of this node.
#[derive(Default)]
pub struct Locks {
    busy: Mutex<HashSet<String>>,
    freed: Condvar,
    collection: RwLock<()>,
    reserving: Mutex<()>,
}

/// A container that is ours until this is dropped.
pub struct ContainerGuard<'a> {
    locks: &'a Locks,
    container_id: String,
    _no_collection: RwLockReadGuard<'a, ()>,
}

impl Locks {
    /// Waits for the container, at most until `deadline`; then the runtime should try again.
    pub fn container(&self, container_id: &str, deadline: Instant) -> Result<ContainerGuard<'_>, CniError> {
        let no_collection = self.collection.read().unwrap_or_else(PoisonError::into_inner);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while busy.contains(container_id) {
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return Err(CniError::new(Code::TryAgain, format!("container {container_id} is busy"))
                    .because("another call for it has not ended within this call's deadline"));
            }
            (busy, _) = self.freed.wait_timeout(busy, wait).unwrap_or_else(PoisonError::into_inner);
        }
        busy.insert(container_id.to_owned());
        Ok(ContainerGuard {
            locks: self,
            container_id: container_id.to_owned(),
            _no_collection: no_collection,
        })
    }

    /// Waits until no container is busy, and keeps them so.
    pub fn collection(&self) -> RwLockWriteGuard<'_, ()> {
        self.collection.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held between finding that a device of the host is free and recording who has it.
    pub fn reservation(&self) -> MutexGuard<'_, ()> {
        self.reserving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ContainerGuard<'_> {
    fn drop(&mut self) {
        self.locks.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.container_id);
        self.locks.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn c134_a_busy_container_is_waited_for_and_another_is_not() {
        let locks = Locks::default();
        let held = locks.container("a", Instant::now()).unwrap();
        assert!(locks.container("b", Instant::now()).is_ok());
        assert_eq!(locks.container("a", Instant::now()).err().unwrap().code, Code::TryAgain);
        std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| locks.container("a", Instant::now() + Duration::from_secs(10)).is_ok());
            drop(held);
            assert!(waiting.join().unwrap());
        });
    }
}
