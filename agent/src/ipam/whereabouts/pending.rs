//! Releases that could not be made yet: one file per interface, until the API server has taken them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::IpNet;
use plexus_cni::{CniError, Code};
use serde::{Deserialize, Serialize};

use crate::cluster::Allocation;
use crate::install::atomic;

/// Folder below the state directory.
const FOLDER: &str = "releases";
/// A request that nobody heard the end of may take effect this much later: kube-apiserver gives one up after 60 s
/// (`--request-timeout`).
const IN_FLIGHT_MAX_S: u64 = 65;
/// Largest file that is read.
const BYTES_MAX: u64 = 1024 * 1024;

/// What an interface has to give back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The CNI network, for messages.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// Its interface.
    pub ifname: String,
    /// Its pod: `namespace/name`; empty where nobody named it.
    pub podref: String,
    /// `network_name` of the config: part of the reservations' names.
    pub network_name: String,
    /// Whether addresses are reserved against other ranges.
    pub overlapping: bool,
    /// The pools in which it may hold addresses.
    pub pools: Vec<PoolPlace>,
    /// Reservations that it may have made without an allocation.
    pub reservations: Vec<String>,
    /// Unix time in seconds before which it is of no use alone: what the failed ADD asked for may still take effect.
    #[serde(default)]
    pub not_before_s: u64,
}

/// A pool and its range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPlace {
    /// The IPPool's name.
    pub name: String,
    /// The whole range.
    pub network: IpNet,
}

impl Release {
    /// To be made once nothing that is under way at `now` can take effect any more.
    pub(super) fn after_requests_in_flight(self, now: SystemTime) -> Self {
        Self { not_before_s: unix_s(now).saturating_add(IN_FLIGHT_MAX_S), ..self }
    }

    /// Whether its time has come. After a clock that was set back it is not waited for longer than ever was meant.
    pub(super) fn is_due(&self, now: SystemTime) -> bool {
        let now = unix_s(now);
        self.not_before_s <= now || self.not_before_s > now.saturating_add(IN_FLIGHT_MAX_S)
    }

    /// The interface as a pool's allocation names it.
    pub fn holder(&self) -> Allocation {
        Allocation { id: self.container_id.clone(), podref: self.podref.clone(), ifname: self.ifname.clone() }
    }
}

/// The folder with unfinished releases.
#[derive(Debug)]
pub struct Pending {
    folder: PathBuf,
}

impl Pending {
    pub(super) fn below(state_dir: &Path) -> Self {
        Self { folder: state_dir.join(FOLDER) }
    }

    /// Keeps a release, durably; one of another network for the same interface is kept beside it.
    pub(super) fn put(&self, release: &Release) -> Result<(), CniError> {
        let path = self.path(&release.container_id, &release.ifname);
        let mut all = read(&path).map_err(|error| failed(&path, &error))?;
        if !all.contains(release) {
            all.push(release.clone());
        }
        self.write(&path, &all).map_err(|error| failed(&path, &error))
    }

    /// What this interface has still to give back.
    pub(super) fn of(&self, container_id: &str, ifname: &str) -> Result<Vec<Release>, CniError> {
        let path = self.path(container_id, ifname);
        read(&path).map_err(|error| failed(&path, &error))
    }

    /// Forgets a release that was made.
    pub(super) fn done(&self, release: &Release) -> Result<(), CniError> {
        let path = self.path(&release.container_id, &release.ifname);
        let mut all = read(&path).map_err(|error| failed(&path, &error))?;
        all.retain(|other| other != release);
        let outcome = if all.is_empty() { atomic::remove(&path) } else { self.write(&path, &all) };
        outcome.map_err(|error| failed(&path, &error))
    }

    /// All releases, at most `max` files of them; what cannot be read is reported and left.
    pub fn all(&self, max: usize) -> Vec<Release> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        let mut all = Vec::new();
        for path in paths.into_iter().take(max) {
            match read(&path) {
                Ok(releases) => all.extend(releases),
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "an address to be released cannot be read");
                }
            }
        }
        all
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        fs::read_dir(&self.folder).map_or(0, |entries| {
            let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
            names
                .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
                .count()
        })
    }

    /// Whether nothing has to be released.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Container ids and interface names are plain file names; `@` is in neither.
    fn path(&self, container_id: &str, ifname: &str) -> PathBuf {
        self.folder.join(format!("{container_id}@{ifname}.json"))
    }

    fn write(&self, path: &Path, releases: &[Release]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        atomic::write(path, &serde_json::to_string(releases)?, 0o600)
    }
}

fn unix_s(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn read(path: &Path) -> io::Result<Vec<Release>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
        Ok(metadata) if metadata.len() > BYTES_MAX => {
            return Err(io::Error::other(format!("it has {} bytes", metadata.len())));
        }
        Ok(_) => {}
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn failed(path: &Path, error: &io::Error) -> CniError {
    CniError::new(Code::State, format!("the release of an address cannot be kept in {}", path.display()))
        .because(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn release() -> Release {
        Release {
            network: "n".into(),
            container_id: "c".into(),
            ifname: "net1".into(),
            podref: "ns/p".into(),
            network_name: String::new(),
            overlapping: true,
            pools: vec![PoolPlace { name: "10.0.0.0-24".into(), network: "10.0.0.0/24".parse().unwrap() }],
            reservations: vec!["10.0.0.1".into()],
            not_before_s: 0,
        }
    }

    #[test]
    fn a_release_is_kept_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let pending = Pending::below(dir.path());
        let release = release();
        let other = Release { network: "m".into(), ..release.clone() };
        for release in [&release, &release, &other] {
            pending.put(release).unwrap();
        }
        let again = Pending::below(dir.path());
        assert_eq!(again.of("c", "net1").unwrap(), [release.clone(), other.clone()]);
        assert_eq!((again.len(), again.all(9).len(), again.all(0).len()), (1, 2, 0));
        again.done(&release).unwrap();
        assert_eq!(again.of("c", "net1").unwrap(), std::slice::from_ref(&other));
        again.done(&other).unwrap();
        assert!(again.is_empty() && again.of("c", "net1").unwrap().is_empty());
    }

    #[test]
    fn a_release_waits_for_requests_in_flight_and_not_for_a_clock_that_was_set_back() {
        let release = release();
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert!(release.is_due(now));
        let later = release.after_requests_in_flight(now);
        for (seconds, is_due) in
            [(0, false), (64, false), (65, true), (1_000, true), (-1, true), (-900_000, true)]
        {
            let at = UNIX_EPOCH + Duration::from_secs(1_000_000_u64.saturating_add_signed(seconds));
            assert_eq!(later.is_due(at), is_due, "{seconds} s later");
        }
    }
}
