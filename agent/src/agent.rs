//! Everything that one plexusd holds.

use std::path::Path;
use std::time::Instant;

use plexus_cni::CniError;

use crate::datapath::{Datapath, DatapathOptions};
use crate::locks::Locks;
use crate::record::{PortPool, RecordStore, boot_id};
use crate::settings::Settings;

/// Settings, state and data plane, shared by all workers.
pub struct Agent {
    /// What the operator set.
    pub settings: Settings,
    /// This boot of the kernel.
    pub boot_id: String,
    /// What hangs on which container.
    pub records: RecordStore,
    /// Port ids.
    pub ports: PortPool,
    /// Programs and maps.
    pub datapath: Datapath,
    /// One operation per container.
    pub locks: Locks,
    /// When this process was ready.
    pub started: Instant,
}

impl Agent {
    /// Reads the records and takes over what an earlier process left in the kernel.
    pub fn open(settings: Settings) -> Result<Self, CniError> {
        let records = RecordStore::open(Path::new(&settings.state_dir))?;
        let used = records.all();
        let used = used.iter().flat_map(|record| record.attachments.iter().filter_map(|attachment| attachment.port_id));
        let ports = PortPool::new(settings.ports_max, used);
        let datapath = Datapath::open(&DatapathOptions { bpffs: settings.bpffs.clone(), max_ports: settings.ports_max })?;
        Ok(Self {
            boot_id: boot_id()?,
            records,
            ports,
            datapath,
            locks: Locks::default(),
            started: Instant::now(),
            settings,
        })
    }
}
