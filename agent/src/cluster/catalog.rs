//! The cache of pods and NetworkAttachmentDefinitions.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use plexus_cni::CniError;
use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;

use super::identity::{PodId, Verdict};
use super::{Changes, Feed, Store};

/// Longest single question that an ADD asks the source.
const READ_WAIT: Duration = Duration::from_secs(10);

/// Reads single objects from the source itself, for what the cache lacks.
pub trait Reader: Send + Sync {
    /// The pod, if there is one.
    fn pod(&self, namespace: &str, name: &str, deadline: Instant) -> Result<Option<Pod>, CniError>;

    /// The NetworkAttachmentDefinition, if there is one.
    fn nad(
        &self,
        namespace: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<NetworkAttachmentDefinition>, CniError>;
}

/// A pod, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Whether the cache had it: then its absence later means that it is gone.
    pub was_cached: bool,
}

/// The cache: filled by a source, read by every ADD.
pub struct Catalog {
    /// Pods of this node.
    pub pods: Store<Pod>,
    /// All NetworkAttachmentDefinitions.
    pub nads: Store<NetworkAttachmentDefinition>,
    /// That a pod or a network changed.
    pub changes: Arc<Changes>,
    /// How well `pods` follows the source.
    pub pods_feed: Feed,
    /// How well `nads` follows the source.
    pub nads_feed: Feed,
    reader: OnceLock<Arc<dyn Reader>>,
    /// ADDs that wait for a pod now.
    waiting: AtomicUsize,
}

impl Default for Catalog {
    fn default() -> Self {
        let changes: Arc<Changes> = Arc::default();
        Self {
            pods: Store::new(Arc::clone(&changes)),
            nads: Store::new(Arc::clone(&changes)),
            changes,
            pods_feed: Feed::default(),
            nads_feed: Feed::default(),
            reader: OnceLock::new(),
            waiting: AtomicUsize::new(0),
        }
    }
}

/// How a pod is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until when, before the source is asked.
    pub until: Instant,
    /// Most who may wait at once: each holds a worker, and DELs must find one.
    pub places: usize,
    /// When the source must have answered.
    pub deadline: Instant,
}

impl Catalog {
    /// Sets who is asked for what the cache lacks; only the first one counts.
    pub fn read_through(&self, reader: Arc<dyn Reader>) {
        self.reader.get_or_init(|| reader);
    }

    /// Whether pods and networks were read at least once.
    pub fn is_synced(&self) -> bool {
        self.pods_feed.state().is_synced && self.nads_feed.state().is_synced
    }

    /// The pod that an ADD is for, waited for with `patience`: the runtime may know it before we do. Then the source is
    /// asked once.
    ///
    /// Errors: [`plexus_cni::Code::PodNotFound`] for a pod that is not there, is another one of that name, has ended or is being
    /// deleted; [`plexus_cni::Code::TryAgain`] where the source cannot be asked.
    pub fn pod(&self, id: &PodId<'_>, patience: &Patience) -> Result<Found, CniError> {
        let wanted = |pod: &Pod| id.judge(pod) == Verdict::Wanted;
        let cached = |pod| Ok(Found { pod, was_cached: true });
        if let Some(pod) = self.pods.get(id.namespace, id.name).filter(|pod| wanted(pod)) {
            return cached(pod);
        }
        let reader = self.reader.get();
        // Nothing comes by itself from a source that has failed: it is asked at once.
        if (reader.is_none() || !self.pods_feed.is_broken())
            && let Some(pod) = self.wait(id, patience)
        {
            return cached(pod);
        }
        let Some(reader) = reader else {
            let pod = self.pods.get(id.namespace, id.name);
            return Err(id.refusal(pod.map_or(Verdict::Missing, |pod| id.judge(&pod))));
        };
        let deadline = patience.deadline.min(Instant::now() + READ_WAIT);
        let Some(pod) = reader.pod(id.namespace, id.name, deadline)? else {
            return Err(id.refusal(Verdict::Missing));
        };
        match id.judge(&pod) {
            Verdict::Wanted => Ok(Found { pod: Arc::new(pod), was_cached: false }),
            verdict => Err(id.refusal(verdict)),
        }
    }

    fn wait(&self, id: &PodId<'_>, patience: &Patience) -> Option<Arc<Pod>> {
        let has_place = self.waiting.fetch_add(1, Ordering::Relaxed) < patience.places;
        let until = if has_place { patience.until } else { Instant::now() };
        let pod = self.pods.wait(id.namespace, id.name, until, |pod| id.judge(pod) == Verdict::Wanted);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        pod
    }

    /// Whether the pod that was found before is still the one of this ADD, as far as the cache knows.
    pub fn confirm(&self, id: &PodId<'_>, found: &Found) -> Result<(), CniError> {
        let verdict = match self.pods.get(id.namespace, id.name) {
            Some(pod) => id.judge(&pod),
            None if found.was_cached => Verdict::Missing,
            // One that was read from the source may not have reached the cache yet.
            None => Verdict::Wanted,
        };
        if verdict == Verdict::Wanted { Ok(()) } else { Err(id.refusal(verdict)) }
    }

    /// The NetworkAttachmentDefinition; one that is not in the cache may just have been made, so the source is asked.
    pub fn nad(
        &self,
        namespace: &str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Arc<NetworkAttachmentDefinition>>, CniError> {
        match (self.nads.get(namespace, name), self.reader.get()) {
            (None, Some(reader)) => {
                let found = reader.nad(namespace, name, deadline.min(Instant::now() + READ_WAIT))?;
                Ok(found.map(Arc::new))
            }
            (found, _) => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use plexus_cni::Code;

    use super::*;

    /// A source that has one pod and no networks, and counts the questions.
    #[derive(Default)]
    struct Source {
        pod: Option<Pod>,
        is_down: bool,
        questions: Mutex<u32>,
    }

    impl Reader for Source {
        fn pod(&self, _: &str, _: &str, _: Instant) -> Result<Option<Pod>, CniError> {
            *self.questions.lock().unwrap() += 1;
            if self.is_down {
                return Err(CniError::new(Code::TryAgain, "down"));
            }
            Ok(self.pod.clone())
        }

        fn nad(&self, _: &str, _: &str, _: Instant) -> Result<Option<NetworkAttachmentDefinition>, CniError> {
            *self.questions.lock().unwrap() += 1;
            Ok(None)
        }
    }

    fn pod(uid: &str) -> Pod {
        Pod { namespace: "n".into(), name: "p".into(), uid: uid.into(), ..Pod::default() }
    }

    fn id(uid: &str) -> PodId<'_> {
        PodId { namespace: "n", name: "p", uid: Some(uid) }
    }

    fn catalog(source: Source) -> (Catalog, Arc<Source>) {
        let (catalog, source) = (Catalog::default(), Arc::new(source));
        catalog.read_through(Arc::clone(&source) as Arc<dyn Reader>);
        (catalog, source)
    }

    fn find(catalog: &Catalog, uid: &str) -> Result<Found, CniError> {
        let now = Instant::now();
        let until = now + Duration::from_millis(50);
        catalog.pod(&id(uid), &Patience { until, places: 1, deadline: now + Duration::from_secs(5) })
    }

    #[test]
    fn who_finds_no_place_to_wait_asks_at_once() {
        let (catalog, source) = catalog(Source { pod: Some(pod("a")), ..Source::default() });
        let hour = Instant::now() + Duration::from_hours(1);
        let patience = Patience { until: hour, places: 0, deadline: hour };
        assert!(!catalog.pod(&id("a"), &patience).unwrap().was_cached);
        assert_eq!(*source.questions.lock().unwrap(), 1);
    }

    #[test]
    fn what_the_cache_has_costs_no_question() {
        let (catalog, source) = catalog(Source::default());
        catalog.pods.apply(pod("a"));
        catalog.nads.apply(NetworkAttachmentDefinition { name: "x".into(), ..Default::default() });
        let found = find(&catalog, "a").unwrap();
        assert!(found.was_cached && catalog.nad("", "x", Instant::now()).unwrap().is_some());
        catalog.confirm(&id("a"), &found).unwrap();
        assert_eq!(*source.questions.lock().unwrap(), 0);
    }

    #[test]
    fn what_the_cache_lacks_is_asked_for_once() {
        let (catalog, source) = catalog(Source { pod: Some(pod("new")), ..Source::default() });
        catalog.pods.apply(pod("old"));
        let found = find(&catalog, "new").unwrap();
        assert!(!found.was_cached && found.pod.uid == "new");
        assert_eq!(find(&catalog, "newer").unwrap_err().code, Code::PodNotFound);
        assert_eq!(catalog.nad("n", "x", Instant::now()).unwrap(), None);
        assert_eq!(*source.questions.lock().unwrap(), 3);
    }

    #[test]
    fn a_source_that_has_failed_is_asked_without_waiting() {
        let (catalog, _) = catalog(Source { is_down: true, ..Source::default() });
        catalog.pods_feed.failed("no route".into());
        let hour = Instant::now() + Duration::from_hours(1);
        let patience = Patience { until: hour, places: 9, deadline: hour };
        let error = catalog.pod(&id("a"), &patience).unwrap_err();
        assert_eq!(error.code, Code::TryAgain);
    }

    #[test]
    fn a_pod_that_went_or_was_replaced_is_not_confirmed() {
        let (catalog, _) = catalog(Source::default());
        catalog.pods.apply(pod("a"));
        let found = find(&catalog, "a").unwrap();
        catalog.pods.delete("n", "p");
        assert!(catalog.confirm(&id("a"), &found).is_err());
        catalog.confirm(&id("a"), &Found { was_cached: false, ..found.clone() }).unwrap();
        catalog.pods.apply(pod("b"));
        assert!(catalog.confirm(&id("a"), &found).is_err());
        catalog.pods.apply(Pod { is_deleting: true, ..pod("a") });
        assert!(catalog.confirm(&id("a"), &found).is_err());
    }
}
