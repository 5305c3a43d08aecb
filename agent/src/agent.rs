//! Everything that one plexusd holds.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use plexus_cni::{CniError, Code};

use crate::cluster::{Catalog, follow};
use crate::datapath::{Datapath, DatapathOptions};
use crate::locks::Locks;
use crate::record::{NetworkPool, PortPool, RecordStore, boot_id};
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
    /// Fastpath networks with members.
    pub networks: NetworkPool,
    /// Programs and maps.
    pub datapath: Datapath,
    /// Pods and networks; without a source only what a call's config names can be attached.
    pub catalog: Option<Arc<Catalog>>,
    /// Held while the spool is served.
    pub replaying: Mutex<()>,
    /// One operation per container.
    pub locks: Locks,
    /// When this process was ready.
    pub started: Instant,
}

impl Agent {
    /// Reads the records and takes over what an earlier process left in the kernel.
    pub fn open(settings: Settings) -> Result<Self, CniError> {
        let records = RecordStore::open(Path::new(&settings.state_dir))?;
        let boot_id = boot_id()?;
        let known = records.all();
        let networks =
            NetworkPool::new(known.iter().filter(|record| record.boot_id == boot_id).map(|record| &**record));
        let used = known
            .iter()
            .flat_map(|record| record.attachments.iter().filter_map(|attachment| attachment.port_id));
        let ports = PortPool::new(settings.ports_max, used);
        let datapath = Datapath::open(&DatapathOptions {
            bpffs: settings.bpffs.clone(),
            max_ports: settings.ports_max,
        })?;
        let catalog = settings.manifests.as_deref().map(catalog).transpose()?;
        Ok(Self {
            catalog,
            boot_id,
            records,
            ports,
            networks,
            datapath,
            replaying: Mutex::new(()),
            locks: Locks::default(),
            started: Instant::now(),
            settings,
        })
    }
}

/// The cache of a directory of manifests.
fn catalog(dir: &Path) -> Result<Arc<Catalog>, CniError> {
    let catalog = Arc::new(Catalog::default());
    follow(dir, &catalog).map_err(|error| {
        CniError::new(Code::Io, format!("manifests in {} cannot be followed", dir.display()))
            .because(format!("{error:#}"))
    })?;
    Ok(catalog)
}
