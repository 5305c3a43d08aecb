//! Whether calls are served, for `/readyz`.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::cluster::Catalog;

/// What has happened to the process.
#[derive(Default)]
pub(super) struct Readiness {
    is_serving: AtomicBool,
    is_stopping: AtomicBool,
}

impl Readiness {
    /// Calls are served from now on.
    pub(super) fn start(&self) {
        self.is_serving.store(true, Ordering::Relaxed);
    }

    /// The process was told to end.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Why no ADD should come, if so. `catalog` is absent where no source of pods and networks is configured.
    pub(super) fn refusal(&self, catalog: Option<&Catalog>) -> Option<String> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Some("plexusd is ending".into());
        }
        if !self.is_serving.load(Ordering::Relaxed) {
            return Some("plexusd is starting".into());
        }
        let catalog = catalog?;
        let kinds = [("pods", catalog.pods_feed.state()), ("networks", catalog.nads_feed.state())];
        let (kind, state) = kinds.into_iter().find(|(_, state)| !state.is_synced)?;
        let why = state.trouble.map(|why| format!(": {why}")).unwrap_or_default();
        Some(format!("the {kind} were not read yet{why}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_between_start_and_end_once_the_caches_are_synced() {
        let readiness = Readiness::default();
        let refusal = |catalog| readiness.refusal(catalog).unwrap_or_default();
        assert!(refusal(None).contains("starting"));
        readiness.start();
        assert_eq!(refusal(None), "");
        let catalog = Catalog::default();
        catalog.pods_feed.listed();
        catalog.nads_feed.failed("no route".into());
        assert!(refusal(Some(&catalog)).ends_with("the networks were not read yet: no route"));
        catalog.nads_feed.listed();
        assert_eq!(refusal(Some(&catalog)), "");
        readiness.stop();
        assert!(refusal(Some(&catalog)).contains("ending"));
    }
}
