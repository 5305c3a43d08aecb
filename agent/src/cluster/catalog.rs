//! The cache of pods and NetworkAttachmentDefinitions.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;

/// Namespace and name.
type Key = (String, String);

/// Pods and networks, as a source read them.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Pods by namespace and name.
    pub pods: HashMap<Key, Pod>,
    /// NetworkAttachmentDefinitions by namespace and name.
    pub nads: HashMap<Key, NetworkAttachmentDefinition>,
}

/// The cache; readers may wait for a pod that is on its way.
#[derive(Default)]
pub struct Catalog {
    objects: Mutex<Objects>,
    changed: Condvar,
}

impl Catalog {
    /// Replaces everything by what a source has read.
    pub fn replace(&self, objects: Objects) {
        *self.lock() = objects;
        self.changed.notify_all();
    }

    /// The pod, waited for until `deadline`: the runtime may know it before we do.
    pub fn pod(&self, namespace: &str, name: &str, deadline: Instant) -> Option<Pod> {
        let key = (namespace.to_owned(), name.to_owned());
        let mut objects = self.lock();
        loop {
            if let Some(pod) = objects.pods.get(&key) {
                return Some(pod.clone());
            }
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return None;
            }
            (objects, _) = self.changed.wait_timeout(objects, wait).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The NetworkAttachmentDefinition.
    pub fn nad(&self, namespace: &str, name: &str) -> Option<NetworkAttachmentDefinition> {
        self.lock().nads.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All NetworkAttachmentDefinitions, by namespace and name.
    pub fn nads(&self) -> Vec<NetworkAttachmentDefinition> {
        let mut nads: Vec<_> = self.lock().nads.values().cloned().collect();
        nads.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        nads
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pod_that_comes_late_is_waited_for_and_one_that_never_comes_is_not_found() {
        let catalog = Catalog::default();
        assert!(catalog.pod("n", "p", Instant::now()).is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| catalog.pod("n", "p", Instant::now() + Duration::from_secs(10)));
            let mut objects = Objects::default();
            objects.pods.insert(("n".into(), "p".into()), Pod::default());
            catalog.replace(objects);
            assert!(waiting.join().unwrap().is_some());
        });
    }
}
