//! DELs that the agent could not take: kept on disk until it starts again.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Result, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use plexus_cni::hash::fnv1a;
use plexus_cni::{CniError, Code};

use crate::call::ShimCall;

/// A DEL in the spool.
pub(crate) struct Spooled(PathBuf);

/// Writes the call durably (file and directory are on disk when this returns).
pub(crate) fn write(call: &ShimCall) -> std::result::Result<Spooled, CniError> {
    let directory = Path::new(&call.state_dir).join("spool");
    let fail = |why: String| {
        CniError::new(Code::TryAgain, format!("cannot keep the DEL in {}", directory.display()))
            .because(format!("{why}; start plexusd or make the directory writable, the DEL can be repeated"))
    };
    let body = serde_json::to_vec(&call.call).map_err(|error| fail(error.to_string()))?;
    let path = directory.join(file_name(call));
    store(&directory, &path, &body).map_err(|error| fail(error.to_string()))?;
    Ok(Spooled(path))
}

impl Spooled {
    /// Takes the call out of the spool, after the agent has answered it after all.
    pub(crate) fn remove(self) {
        // The agent may have been quicker; and a DEL that is replayed once more does no harm.
        std::fs::remove_file(self.0).unwrap_or_default();
    }
}

/// One name per attachment: two plugins of one chain share everything but their type.
fn file_name(call: &ShimCall) -> String {
    let key = [call.config.name.as_bytes(), b"\0", call.config.plugin_type.as_bytes()].concat();
    format!("{}-{}-{:016x}.json", call.call.container_id, call.call.ifname, fnv1a(&key))
}

fn store(directory: &Path, path: &Path, body: &[u8]) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let temporary = directory.join(format!(".{}.tmp", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(body).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // What counts is the first error.
        std::fs::remove_file(&temporary).unwrap_or_default();
    }
    written?;
    File::open(directory)?.sync_all()
}
