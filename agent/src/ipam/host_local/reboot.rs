//! What an earlier boot left: its containers are gone, its files are not.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plexus_cni::CniError;

use super::data_dir::DataDir;
use super::lock::LOCK_FILE;
use super::release_all;
use super::store::{Reservation, Store};

/// How long the start waits for another holder of a directory's lock; what is left then is left to GC.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// So far beneath an allowed directory networks are looked for.
const DEPTH_MAX: usize = 4;
/// Most directories that are looked into.
const DIRECTORIES_MAX: usize = 4096;

/// Releases what we reserved in an earlier boot, in every network's directory beneath `data_dirs`; how many addresses.
///
/// What the reference plugin reserved stays, since nothing tells when; GC releases it if the runtime does not list it.
pub fn release_earlier_boots(data_dirs: &[PathBuf], boot_id: &str) -> usize {
    let mut released = 0;
    for (dir, network) in networks(data_dirs) {
        match release(&dir, &network, data_dirs, boot_id) {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(network, dir = %dir.display(), count, "released addresses of an earlier boot");
                released += count;
            }
            Err(error) => {
                tracing::warn!(network, dir = %dir.display(), %error, "addresses of an earlier boot stay");
            }
        }
    }
    released
}

fn release(dir: &Path, network: &str, data_dirs: &[PathBuf], boot_id: &str) -> Result<usize, CniError> {
    let place = DataDir::new(dir, data_dirs)?;
    let is_stale = |store: &Store, found: &Reservation| {
        store.origin(&found.name).is_ok_and(|origin| origin.is_of_earlier_boot(boot_id))
    };
    // Most directories have none, and then nobody is made to wait for the lock.
    let Some(store) = Store::look(&place, network)? else { return Ok(0) };
    if !store.reservations()?.iter().any(|found| is_stale(&store, found)) {
        return Ok(0);
    }
    let Some(store) = Store::existing(&place, network, LOCK_WAIT)? else { return Ok(0) };
    let mut stale = store.reservations()?;
    stale.retain(|found| is_stale(&store, found));
    release_all(&store, &stale).map(|()| stale.len())
}

/// Directories with a lock in them, as `dataDir` and network. No symbolic link is followed.
fn networks(data_dirs: &[PathBuf]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting: Vec<(PathBuf, usize)> = data_dirs.iter().map(|dir| (dir.clone(), 0)).collect();
    let mut looked = 0;
    while let Some((dir, depth)) = waiting.pop() {
        looked += 1;
        if looked > DIRECTORIES_MAX {
            tracing::warn!(
                "more than {DIRECTORIES_MAX} directories: addresses of an earlier boot may stay until a GC"
            );
            break;
        }
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        for name in entries.flatten().filter(is_dir).map(|entry| entry.file_name()) {
            let path = dir.join(&name);
            if path.join(LOCK_FILE).exists()
                && let Ok(network) = OsString::into_string(name)
                && !found.contains(&(dir.clone(), network.clone()))
            {
                found.push((dir.clone(), network));
            } else if depth < DEPTH_MAX {
                waiting.push((path, depth + 1));
            }
        }
    }
    found
}
