//! Standalone mode: pods and networks from a directory of ordinary manifests, followed live.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;
use serde_json::Value;

use super::Catalog;

/// Largest manifest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most files read.
const FILES_MAX: usize = 10_000;
/// Events that come within this after the first are one change.
const SETTLE: Duration = Duration::from_millis(20);
/// The directory is read again after this even without an event: some file systems send none.
const RESCAN: Duration = Duration::from_secs(10);

/// Namespace and name.
type Key = (String, String);

/// Pods and networks of one file, or of all.
#[derive(Clone, Debug, Default)]
struct Objects {
    pods: HashMap<Key, Pod>,
    nads: HashMap<Key, NetworkAttachmentDefinition>,
}

impl Objects {
    fn publish(self, catalog: &Catalog) {
        catalog.nads.replace(self.nads.into_values());
        catalog.nads_feed.listed();
        catalog.pods.replace(self.pods.into_values());
        catalog.pods_feed.listed();
    }
}

/// Reads the directory into `catalog` and follows its changes on a thread of its own.
pub fn follow(dir: &Path, catalog: &Arc<Catalog>) -> anyhow::Result<()> {
    let (sender, events) = channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| !may_be_a_change(event.kind)) {
            return;
        }
        // Nobody listens any more once the process ends.
        sender.send(()).unwrap_or_default();
    })?;
    watcher
        .watch(dir, RecursiveMode::NonRecursive)
        .with_context(|| format!("cannot follow {}", dir.display()))?;
    let mut source = Source { dir: dir.to_owned(), files: BTreeMap::new(), _watcher: watcher };
    source.scan()?.publish(catalog);
    let catalog = Arc::clone(catalog);
    std::thread::Builder::new().name("manifests".into()).spawn(move || source.run(&events, &catalog))?;
    Ok(())
}

/// Whether the files may have changed. Our own reading is told as well: following that would be reading without end.
fn may_be_a_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

struct Source {
    dir: PathBuf,
    /// What each file held when it could last be read.
    files: BTreeMap<PathBuf, Objects>,
    _watcher: RecommendedWatcher,
}

impl Source {
    fn run(&mut self, events: &Receiver<()>, catalog: &Catalog) {
        loop {
            match events.recv_timeout(RESCAN) {
                Ok(()) => while events.recv_timeout(SETTLE).is_ok() {},
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            match self.scan() {
                Ok(objects) => objects.publish(catalog),
                Err(error) => {
                    let why = format!("{error:#}");
                    tracing::error!("{why}; pods and networks stay as they were");
                    catalog.nads_feed.failed(why.clone());
                    catalog.pods_feed.failed(why);
                }
            }
        }
    }

    /// Reads all files; of one that cannot be read the last good content stays.
    fn scan(&mut self) -> anyhow::Result<Objects> {
        let entries =
            fs::read_dir(&self.dir).with_context(|| format!("cannot list {}", self.dir.display()))?;
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
        });
        ensure!(paths.len() <= FILES_MAX, "{} holds more than {FILES_MAX} manifests", self.dir.display());
        self.files.retain(|path, _| paths.contains(path));
        for path in paths {
            match read(&path) {
                Ok(objects) => {
                    self.files.insert(path, objects);
                }
                Err(error) => tracing::error!("{}: {error:#}; its last good content stays", path.display()),
            }
        }
        let mut all = Objects::default();
        for objects in self.files.values() {
            all.pods.extend(objects.pods.clone());
            all.nads.extend(objects.nads.clone());
        }
        Ok(all)
    }
}

fn read(path: &Path) -> anyhow::Result<Objects> {
    let length = fs::metadata(path)?.len();
    ensure!(length <= FILE_BYTES_MAX, "it has {length} bytes, at most {FILE_BYTES_MAX} are read");
    parse(&fs::read_to_string(path)?)
}

/// The pods and networks of a manifest file with any number of documents; other kinds are passed over.
fn parse(text: &str) -> anyhow::Result<Objects> {
    let mut objects = Objects::default();
    // As Kubernetes reads YAML: a namespace called `n` or `off` is a text.
    let options = serde_saphyr::options! { strict_booleans: true };
    for document in serde_saphyr::from_multiple_with_options::<Value>(text, options)? {
        take(document, &mut objects)?;
    }
    Ok(objects)
}

fn take(document: Value, objects: &mut Objects) -> anyhow::Result<()> {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "List" => {
            for item in document.get("items").and_then(Value::as_array).into_iter().flatten() {
                take(item.clone(), objects)?;
            }
        }
        Pod::KIND => {
            let pod: Pod = serde_json::from_value(document)?;
            objects.pods.insert((pod.namespace.clone(), pod.name.clone()), pod);
        }
        NetworkAttachmentDefinition::KIND => {
            let nad: NetworkAttachmentDefinition = serde_json::from_value(document)?;
            objects.nads.insert((nad.namespace.clone(), nad.name.clone()), nad);
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: n}\n";
    const NAD: &str = "apiVersion: k8s.cni.cncf.io/v1\nkind: NetworkAttachmentDefinition\nmetadata: {name: mv}\nspec:\n  config: '{\"type\": \"macvlan\"}'\n";

    #[test]
    fn documents_and_lists_are_read_and_other_kinds_passed_over() {
        let list = "kind: List\nitems:\n- {kind: Pod, metadata: {name: q}}\n- {kind: Service, metadata: {name: s}}\n";
        let objects = parse(&format!("{POD}---\n{NAD}---\n{list}")).unwrap();
        assert_eq!((objects.pods.len(), objects.nads.len()), (2, 1));
        assert!(parse("kind: Pod\nmetadata: {name: ../x}\n").is_err());
    }

    #[test]
    fn a_file_that_was_read_is_no_change_and_one_that_was_written_is() {
        let access = EventKind::Access;
        assert!(!may_be_a_change(access(AccessKind::Open(AccessMode::Any))));
        assert!(!may_be_a_change(access(AccessKind::Close(AccessMode::Read))));
        assert!(may_be_a_change(access(AccessKind::Close(AccessMode::Write))));
        assert!(may_be_a_change(EventKind::Any));
    }

    #[test]
    fn a_change_is_seen_and_a_broken_file_keeps_its_last_good_content() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Arc::new(Catalog::default());
        fs::write(dir.path().join("nad.yaml"), NAD).unwrap();
        follow(dir.path(), &catalog).unwrap();
        assert!(catalog.nads.get("default", "mv").is_some() && catalog.is_synced());
        fs::write(dir.path().join("nad.yaml"), "{").unwrap();
        fs::write(dir.path().join("pod.yaml"), POD).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        assert!(catalog.pods.wait("n", "p", deadline, |_| true).is_some());
        assert!(catalog.nads.get("default", "mv").is_some());
    }
}
