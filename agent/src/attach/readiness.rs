//! The readiness indicator: the file that the default network's agent makes when it can take pods.
//!
//! Source: Multus' key `readinessindicatorfile`. Waited for by inotify, where Multus looks once a second.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher as _};
use plexus_cni::{CniError, Code};

use super::Request;

/// Multus' key.
const KEY: &str = "readinessindicatorfile";
/// Longest wait, as for Multus.
const WAIT: Duration = Duration::from_secs(45);
/// The file is looked for after this even without an event: some file systems send none.
const RECHECK: Duration = Duration::from_secs(5);
/// Calls that wait now. A waiting call holds its worker, and DELs must find one.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Waits for the file, at most 45 s and no longer than the call may last. No lock is held meanwhile.
pub(super) fn wait(request: &Request<'_>) -> Result<(), CniError> {
    let Some(path) = absent(request) else { return Ok(()) };
    let places = (request.agent.settings.workers / 2).max(1);
    let is_free = WAITING.fetch_add(1, Ordering::Relaxed) < places;
    let deadline = request.deadline.min(Instant::now() + WAIT);
    let found = is_free && appears(path, deadline);
    WAITING.fetch_sub(1, Ordering::Relaxed);
    if found { Ok(()) } else { Err(missing(path, Code::TryAgain)) }
}

/// STATUS is a question, so it is answered as things are: the runtime asks again.
pub(super) fn require(request: &Request<'_>) -> Result<(), CniError> {
    absent(request).map_or(Ok(()), |path| Err(missing(path, Code::Unavailable)))
}

/// DEL goes on without it, as the pod is going away.
pub(super) fn warn(request: &Request<'_>) {
    if let Some(path) = absent(request) {
        tracing::warn!(
            container = request.call.container_id,
            "DEL goes on without the default network's {}",
            path.display()
        );
    }
}

/// The indicator that the node's or the call's config names, if there is no such file.
fn absent<'a>(request: &'a Request<'_>) -> Option<&'a Path> {
    if !request.is_meta() {
        return None;
    }
    let overlay = &request.agent.settings.meta_overlay;
    let value = overlay.get(KEY).or_else(|| request.config.document.get(KEY))?;
    // What is no absolute path is refused where the config is read.
    value.as_str().map(Path::new).filter(|path| path.is_absolute() && !path.exists())
}

fn missing(path: &Path, code: Code) -> CniError {
    CniError::new(code, format!("the default network is not ready: {} does not exist", path.display()))
        .because("key \"readinessindicatorfile\" names it; the default network's agent makes it, so look there if it stays away")
}

/// Whether the file exists before `deadline`.
fn appears(path: &Path, deadline: Instant) -> bool {
    let (sender, events) = channel();
    let watcher = notify::recommended_watcher(move |_| {
        // Nobody listens any more once the wait is over.
        sender.send(()).unwrap_or_default();
    });
    let mut watcher = watcher.inspect_err(|error| tracing::warn!(%error, "cannot watch directories")).ok();
    loop {
        // The directory may come later than its parent, so the nearest one that exists is watched.
        let dir = path.ancestors().skip(1).find(|dir| dir.is_dir());
        if let (Some(watcher), Some(dir)) = (&mut watcher, dir) {
            // Without events the file is still looked for every few seconds.
            watcher.watch(dir, RecursiveMode::NonRecursive).unwrap_or_default();
        }
        if path.exists() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        // An error is a timeout: the watcher, which holds the sender, lives as long as the loop.
        events.recv_timeout(left.min(RECHECK)).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_in_a_directory_that_comes_later_is_seen_and_one_that_never_comes_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/flannel/subnet.env");
        assert!(!appears(&path, Instant::now()));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| appears(&path, Instant::now() + Duration::from_mins(1)));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            assert!(waiting.join().unwrap());
        });
    }
}
