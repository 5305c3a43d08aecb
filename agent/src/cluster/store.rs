//! Objects of one kind by namespace and name, bounded; readers may wait for one that is on its way.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use plexus_cni::manifest::Annotations;
use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;

use super::Changes;

/// Most bytes of text kept of one kind.
const BYTES_MAX: usize = 64 << 20;

/// What the cache holds.
pub trait Object: Send + Sync + 'static {
    /// The kind, for messages.
    const KIND: &str;
    /// Most objects kept.
    const OBJECTS_MAX: usize;

    /// Its namespace.
    fn namespace(&self) -> &str;
    /// Its name.
    fn name(&self) -> &str;
    /// Its text, in bytes.
    fn bytes(&self) -> usize;
    /// Whether no ADD can ask for it any more.
    fn is_over(&self) -> bool {
        false
    }
}

impl Object for Pod {
    const KIND: &str = Pod::KIND;
    /// The kubelet runs 110 pods unless told otherwise, and clusters of 500 are known.
    const OBJECTS_MAX: usize = 4096;

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> usize {
        text_bytes(&self.annotations)
    }

    fn is_over(&self) -> bool {
        self.has_ended
    }
}

impl Object for NetworkAttachmentDefinition {
    const KIND: &str = NetworkAttachmentDefinition::KIND;
    const OBJECTS_MAX: usize = 20_000;

    fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> usize {
        text_bytes(&self.annotations) + self.config.as_ref().map_or(0, String::len)
    }
}

fn text_bytes(annotations: &Annotations) -> usize {
    annotations.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// The objects of one kind.
pub struct Store<T> {
    kept: Mutex<Kept<T>>,
    changed: Condvar,
    changes: Arc<Changes>,
}

struct Kept<T> {
    objects: HashMap<Box<str>, Arc<T>>,
    bytes: usize,
    /// Objects that had no place since the last [`Store::replace`].
    refused: usize,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl<T> Store<T> {
    /// An empty one, which tells `changes` of each change.
    pub fn new(changes: Arc<Changes>) -> Self {
        let kept = Kept { objects: HashMap::new(), bytes: 0, refused: 0 };
        Self { kept: Mutex::new(kept), changed: Condvar::new(), changes }
    }

    fn tell(&self) {
        self.changed.notify_all();
        self.changes.tell();
    }
}

impl<T: Object> Store<T> {
    /// The object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.lock().objects.get(&*key(namespace, name)).cloned()
    }

    /// The object as soon as `wanted` holds for it, waited for until `deadline`.
    pub fn wait(
        &self,
        namespace: &str,
        name: &str,
        deadline: Instant,
        wanted: impl Fn(&T) -> bool,
    ) -> Option<Arc<T>> {
        let key = key(namespace, name);
        let mut kept = self.lock();
        loop {
            if let Some(object) = kept.objects.get(&*key).filter(|object| wanted(object)) {
                return Some(Arc::clone(object));
            }
            let wait = deadline.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                return None;
            }
            (kept, _) = self.changed.wait_timeout(kept, wait).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many had no place; such an object is read from the source whenever it is needed.
    pub fn refused(&self) -> usize {
        self.lock().refused
    }

    /// All objects, in no order.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.lock().objects.values().cloned().collect()
    }

    /// An object that is new or has changed.
    pub fn apply(&self, object: T) {
        self.lock().put(object);
        self.tell();
    }

    /// An object that is gone.
    pub fn delete(&self, namespace: &str, name: &str) {
        self.lock().remove(&key(namespace, name));
        self.tell();
    }

    /// Everything that there is.
    pub fn replace(&self, objects: impl IntoIterator<Item = T>) {
        let mut fresh = Kept { objects: HashMap::new(), bytes: 0, refused: 0 };
        objects.into_iter().for_each(|object| fresh.put(object));
        // What went is freed without the lock.
        let old = std::mem::replace(&mut *self.lock(), fresh);
        self.tell();
        drop(old);
    }

    fn lock(&self) -> MutexGuard<'_, Kept<T>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Object> Kept<T> {
    fn put(&mut self, object: T) {
        let key = key(object.namespace(), object.name());
        self.remove(&key);
        if object.is_over() {
            return;
        }
        let bytes = object.bytes();
        if self.objects.len() >= T::OBJECTS_MAX || self.bytes + bytes > BYTES_MAX {
            if self.refused == 0 {
                tracing::error!(
                    kind = T::KIND, first = %key, kept = self.objects.len(), kept_bytes = self.bytes,
                    "the cache is full: further objects are read one by one, which makes pods start slower"
                );
            }
            self.refused += 1;
            return;
        }
        self.bytes += bytes;
        self.objects.insert(key, Arc::new(object));
    }

    fn remove(&mut self, key: &str) {
        if let Some(object) = self.objects.remove(key) {
            self.bytes -= object.bytes();
        }
    }
}

fn key(namespace: &str, name: &str) -> Box<str> {
    format!("{namespace}/{name}").into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn pod(name: &str, uid: &str) -> Pod {
        Pod { namespace: "n".into(), name: name.into(), uid: uid.into(), ..Pod::default() }
    }

    #[test]
    fn an_object_that_comes_late_is_waited_for_and_one_that_never_comes_is_not_found() {
        let store = Store::default();
        assert!(store.wait("n", "p", Instant::now(), |_: &Pod| true).is_none());
        store.apply(pod("p", "old"));
        let deadline = Instant::now() + Duration::from_secs(10);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| store.wait("n", "p", deadline, |pod| pod.uid == "new"));
            store.apply(pod("q", "new"));
            store.apply(pod("p", "new"));
            assert_eq!(waiting.join().unwrap().unwrap().uid, "new");
        });
    }

    #[test]
    fn a_list_replaces_what_was_there() {
        let store = Store::default();
        store.apply(pod("a", "1"));
        store.replace([pod("b", "2"), pod("c", "3")]);
        store.delete("n", "c");
        assert!(store.get("n", "a").is_none() && store.get("n", "b").is_some() && store.len() == 1);
    }

    #[test]
    fn a_pod_that_has_ended_leaves_the_cache() {
        let store = Store::default();
        store.apply(pod("a", "1"));
        store.apply(Pod { has_ended: true, ..pod("a", "1") });
        assert!(store.is_empty());
    }

    #[test]
    fn what_is_too_many_or_too_large_is_counted_and_not_kept() {
        let store = Store::default();
        store.replace((0..Pod::OBJECTS_MAX + 3).map(|index| pod(&index.to_string(), "u")));
        assert_eq!((store.len(), store.refused()), (Pod::OBJECTS_MAX, 3));
        // A change of one that is kept finds its place again.
        store.apply(pod("0", "v"));
        assert_eq!((store.len(), store.refused()), (Pod::OBJECTS_MAX, 3));

        let large = |name: &str| NetworkAttachmentDefinition {
            name: name.into(),
            config: Some("x".repeat(BYTES_MAX / 2 + 1)),
            ..NetworkAttachmentDefinition::default()
        };
        let store = Store::default();
        store.apply(large("a"));
        store.apply(large("b"));
        assert_eq!((store.len(), store.refused()), (1, 1));
        store.delete("", "a");
        store.apply(large("b"));
        assert!(store.get("", "b").is_some());
    }
}
