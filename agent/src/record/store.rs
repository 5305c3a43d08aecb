//! The record files, and a copy of them in memory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use plexus_cni::{CniError, Code};

use super::sync::Syncer;
use super::{RECORD_VERSION, Record};
use crate::fault;

/// All records of this node.
///
/// A record is there for the next process as soon as `put` returns, and for the next boot once its file is synced, which
/// a thread does right after: a machine that loses power meanwhile has lost the links as well, so nobody waits for the
/// disk. Each write is a new file, `<container id>.<revision>.json`: replacing one would make ext4 write at once
/// (`auto_da_alloc`).
pub struct RecordStore {
    dir: PathBuf,
    records: RwLock<BTreeMap<String, Known>>,
    syncer: Syncer,
}

/// A record and the revision of its file.
struct Known {
    record: Arc<Record>,
    revision: u64,
}

impl RecordStore {
    /// Opens `<state_dir>/records` and reads every file; one that cannot be read is set aside, loudly.
    pub fn open(state_dir: &Path) -> Result<Self, CniError> {
        let dir = state_dir.join("records");
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .map_err(|error| failed("create", &dir, &error))?;
        let mut records: BTreeMap<String, Known> = BTreeMap::new();
        for (path, revision) in files(&dir)? {
            match read(&path) {
                Ok(record) => {
                    let id = record.container_id.clone();
                    let known = Known { record: Arc::new(record), revision };
                    // Files come by ascending revision: an older one was about to be removed.
                    if let Some(older) = records.insert(id.clone(), known) {
                        remove(&file_path(&dir, &id, older.revision))?;
                    }
                }
                Err(error) => set_aside(&path, &error)?,
            }
        }
        let syncer = Syncer::start().map_err(|error| failed("start the thread that syncs", &dir, &error))?;
        Ok(Self { dir, records: RwLock::new(records), syncer })
    }

    /// The record of a container.
    pub fn get(&self, container_id: &str) -> Option<Arc<Record>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.get(container_id).map(|known| Arc::clone(&known.record))
    }

    /// All records, by container id.
    pub fn all(&self) -> Vec<Arc<Record>> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.values().map(|known| Arc::clone(&known.record)).collect()
    }

    /// Writes a record; one without attachments is removed.
    pub fn put(&self, record: Record) -> Result<(), CniError> {
        let id = record.container_id.clone();
        let before = self.revision(&id);
        if record.attachments.is_empty() {
            if let Some(before) = before {
                remove(&file_path(&self.dir, &id, before))?;
            }
            self.records.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Ok(());
        }
        let revision = before.map_or(0, |before| before + 1);
        let path = file_path(&self.dir, &id, revision);
        let text = serde_json::to_vec(&record).map_err(|error| failed("encode", &path, &error.into()))?;
        let file = write(&path, &text).map_err(|error| failed("write", &path, &error))?;
        if let Some(before) = before {
            remove(&file_path(&self.dir, &id, before))?;
        }
        self.syncer.sync(file).map_err(|error| failed("sync", &path, &error))?;
        let known = Known { record: Arc::new(record), revision };
        self.records.write().unwrap_or_else(PoisonError::into_inner).insert(id, known);
        Ok(())
    }

    fn revision(&self, container_id: &str) -> Option<u64> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.get(container_id).map(|known| known.revision)
    }
}

/// Container ids hold no separator and are short enough for a file name ([`plexus_cni::name`]).
fn file_path(dir: &Path, container_id: &str, revision: u64) -> PathBuf {
    dir.join(format!("{container_id}.{revision}.json"))
}

/// Record files by ascending revision; a write that a crash cut off before its rename never counted.
fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>, CniError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed("list", dir, &error))? {
        let path = entry.map_err(|error| failed("list", dir, &error))?.path();
        match path.extension().and_then(OsStr::to_str) {
            Some("tmp") => remove(&path)?,
            Some("json") => {
                let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
                let revision = stem.rsplit_once('.').and_then(|(_, revision)| revision.parse().ok());
                files.push((path.clone(), revision.unwrap_or_default()));
            }
            _ => {}
        }
    }
    files.sort_by_key(|(_, revision)| *revision);
    Ok(files)
}

fn read(path: &Path) -> Result<Record, CniError> {
    let text = fs::read(path).map_err(|error| failed("read", path, &error))?;
    let record: Record =
        serde_json::from_slice(&text).map_err(|error| failed("decode", path, &error.into()))?;
    if record.version != RECORD_VERSION {
        return Err(CniError::new(
            Code::State,
            format!("record {} has version {}", path.display(), record.version),
        )
        .because(format!("this plexusd reads version {RECORD_VERSION}")));
    }
    Ok(record)
}

fn set_aside(path: &Path, error: &CniError) -> Result<(), CniError> {
    let aside = path.with_extension("unreadable");
    tracing::error!(path = %path.display(), %error, "a record cannot be read and is set aside");
    fs::rename(path, &aside).map_err(|error| failed("set aside", path, &error))
}

/// Writes a new file so that a crash of this process leaves all of it or nothing.
fn write(path: &Path, text: &[u8]) -> std::io::Result<File> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text)?;
    fault::point();
    fs::rename(&temporary, path)?;
    fault::point();
    Ok(file)
}

fn remove(path: &Path) -> Result<(), CniError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", path, &error)),
        _ => Ok(()),
    }
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> CniError {
    CniError::new(Code::State, format!("cannot {verb} {}", path.display()))
        .because(format!("{error}; check the state directory's space and rights"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        let attachment = serde_json::json!({
            "owner": {"single": {"pluginType": "macvlan"}}, "network": "n", "nad": null, "ifname": "net1",
            "isDefault": false, "config": {"big": 12_345_678_901_234_567_890_u64}, "cniVersion": "1.0.0",
            "runtimeConfig": {}, "args": "", "path": [], "portId": 3, "ownsPort": true, "result": null, "port": null, "status": [],
        });
        Record {
            version: RECORD_VERSION,
            boot_id: "b".into(),
            container_id: id.into(),
            netns: None,
            pod: None,
            attachments: vec![serde_json::from_value(attachment).unwrap()],
        }
    }

    #[test]
    fn what_was_put_is_there_after_a_restart_and_what_was_cut_off_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordStore::open(dir.path()).unwrap();
        store.put(record("a")).unwrap();
        store.put(record("a")).unwrap();
        fs::write(dir.path().join("records/b.0.tmp"), "{").unwrap();
        let again = RecordStore::open(dir.path()).unwrap();
        assert_eq!(*again.get("a").unwrap(), record("a"));
        assert_eq!(fs::read_dir(dir.path().join("records")).unwrap().count(), 1);
    }

    #[test]
    fn a_record_without_attachments_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordStore::open(dir.path()).unwrap();
        store.put(record("a")).unwrap();
        store.put(Record { attachments: Vec::new(), ..record("a") }).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("records")).unwrap().count(), 0);
    }

    #[test]
    fn of_two_revisions_that_a_crash_left_the_newer_counts() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordStore::open(dir.path()).unwrap();
        store.put(record("a.b")).unwrap();
        let file = |revision| dir.path().join(format!("records/a.b.{revision}.json"));
        fs::copy(file(0), file(1)).unwrap();
        let again = RecordStore::open(dir.path()).unwrap();
        assert!(!file(0).exists() && again.get("a.b").is_some());
        again.put(Record { attachments: Vec::new(), ..record("a.b") }).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("records")).unwrap().count(), 0);
    }

    #[test]
    fn a_record_that_cannot_be_read_does_not_stop_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        RecordStore::open(dir.path()).unwrap();
        fs::write(dir.path().join("records/x.0.json"), "{").unwrap();
        assert!(RecordStore::open(dir.path()).unwrap().all().is_empty());
        assert!(dir.path().join("records/x.0.unreadable").exists());
    }
}
