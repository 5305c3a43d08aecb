//! The file of one pool: slices and leases of this node.
//!
//! The first line is everything at one moment, each further line a lease that was made or ended since. A line counts when
//! it is whole. The first line is replaced together with the file: draft, sync, rename. That is how slices change. A line
//! that follows is there for the next process as soon as it is written, and for the next boot once it is synced, which a
//! thread does right after: a lease stands for a running container, and none survives a power failure.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use plexus_cni::{CniError, Code};
use serde::{Deserialize, Serialize};

use super::book::{Book, Kept};
use super::lease::Lease;
use super::spec::PoolSpec;
use crate::fault;

/// The format of the file.
const VERSION: u32 = 1;
/// What follows the first line may take this many bytes more than it before the file is written anew.
const LINES_BYTES_MAX: u64 = 256 << 10;
/// The extension of these files.
pub(super) const EXTENSION: &str = "slices";

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    version: u32,
    pub(super) spec: PoolSpec,
    pub(super) slices: Vec<Kept>,
    pub(super) leases: BTreeMap<IpAddr, Lease>,
}

impl Snapshot {
    pub(super) fn of(spec: &PoolSpec, book: &Book) -> Self {
        Self {
            version: VERSION,
            spec: spec.clone(),
            slices: book.slices().iter().map(|slice| slice.kept.clone()).collect(),
            leases: book.leases().clone(),
        }
    }
}

/// A lease that was made, or ended where there is none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Lease>,
}

/// The open file of one pool.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    /// Absent before the first write, and after one that failed half way: then the next one writes everything.
    file: Option<File>,
    /// Bytes up to the end of the last whole line.
    end: u64,
    /// Bytes of the first line.
    first: u64,
}

impl Store {
    /// A file that is not there yet.
    pub(super) fn new(dir: &Path, name: &str) -> Self {
        Self { path: dir.join(format!("{name}.{EXTENSION}")), file: None, end: 0, first: 0 }
    }

    /// Opens a file and reads it; `None` where it has no whole line.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, Snapshot)>, CniError> {
        let text = fs::read(path).map_err(|error| failed("read", path, &error))?;
        let Some((snapshot, first, end)) = parse(&text).map_err(|error| failed("decode", path, &error))?
        else {
            return Ok(None);
        };
        let file = OpenOptions::new().write(true).open(path);
        let file = file.and_then(|file| file.set_len(end).map(|()| file));
        let file = file.map_err(|error| failed("open", path, &error))?;
        Ok(Some((Self { path: path.to_owned(), file: Some(file), end, first }, snapshot)))
    }

    /// Writes one change, after which the caller changes the book. `now` is everything as it is before it, which is
    /// written as well where the file has grown too long or is not there.
    pub(super) fn append(&mut self, change: &Change, now: impl FnOnce() -> Snapshot) -> Result<(), CniError> {
        if self.file.is_none() || self.end > self.first.saturating_add(LINES_BYTES_MAX) {
            self.replace(&now())?;
        }
        let mut line =
            serde_json::to_vec(change).map_err(|error| failed("encode", &self.path, &error.into()))?;
        line.push(b'\n');
        let Some(file) = &self.file else {
            return Err(failed("write", &self.path, &ErrorKind::NotFound.into()));
        };
        if let Err(error) = file.write_all_at(&line, self.end) {
            // The line before stays the last; if even that fails, the next write replaces the file.
            if file.set_len(self.end).is_err() {
                self.file = None;
            }
            return Err(failed("write", &self.path, &error));
        }
        self.end += line.len() as u64;
        fault::point();
        Ok(())
    }

    /// Replaces the file, durably.
    pub(super) fn replace(&mut self, now: &Snapshot) -> Result<(), CniError> {
        self.file = None;
        let mut line =
            serde_json::to_vec(now).map_err(|error| failed("encode", &self.path, &error.into()))?;
        line.push(b'\n');
        let file = replace(&self.path, &line).map_err(|error| failed("replace", &self.path, &error))?;
        (self.first, self.end) = (line.len() as u64, line.len() as u64);
        self.file = Some(file);
        fault::point();
        Ok(())
    }

    /// Whether the file is there and whole.
    pub(super) fn is_there(&self) -> bool {
        self.file.is_some()
    }

    /// Removes the file of a pool that has neither slices nor leases.
    pub(super) fn remove(&mut self) -> Result<(), CniError> {
        self.file = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &self.path, &error)),
            _ => Ok(()),
        }
    }

    /// Another handle of the file, to sync it without the pool's lock.
    pub(super) fn handle(&self) -> Option<File> {
        self.file.as_ref().and_then(|file| file.try_clone().ok())
    }
}

/// What the whole lines say, the bytes of the first one, and where the last one ends.
fn parse(text: &[u8]) -> std::io::Result<Option<(Snapshot, u64, u64)>> {
    let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return Ok(None) };
    let mut lines = text[..end].split(|byte| *byte == b'\n');
    let Some(first) = lines.next() else { return Ok(None) };
    let mut snapshot: Snapshot = serde_json::from_slice(first)?;
    if snapshot.version != VERSION {
        let what = format!("it has version {}, this plexusd reads version {VERSION}", snapshot.version);
        return Err(std::io::Error::other(what));
    }
    for line in lines {
        let Change { address, lease } = serde_json::from_slice(line)?;
        match lease {
            Some(lease) => snapshot.leases.insert(address, lease),
            None => snapshot.leases.remove(&address),
        };
    }
    Ok(Some((snapshot, first.len() as u64 + 1, end as u64 + 1)))
}

fn replace(path: &Path, line: &[u8]) -> std::io::Result<File> {
    let draft = path.with_extension("draft");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(line)?;
    file.sync_all()?;
    fault::point();
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())?;
    Ok(file)
}

/// An error of the file at `path`.
pub(super) fn failed(verb: &str, path: &Path, error: &std::io::Error) -> CniError {
    CniError::new(Code::State, format!("cannot {verb} {}", path.display()))
        .because(format!("{error}; check the state directory's space and rights"))
}

#[cfg(test)]
mod tests;
