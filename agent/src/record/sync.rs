//! Files that a thread brings to the disk, so that no ADD waits for it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// Files that may wait; with more the writer syncs for itself, which bounds what a power loss can take.
const WAITING_MAX: usize = 256;

/// Files are synced this long after the first of them: a commit of the journal holds up whoever writes meanwhile, and
/// of most records a newer revision follows at once.
const GATHER: Duration = Duration::from_millis(200);

/// Whether the file still has a name.
fn is_there(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

/// The thread's queue.
pub(super) struct Syncer {
    queue: SyncSender<File>,
}

impl Syncer {
    /// Starts the thread; it ends when this value is dropped.
    pub(super) fn start() -> std::io::Result<Self> {
        let (queue, files) = sync_channel::<File>(WAITING_MAX);
        let sync_all = move || {
            while let Ok(first) = files.recv() {
                std::thread::sleep(GATHER);
                for file in std::iter::once(first).chain(files.try_iter()).filter(is_there) {
                    if let Err(error) = file.sync_data() {
                        tracing::error!(%error, "a record could not be synced: a power loss may lose it");
                    }
                }
            }
        };
        std::thread::Builder::new().name("record-sync".into()).spawn(sync_all)?;
        Ok(Self { queue })
    }

    /// Has the file synced, soon or at once.
    pub(super) fn sync(&self, file: File) -> std::io::Result<()> {
        match self.queue.try_send(file) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(file) | TrySendError::Disconnected(file)) => file.sync_data(),
        }
    }
}
