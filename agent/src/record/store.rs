//! The record files, and a copy of them in memory.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use plexus_cni::{CniError, Code};

use super::sync::Syncer;
use super::{RECORD_VERSION, Record};
use crate::fault;

/// A file that would grow longer is replaced by one with the last line only, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// All records of this node.
///
/// A record is there for the next process as soon as `put` returns, and for the next boot once its file is synced, which
/// a thread does right after: a machine that loses power meanwhile has lost the links as well, so nobody waits for the
/// disk. A container has one file, `<container id>.json`, to which each revision is appended as a line: making a file is
/// the dearest part of a write, and replacing one would make ext4 write at once (`auto_da_alloc`). The last whole line
/// counts.
pub struct RecordStore {
    dir: PathBuf,
    records: RwLock<BTreeMap<String, Known>>,
    syncer: Syncer,
}

/// A record and its file.
struct Known {
    record: Arc<Record>,
    path: PathBuf,
    /// Bytes up to the end of the last whole line.
    bytes: u64,
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
        for path in files(&dir)? {
            match read(&path) {
                Ok(Some((record, bytes))) => {
                    let id = record.container_id.clone();
                    records.insert(id, Known { record: Arc::new(record), path, bytes });
                }
                // The process died before its first line was whole, so before anything was touched.
                Ok(None) => {
                    tracing::warn!(path = %path.display(), "a record that was cut off is removed");
                    remove(&path)?;
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
        let before = self.file(&id);
        if record.attachments.is_empty() {
            if let Some((path, _)) = before {
                remove(&path)?;
            }
            self.write_lock().remove(&id);
            return Ok(());
        }
        // Container ids hold no separator and are short enough for a file name ([`plexus_cni::name`]).
        let (path, end) = before.unwrap_or_else(|| (self.dir.join(format!("{id}.json")), 0));
        let mut line = serde_json::to_vec(&record).map_err(|error| failed("encode", &path, &error.into()))?;
        line.push(b'\n');
        let written = if end + line.len() as u64 > FILE_BYTES_MAX && end > 0 {
            replace(&path, &line).map(|file| (file, line.len() as u64))
        } else {
            append(&path, end, &line).map(|file| (file, end + line.len() as u64))
        };
        let (file, bytes) = written.map_err(|error| failed("write", &path, &error))?;
        self.syncer.sync(file).map_err(|error| failed("sync", &path, &error))?;
        self.write_lock().insert(id, Known { record: Arc::new(record), path, bytes });
        Ok(())
    }

    fn file(&self, container_id: &str) -> Option<(PathBuf, u64)> {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.get(container_id).map(|known| (known.path.clone(), known.bytes))
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Known>> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record files; a replacement that a crash cut off before its rename never counted.
fn files(dir: &Path) -> Result<Vec<PathBuf>, CniError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|error| failed("list", dir, &error))? {
        let path = entry.map_err(|error| failed("list", dir, &error))?.path();
        match path.extension().and_then(OsStr::to_str) {
            Some("tmp") => remove(&path)?,
            Some("json") => files.push(path),
            _ => {}
        }
    }
    Ok(files)
}

/// The last whole line of a file, and where it ends; `None` if there is no whole line.
fn read(path: &Path) -> Result<Option<(Record, u64)>, CniError> {
    let text = fs::read(path).map_err(|error| failed("read", path, &error))?;
    let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    let start = text[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
    let record: Record =
        serde_json::from_slice(&text[start..end]).map_err(|error| failed("decode", path, &error.into()))?;
    if record.version != RECORD_VERSION {
        return Err(CniError::new(
            Code::State,
            format!("record {} has version {}", path.display(), record.version),
        )
        .because(format!("this plexusd reads version {RECORD_VERSION}")));
    }
    Ok(Some((record, end as u64 + 1)))
}

fn set_aside(path: &Path, error: &CniError) -> Result<(), CniError> {
    let aside = path.with_extension("unreadable");
    tracing::error!(path = %path.display(), %error, "a record cannot be read and is set aside");
    fs::rename(path, &aside).map_err(|error| failed("set aside", path, &error))
}

/// Writes a line at `end`, over what a crash left there; a crash of this process leaves the lines before it.
fn append(path: &Path, end: u64, line: &[u8]) -> std::io::Result<File> {
    // Not truncated first: what is left of a torn line ends with no line break, so it never counts.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    fault::point();
    let written = file.write_all_at(line, end).and_then(|()| file.set_len(end + line.len() as u64));
    if let Err(error) = written {
        // The line before stays the last.
        file.set_len(end)?;
        return Err(error);
    }
    fault::point();
    Ok(file)
}

/// Replaces a file that has grown too long.
fn replace(path: &Path, line: &[u8]) -> std::io::Result<File> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(line)?;
    fs::rename(&temporary, path)?;
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

    fn count(dir: &tempfile::TempDir) -> usize {
        fs::read_dir(dir.path().join("records")).unwrap().count()
    }

    #[test]
    fn what_was_put_last_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordStore::open(dir.path()).unwrap();
        store.put(Record { netns: None, boot_id: "earlier".into(), ..record("a.b") }).unwrap();
        store.put(record("a.b")).unwrap();
        fs::write(dir.path().join("records/b.tmp"), "{").unwrap();
        let again = RecordStore::open(dir.path()).unwrap();
        assert_eq!((again.all().len(), count(&dir)), (1, 1));
        assert_eq!(*again.get("a.b").unwrap(), record("a.b"));
    }

    #[test]
    fn a_record_without_attachments_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordStore::open(dir.path()).unwrap();
        store.put(record("a")).unwrap();
        store.put(record("a")).unwrap();
        store.put(Record { attachments: Vec::new(), ..record("a") }).unwrap();
        assert_eq!(count(&dir), 0);
    }

    #[test]
    fn of_a_line_that_a_crash_cut_off_anywhere_the_one_before_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records/a.json");
        let store = RecordStore::open(dir.path()).unwrap();
        store.put(record("a")).unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, [&whole[..], &whole[..cut]].concat()).unwrap();
            let again = RecordStore::open(dir.path()).unwrap();
            assert_eq!(*again.get("a").unwrap(), record("a"), "{cut}");
            let later = Record { boot_id: "later".into(), ..record("a") };
            again.put(later.clone()).unwrap();
            assert_eq!(*RecordStore::open(dir.path()).unwrap().get("a").unwrap(), later, "{cut}");
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(RecordStore::open(dir.path()).unwrap().get("a").is_none());
            assert_eq!(count(&dir), 0, "{cut}");
        }
    }

    #[test]
    fn a_file_does_not_grow_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let store = RecordStore::open(dir.path()).unwrap();
        let path = dir.path().join("records/a.json");
        for _ in 0..2_000 {
            store.put(record("a")).unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= FILE_BYTES_MAX);
        assert!(RecordStore::open(dir.path()).unwrap().get("a").is_some());
    }

    #[test]
    fn a_record_that_cannot_be_read_does_not_stop_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        RecordStore::open(dir.path()).unwrap();
        fs::write(dir.path().join("records/x.json"), "{\n").unwrap();
        assert!(RecordStore::open(dir.path()).unwrap().all().is_empty());
        assert!(dir.path().join("records/x.unreadable").exists());
    }
}
