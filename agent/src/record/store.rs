//! The record files, and a copy of them in memory.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use plexus_cni::{CniError, Code};

use super::{RECORD_VERSION, Record};
use crate::fault;

/// All records of this node.
pub struct RecordStore {
    dir: PathBuf,
    records: RwLock<BTreeMap<String, Arc<Record>>>,
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
        let mut records = BTreeMap::new();
        for entry in fs::read_dir(&dir).map_err(|error| failed("list", &dir, &error))? {
            let path = entry.map_err(|error| failed("list", &dir, &error))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                // A write that a crash cut off before its rename never counted.
                Some("tmp") => remove(&path)?,
                Some("json") => match read(&path) {
                    Ok(record) => {
                        records.insert(record.container_id.clone(), Arc::new(record));
                    }
                    Err(error) => set_aside(&path, &error)?,
                },
                _ => {}
            }
        }
        Ok(Self { dir, records: RwLock::new(records) })
    }

    /// The record of a container.
    pub fn get(&self, container_id: &str) -> Option<Arc<Record>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).get(container_id).cloned()
    }

    /// All records, by container id.
    pub fn all(&self) -> Vec<Arc<Record>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Writes a record: to a temporary file, synced, renamed. A record without attachments is removed.
    pub fn put(&self, record: Record) -> Result<(), CniError> {
        if record.attachments.is_empty() {
            return self.remove(&record.container_id);
        }
        let path = self.path(&record.container_id);
        let text = serde_json::to_vec(&record).map_err(|error| failed("encode", &path, &error.into()))?;
        write_atomically(&path, &text).map_err(|error| failed("write", &path, &error))?;
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        records.insert(record.container_id.clone(), Arc::new(record));
        Ok(())
    }

    fn remove(&self, container_id: &str) -> Result<(), CniError> {
        remove(&self.path(container_id))?;
        self.records.write().unwrap_or_else(PoisonError::into_inner).remove(container_id);
        Ok(())
    }

    /// Container ids hold no separator and are short enough for a file name ([`plexus_cni::name`]).
    fn path(&self, container_id: &str) -> PathBuf {
        self.dir.join(format!("{container_id}.json"))
    }
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

/// Writes `text` to `path` so that a crash leaves the old file or the new one, never a part.
fn write_atomically(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file: File =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text)?;
    file.sync_data()?;
    fault::point();
    fs::rename(&temporary, path)?;
    fault::point();
    Ok(())
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
        fs::write(dir.path().join("records/b.tmp"), "{").unwrap();
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
    fn a_record_that_cannot_be_read_does_not_stop_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        RecordStore::open(dir.path()).unwrap();
        fs::write(dir.path().join("records/x.json"), "{").unwrap();
        assert!(RecordStore::open(dir.path()).unwrap().all().is_empty());
        assert!(dir.path().join("records/x.unreadable").exists());
    }
}
