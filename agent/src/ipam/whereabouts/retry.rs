//! Releases that were kept are made as soon as the API server takes them.

use std::time::{Duration, Instant, SystemTime};

use super::cluster::Cluster;
use super::release;

/// Most releases of one round; the rest waits for the next.
const ROUND_MAX: usize = 1024;
/// How long one release may take.
const RELEASE_MAX: Duration = Duration::from_secs(10);

/// Makes kept releases that are due `now`; the first that nobody answers ends the round. `lock` takes the lock of a
/// container, unless somebody works on it: an ADD of the same interface must not lose its address to an earlier one's
/// release.
pub fn pending<Lock>(cluster: &Cluster, now: SystemTime, lock: impl Fn(&str) -> Option<Lock>) {
    for release in cluster.pending.all(ROUND_MAX) {
        if !release.is_due(now) {
            continue;
        }
        let Some(_ours) = lock(&release.container_id) else { continue };
        // Read again under the lock: somebody may have made it.
        let is_still_there = |all: Vec<_>| all.contains(&release);
        if !cluster.pending.of(&release.container_id, &release.ifname).is_ok_and(is_still_there) {
            continue;
        }
        let outcome = release::now(cluster, &release, Instant::now() + RELEASE_MAX);
        cluster.note(&outcome);
        let (network, container) = (&release.network, &release.container_id);
        match outcome {
            Ok(()) => match cluster.pending.done(&release) {
                Ok(()) => tracing::info!(network, container, "addresses that were kept are released"),
                Err(error) => tracing::error!(network, container, %error, "a release that was made is kept"),
            },
            Err(error) if error.kind.is_passing() => {
                tracing::warn!(network, container, %error, "addresses are still not released");
                return;
            }
            Err(error) => tracing::error!(network, container, %error, "addresses cannot be released"),
        }
    }
}
