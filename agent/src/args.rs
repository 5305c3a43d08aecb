//! The command line of plexusd.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use http::Uri;
use plexus_cni::json::Object;

use crate::install::args::{Install, RuntimeConfig, Uninstall};
use crate::settings::{ClusterSettings, Settings, StatusMode};

/// The Plexus node agent: attaches pods to networks and moves, limits and counts their packets.
#[derive(Parser)]
#[command(name = "plexusd", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What plexusd does.
#[derive(Subcommand)]
pub enum Command {
    /// Serve the shim's calls until SIGTERM; interfaces and packets outlive the process.
    Run(Box<Run>),
    /// Put the shim into the container runtime's plugin directory, and end.
    Install(Install),
    /// Take the shim out of it again, with the plugins back whose names it had.
    Uninstall(Uninstall),
}

/// Options of `plexusd run`.
#[derive(Args)]
pub struct Run {
    /// Config file: plexusd's own (docs/configuration.md), or Multus' daemon-config.json. Flags go before it.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// What is logged: error, warn, info, debug or trace, also by module.
    #[arg(long, default_value = "info", env = "PLEXUS_LOG")]
    pub log_level: String,
    /// Socket for shims and plexusctl (mode 0600, root only).
    #[arg(long, default_value = "/run/plexus/plexus.sock", env = "PLEXUS_SOCKET")]
    socket: PathBuf,
    /// Records of attachments and DELs kept while no agent was there.
    #[arg(long, default_value = "/var/lib/plexus", env = "PLEXUS_STATE_DIR")]
    state_dir: PathBuf,
    /// Directory of YAML files with Pods and NetworkAttachmentDefinitions, followed live.
    #[arg(long)]
    manifests: Option<PathBuf>,
    /// Kubeconfig of the API server with Pods and NetworkAttachmentDefinitions; inside a pod its service account is used
    /// without being asked for.
    #[arg(long, conflicts_with = "manifests")]
    kubeconfig: Option<PathBuf>,
    /// Name of this node's Node object [default: $MULTUS_NODE_NAME, else the host's name].
    #[arg(long, env = "NODE_NAME")]
    node_name: Option<String>,
    /// Namespace of whereabouts' objects: its own, where the original runs beside us.
    #[arg(long, default_value = "kube-system", value_name = "NAMESPACE")]
    whereabouts_namespace: String,
    /// Seconds that a pod which the cache lacks is waited for, before the API server is asked for it.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(0..=60))]
    pod_wait_s: u16,
    /// When network-status is written to the pod: before its ADD is answered, or after.
    #[arg(long, value_enum, default_value_t)]
    status: StatusMode,
    /// How long an executed plugin may take for one verb, in seconds; then it is killed with all that it started.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=90))]
    delegate_timeout_s: u16,
    /// Directories with plugins of other vendors, searched before the runtime's CNI_PATH.
    #[arg(long, value_delimiter = ':')]
    bin_dir: Vec<PathBuf>,
    /// Directory on a BPF file system for pinned maps and links.
    #[arg(long, default_value = "/sys/fs/bpf/plexus")]
    bpffs: PathBuf,
    /// Most interfaces with a port in the data plane.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=65536))]
    ports_max: u32,
    /// Directories beneath which an IPAM config may place its data; the first serves configs that name none.
    #[arg(long, value_delimiter = ':', default_value = "/var/lib/cni/networks:/var/lib/cni:/run/cni")]
    ipam_data_dir: Vec<PathBuf>,
    /// File with a regular expression a line: sysctls that match none are refused. All are allowed where it does not exist.
    #[arg(long, default_value = "/etc/cni/tuning/allowlist.conf")]
    sysctl_allowlist: PathBuf,
    /// Socket on which the kubelet says which devices a pod was given.
    #[arg(long, default_value = "/var/lib/kubelet/pod-resources/kubelet.sock")]
    pod_resources_socket: PathBuf,
    /// File that is read where that socket does not answer.
    #[arg(long, default_value = "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint")]
    kubelet_checkpoint: PathBuf,
    /// Directory of device information files; plugins on the host must see it at the same path.
    #[arg(long, default_value = "/var/run/k8s.cni.cncf.io/devinfo")]
    device_info_dir: PathBuf,
    /// Instance metadata service (EC2), asked where a network's config names its parent by ENI or device index.
    #[arg(long, default_value = "http://169.254.169.254", value_name = "URL")]
    instance_metadata: Uri,
    /// Cache of the Multus that attached pods on this node before (its `cniDir`).
    #[arg(long, default_value = "/var/lib/cni/multus")]
    multus_cache_dir: PathBuf,
    #[command(flatten)]
    conflist: RuntimeConfig,
    /// Threads that do the blocking work; the kernel serialises most of it.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// Most connections served at once; more wait.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(16..=4096))]
    connection_limit: u16,
    /// Serve /metrics, /healthz and /readyz over HTTP on this address, such as 127.0.0.1:9091; off unless given.
    #[arg(long, value_name = "ADDR")]
    metrics: Option<SocketAddr>,
    /// Most interfaces with metrics of their own; with more there are sums by network only.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    metrics_ports_max: u16,
    /// Also serve multus_server_request_total, for dashboards that were made for Multus.
    #[arg(long)]
    metrics_multus_names: bool,
}

/// The node's name: as it was set, else as Multus was told, else the host's. The kubelet names the node by its host, in lower
/// case, unless told otherwise.
fn node_name(own: Option<&str>, multus: Option<&str>, host: &str) -> String {
    let named = [own, multus].into_iter().flatten().find(|name| !name.is_empty());
    named.map_or_else(|| host.to_lowercase(), str::to_owned)
}

impl Run {
    /// The API server that is meant: the kubeconfig's, or that of the cluster in whose pod we run.
    fn cluster(&self) -> Option<ClusterSettings> {
        let is_inside = self.manifests.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        if self.kubeconfig.is_none() && !is_inside {
            return None;
        }
        let multus = std::env::var("MULTUS_NODE_NAME").ok();
        let host = nix::unistd::gethostname().unwrap_or_default();
        Some(ClusterSettings {
            kubeconfig: self.kubeconfig.clone(),
            node_name: node_name(self.node_name.as_deref(), multus.as_deref(), &host.to_string_lossy()),
            whereabouts_namespace: self.whereabouts_namespace.clone(),
        })
    }
}

impl From<Run> for Settings {
    fn from(run: Run) -> Self {
        let cluster = run.cluster();
        let settings = Self {
            cluster,
            status: run.status,
            pod_wait: Duration::from_secs(run.pod_wait_s.into()),
            delegate_timeout: Duration::from_secs(run.delegate_timeout_s.into()),
            socket: run.socket,
            state_dir: run.state_dir,
            manifests: run.manifests,
            bin_dirs: run.bin_dir,
            bpffs: run.bpffs,
            ports_max: run.ports_max,
            ipam_data_dirs: run.ipam_data_dir,
            sysctl_allowlist: run.sysctl_allowlist,
            pod_resources_socket: run.pod_resources_socket,
            kubelet_checkpoint: run.kubelet_checkpoint,
            device_info_dir: run.device_info_dir,
            instance_metadata: run.instance_metadata,
            multus_cache_dir: run.multus_cache_dir,
            workers: run.workers.into(),
            connection_limit: run.connection_limit.into(),
            metrics: run.metrics,
            metrics_ports_max: run.metrics_ports_max.into(),
            metrics_multus_names: run.metrics_multus_names,
            meta_overlay: Object::new(),
            conflist: None,
        };
        Self { conflist: run.conflist.settings(&settings), ..settings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_name_is_ours_then_that_of_multus_then_the_hosts() {
        assert_eq!(node_name(Some("a"), Some("b"), "C"), "a");
        assert_eq!(node_name(Some(""), Some("b"), "C"), "b");
        assert_eq!(node_name(None, Some(""), "C"), "c");
    }
}
