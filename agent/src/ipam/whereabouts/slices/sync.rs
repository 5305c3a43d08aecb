//! Brings what was written to the disk, so that no ADD waits for it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Slices;

/// Time between two looks that nobody asked for.
const PERIOD: Duration = Duration::from_mins(1);
/// For this long writes are gathered.
const GATHER: Duration = Duration::from_millis(200);

impl Slices {
    /// Starts the thread; it ends with the last other holder of `slices`.
    pub(super) fn start_sync(slices: &Arc<Self>) -> std::io::Result<()> {
        let (bell, slices) = (Arc::clone(&slices.unsynced), Arc::downgrade(slices));
        let sync_forever = move || {
            while let Some(slices) = Weak::upgrade(&slices) {
                slices.sync();
                drop(slices);
                bell.wait(PERIOD);
                std::thread::sleep(GATHER);
            }
        };
        std::thread::Builder::new().name("lease-sync".into()).spawn(sync_forever).map(drop)
    }

    /// Syncs every file with lines that may not be on the disk yet.
    pub(super) fn sync(&self) {
        for pool in self.all() {
            let file = {
                let mut state = pool.lock();
                let is_unsynced = std::mem::take(&mut state.is_unsynced);
                is_unsynced.then(|| state.store.handle()).flatten()
            };
            if let Some(Err(error)) = file.map(|file| file.sync_data()) {
                tracing::error!(%error, "leases could not be synced: a power loss may lose them");
            }
        }
    }
}
