//! One simulated node: what the agent keeps for its IPAM, and nothing else of it.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use plexus_agent::cluster::{ApiServer, PoolStore};
use plexus_agent::ipam::whereabouts::slices::{Lease, PoolSpec, Slices, Span, Wish};
use plexus_agent::ipam::whereabouts::{Cluster, retry_pending};
use plexus_agent::ipam::{Ipam, IpamRequest};
use plexus_cni::args::CniArgs;
use plexus_cni::json::Object;
use serde_json::{Value, json};

use super::ledger::Container;

/// The ranges of every network.
pub(super) const IPV4: &str = "10.77.0.0/16";
pub(super) const IPV6: &str = "fd00:77::/112";
/// Slices of fast mode, 512 of either range: prefix lengths for IPv4 and IPv6.
pub(super) const SLICE_SIZES: [&str; 2] = ["/25", "/121"];
/// How long one call may take.
const CALL: Duration = Duration::from_mins(1);
/// How long releases that were put off may take.
const SETTLE: Duration = Duration::from_mins(3);
const IFNAME: &str = "net1";

/// A node.
pub(super) struct Node {
    pub(super) number: usize,
    pub(super) name: String,
    network: String,
    kept: Kept,
}

/// What it keeps, by mode.
enum Kept {
    Classic { cluster: Box<Cluster>, config: Object },
    Fast { slices: Arc<Slices>, specs: Vec<PoolSpec>, dir: PathBuf, api: Arc<dyn PoolStore> },
}

impl Node {
    /// A node that keeps its files in `dir`.
    pub(super) fn new(
        number: usize,
        network: &str,
        is_fast: bool,
        api: Arc<ApiServer>,
        dir: &Path,
    ) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let (name, api) = (format!("node-{number}"), api as Arc<dyn PoolStore>);
        let kept = if is_fast {
            let slices = Arc::new(Slices::open(dir, &name, Arc::clone(&api))?);
            Slices::start(&slices)?;
            let specs = [("v4", IPV4, SLICE_SIZES[0]), ("v6", IPV6, SLICE_SIZES[1])];
            let specs: Result<_> = specs
                .iter()
                .map(|(family, range, size)| spec(&format!("{network}-{family}"), range, size))
                .collect();
            Kept::Fast { slices, specs: specs?, dir: dir.to_owned(), api }
        } else {
            let cluster = Box::new(Cluster::new(api, name.clone(), None, dir));
            Kept::Classic { cluster, config: object(&config(network)) }
        };
        Ok(Self { number, name, network: network.to_owned(), kept })
    }

    /// Gets the container its addresses.
    pub(super) fn add(&self, container: Container) -> Result<Vec<IpAddr>> {
        let (id, pod) = (container.id(), container.pod());
        match &self.kept {
            Kept::Classic { cluster, config } => {
                let args = CniArgs::parse(&format!("K8S_POD_NAMESPACE=bench;K8S_POD_NAME={pod}"))?;
                let result = Ipam::Whereabouts.add(&self.request(&id, config, &args, cluster))?;
                Ok(result.ips.into_iter().map(|ip| ip.address.addr()).collect())
            }
            Kept::Fast { slices, specs, .. } => {
                let wish = |spec: &PoolSpec| Wish { spec: spec.clone(), wanted: None };
                let lease = Lease {
                    container_id: id,
                    ifname: IFNAME.into(),
                    podref: format!("bench/{pod}"),
                    pod_uid: format!("uid-{pod}"),
                    network: self.network.clone(),
                };
                let wishes: Vec<_> = specs.iter().map(wish).collect();
                Ok(slices.acquire(&wishes, &lease, Instant::now() + CALL)?)
            }
        }
    }

    /// Takes the container's addresses back.
    pub(super) fn del(&self, container: Container) -> Result<()> {
        let id = container.id();
        match &self.kept {
            Kept::Classic { cluster, config } => {
                let pod = container.pod();
                let args = CniArgs::parse(&format!("K8S_POD_NAMESPACE=bench;K8S_POD_NAME={pod}"))?;
                Ipam::Whereabouts.del(&self.request(&id, config, &args, cluster))?;
            }
            Kept::Fast { slices, .. } => drop(slices.release(&id, IFNAME)?),
        }
        Ok(())
    }

    /// Makes the releases that a DEL had to put off, as plexusd does every 10 s; returns how many there were.
    pub(super) fn settle(&self) -> Result<usize> {
        let Kept::Classic { cluster, .. } = &self.kept else { return Ok(0) };
        let (count, until) = (cluster.pending.len(), Instant::now() + SETTLE);
        while !cluster.pending.is_empty() {
            ensure!(Instant::now() < until, "{}: releases are still put off after {SETTLE:?}", self.name);
            retry_pending(cluster, SystemTime::now(), |_| Some(()));
            sleep(Duration::from_millis(100));
        }
        Ok(count)
    }

    /// Addresses that are held by what lies on the disk, read as after a restart.
    pub(super) fn leases(&self) -> Result<u64> {
        let Kept::Fast { dir, api, .. } = &self.kept else { return Ok(0) };
        let read = Slices::open(dir, &self.name, Arc::clone(api))?;
        Ok(read.views().iter().map(|view| view.leases.len() as u64).sum())
    }

    fn request<'a>(
        &'a self,
        container_id: &'a str,
        config: &'a Object,
        args: &'a CniArgs,
        cluster: &'a Cluster,
    ) -> IpamRequest<'a> {
        IpamRequest {
            network: &self.network,
            container_id,
            ifname: IFNAME,
            config,
            args,
            data_dirs: &[],
            boot_id: "boot",
            cluster: Some(cluster),
            deadline: Instant::now() + CALL,
        }
    }
}

/// The plugin's config of classic mode.
fn config(network: &str) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": network, "type": "macvlan",
        "ipam": {"type": "whereabouts", "network_name": network, "ipRanges": [{"range": IPV4}, {"range": IPV6}]},
    })
}

fn spec(name: &str, range: &str, size: &str) -> Result<PoolSpec> {
    let range = range.parse()?;
    let whole = Span::of_net(range);
    let usable = whole.after(whole.first()).context("a range of one address")?;
    Ok(PoolSpec {
        name: name.to_owned(),
        network_name: name.to_owned(),
        range,
        slice_size: size.to_owned(),
        usable,
        excludes: Vec::new(),
        checks_overlaps: true,
    })
}

fn object(value: &Value) -> Object {
    value.as_object().cloned().unwrap_or_default()
}
