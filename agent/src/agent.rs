//! Everything that one plexusd holds.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use plexus_cni::{CniError, Code};

use crate::cluster::{self, ApiServer, Calls, Catalog, PoolStore, Writer};
use crate::datapath::{Datapath, DatapathOptions};
use crate::devices::Devices;
use crate::follow::Refusals;
use crate::install::conflist::State;
use crate::instance::InstanceMetadata;
use crate::ipam::dhcp::Dhcp;
use crate::ipam::whereabouts;
use crate::ipam::whereabouts::reconcile;
use crate::locks::Locks;
use crate::metrics::Requests;
use crate::record::{NetworkPool, PortPool, RecordStore, TablePool, boot_id};
use crate::seeing::Seeing;
use crate::settings::{ClusterSettings, Settings};
use crate::status::Publisher;

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
    /// Tables of routes with ports.
    pub tables: TablePool,
    /// Programs and maps.
    pub datapath: Datapath,
    /// Pods and networks; without a source only what a call's config names can be attached.
    pub catalog: Option<Arc<Catalog>>,
    /// The API server, if that is where `catalog` comes from.
    pub api: Option<Arc<ApiServer>>,
    /// The cluster's pools of addresses, if there is an API server.
    pub pools: Option<whereabouts::Cluster>,
    /// How often the API server was called.
    pub api_calls: Arc<Calls>,
    /// Devices of this node's pods.
    pub devices: Devices,
    /// Interfaces of the cloud instance that the node is.
    pub instance: InstanceMetadata,
    /// Writes network-status and events.
    pub publisher: Publisher,
    /// How long calls and plugins take, and how they end.
    pub requests: Requests,
    /// Leases from DHCP servers.
    pub dhcp: Dhcp,
    /// How it stands with the runtime's config.
    pub conflist: State,
    /// Interfaces that were left as they are.
    pub refusals: Refusals,
    /// What the reconciler of the cluster's pools did.
    pub reconciled: reconcile::Counts,
    /// Who follows single frames.
    pub seeing: Arc<Seeing>,
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
            ..DatapathOptions::default()
        })?;
        let dhcp = Dhcp::open(Path::new(&settings.state_dir), &boot_id, settings.workers)?;
        let api_calls = Arc::new(Calls::default());
        let Source { catalog, api } = Source::open(&settings, &api_calls)?;
        let devices = Devices::new(
            &settings.pod_resources_socket,
            &settings.kubelet_checkpoint,
            &settings.device_info_dir,
            settings.cluster.is_none(),
        );
        let instance = InstanceMetadata::at(settings.instance_metadata.clone());
        let writer = api.clone().map(|api| api as Arc<dyn Writer>);
        let publisher = Publisher::new(settings.status, writer);
        let pools = settings.cluster.as_ref().zip(api.clone()).map(|(cluster, api)| {
            let (node, state_dir) = (cluster.node_name.clone(), &settings.state_dir);
            whereabouts::Cluster::new(api as Arc<dyn PoolStore>, node, catalog.clone(), state_dir)
        });
        Ok(Self {
            catalog,
            api,
            pools,
            api_calls,
            publisher,
            boot_id,
            records,
            ports,
            networks,
            tables: TablePool::default(),
            datapath,
            devices,
            instance,
            dhcp,
            requests: Requests::default(),
            conflist: State::default(),
            refusals: Refusals::default(),
            reconciled: reconcile::Counts::default(),
            seeing: Arc::default(),
            replaying: Mutex::new(()),
            locks: Locks::default(),
            started: Instant::now(),
            settings,
        })
    }
}

/// Where pods and networks come from.
#[derive(Default)]
struct Source {
    catalog: Option<Arc<Catalog>>,
    api: Option<Arc<ApiServer>>,
}

impl Source {
    /// The directory of manifests or the cluster, if either is named.
    fn open(settings: &Settings, calls: &Arc<Calls>) -> Result<Self, CniError> {
        let catalog = Arc::new(Catalog::default());
        if let Some(dir) = &settings.manifests {
            cluster::follow(dir, &catalog).map_err(|error| {
                CniError::new(Code::Io, format!("manifests in {} cannot be followed", dir.display()))
                    .because(format!("{error:#}"))
            })?;
            return Ok(Self { catalog: Some(catalog), api: None });
        }
        let Some(ClusterSettings { kubeconfig, node_name, whereabouts_namespace }) = settings.cluster.clone()
        else {
            return Ok(Self::default());
        };
        let api = cluster::start(kubeconfig, node_name, whereabouts_namespace, &catalog, calls).map_err(
            |error| CniError::new(Code::Io, "the cluster cannot be followed").because(format!("{error:#}")),
        )?;
        Ok(Self { catalog: Some(catalog), api: Some(api) })
    }
}
