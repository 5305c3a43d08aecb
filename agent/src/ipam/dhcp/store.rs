//! Lease files: one for each attachment in `<stateDir>/dhcp`, whole or not at all, down to the disk.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use plexus_cni::{CniError, Code};

use super::family::Family;
use super::held::{HELD_VERSION, Held, Key};
use crate::fault;

/// A file that is being written.
const DRAFT: &str = "draft";
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// The directory.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    /// The directory below the agent's; it is made with the first lease.
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { dir: state_dir.join("dhcp") }
    }

    /// Writes a lease in place of what its attachment had.
    pub(super) fn put(&self, held: &Held) -> Result<(), CniError> {
        let path = self.path(&held.key);
        self.write(&path, held).map_err(|error| failed("write", &path, &error))?;
        fault::point();
        Ok(())
    }

    fn write(&self, path: &Path, held: &Held) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let draft = path.with_extension(DRAFT);
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(serde_json::to_string(held)?.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    }

    /// The lease of an attachment, if it has one.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Held>, CniError> {
        let path = self.path(key);
        match read(&path) {
            Ok(held) => Ok(Some(held).filter(|held| held.key == *key)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path, &error)),
        }
    }

    /// Removes a lease; one that is gone is a success.
    pub(super) fn remove(&self, key: &Key) -> Result<(), CniError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", &path, &error)),
            _ => {
                fault::point();
                Ok(())
            }
        }
    }

    /// All leases. A file that cannot be read is told and left alone.
    pub(super) fn all(&self) -> Result<Vec<Held>, CniError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("read", &self.dir, &error)),
        };
        let mut all = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| failed("read", &self.dir, &error))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read(&path) {
                Ok(held) => all.push(held),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "a lease cannot be read and is not renewed");
                }
            }
        }
        Ok(all)
    }

    /// The name is a hash: interface names may have bytes that file names have not.
    fn path(&self, key: &Key) -> PathBuf {
        let family = match key.family {
            Family::Ipv4 => "",
            Family::Ipv6 => "\0ipv6",
        };
        let identity = [&*key.container_id, &key.network, &key.ifname].join("\0") + family;
        // FNV-1a, 64 bits.
        let hash = identity.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.dir.join(format!("{hash:016x}.json"))
    }
}

fn read(path: &Path) -> io::Result<Held> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let held: Held = serde_json::from_str(&fs::read_to_string(path)?)?;
    if held.version != HELD_VERSION {
        return Err(io::Error::other(format!("it has format {}, not {HELD_VERSION}", held.version)));
    }
    Ok(held)
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> CniError {
    CniError::new(Code::State, format!("cannot {verb} {}", path.display())).because(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::dhcp::machine::Lease;
    use crate::ipam::dhcp::terms::tests::terms;

    fn key(ifname: &str) -> Key {
        Key { container_id: "c".into(), network: "n".into(), ifname: ifname.into(), family: Family::Ipv4 }
    }

    #[test]
    fn a_lease_is_found_again_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        assert!(store.all().unwrap().is_empty());
        store.remove(&key("net1")).unwrap();
        let lease = Lease { terms: terms([10, 1, 0, 7], 60), since_ms: 5 };
        let held = Held { lease: Some(lease), ..Held::for_tests(key("net1")) };
        store.put(&held).unwrap();
        store.put(&Held::for_tests(key("net2"))).unwrap();
        assert_eq!(store.get(&key("net1")).unwrap(), Some(held));
        assert_eq!(store.all().unwrap().len(), 2);
        store.remove(&key("net1")).unwrap();
        assert_eq!(store.get(&key("net1")).unwrap(), None);
    }

    #[test]
    fn what_a_crash_cut_off_is_passed_over_and_what_is_damaged_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        store.put(&Held::for_tests(key("net1"))).unwrap();
        fs::write(store.path(&key("net2")).with_extension(DRAFT), "{").unwrap();
        fs::write(store.path(&key("net3")), "{").unwrap();
        assert_eq!(store.all().unwrap().len(), 1);
        assert!(store.get(&key("net3")).is_err());
    }
}
