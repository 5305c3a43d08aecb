//! DELs that the shim kept while no agent was there.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use plexus_cni::limits::{FRAME_BYTES_MAX, REQUEST_DEADLINE_MS};
use plexus_cni::wire::CniCall;

use crate::agent::Agent;
use crate::delegate::Delegates;
use crate::netlink::Netlink;
use crate::worker;

/// Most DELs served at one time; the rest waits for the next. Far more than pods of a node, so that those which fail
/// each time do not hold up the others.
const BATCH_MAX: usize = 4096;

/// Serves the DELs in the spool; one that fails stays for the next time.
pub fn replay(agent: &Agent, host: &Netlink, delegates: &dyn Delegates) {
    let Ok(_only_one) = agent.replaying.try_lock() else { return };
    for path in entries(&agent.settings.state_dir.join("spool")).into_iter().take(BATCH_MAX) {
        match serve(agent, host, delegates, &path) {
            Ok(()) => tracing::info!(path = %path.display(), "served a DEL that was kept"),
            Err(error) => tracing::warn!(path = %path.display(), %error, "a DEL that was kept stays"),
        }
    }
}

/// How many DELs are kept.
pub fn len(state_dir: &Path) -> usize {
    entries(&state_dir.join("spool")).len()
}

/// The spool's files, oldest name first; those of an unfinished write are left out.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(listing) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths
}

fn serve(agent: &Agent, host: &Netlink, delegates: &dyn Delegates, path: &Path) -> anyhow::Result<()> {
    let length = fs::metadata(path)?.len();
    anyhow::ensure!(length <= FRAME_BYTES_MAX as u64, "it has {length} bytes, more than a call can have");
    let call: CniCall = serde_json::from_slice(&fs::read(path)?)?;
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(REQUEST_DEADLINE_MS);
    worker::serve(agent, host, &call, None, delegates, begun, deadline)?;
    fs::remove_file(path)?;
    Ok(())
}
