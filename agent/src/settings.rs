//! What an operator sets.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use plexus_cni::json::Object;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::install::conflist::ConflistSettings;

/// Everything that plexusd is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The socket that shims and plexusctl connect to.
    pub socket: PathBuf,
    /// Records and spool.
    pub state_dir: PathBuf,
    /// Pods and NetworkAttachmentDefinitions as YAML files.
    pub manifests: Option<PathBuf>,
    /// Pods and NetworkAttachmentDefinitions from an API server.
    pub cluster: Option<ClusterSettings>,
    /// When network-status is written.
    pub status: StatusMode,
    /// How long a pod that the cache lacks is waited for, before the source is asked.
    pub pod_wait: Duration,
    /// How long an executed plugin may take.
    pub delegate_timeout: Duration,
    /// Directories for foreign plugins; empty means the runtime's CNI_PATH.
    pub bin_dirs: Vec<PathBuf>,
    /// Where maps and links are pinned.
    pub bpffs: PathBuf,
    /// Most ports of the data plane.
    pub ports_max: u32,
    /// Directories beneath which a config may place IPAM data.
    pub ipam_data_dirs: Vec<PathBuf>,
    /// The administrator's list of sysctls that pods may get; one that is not there allows all.
    pub sysctl_allowlist: PathBuf,
    /// The kubelet's PodResources socket.
    pub pod_resources_socket: PathBuf,
    /// The kubelet's checkpoint of devices, read where the socket does not answer.
    pub kubelet_checkpoint: PathBuf,
    /// Device information files: `dp` of device plugins, `cni` of attachments.
    pub device_info_dir: PathBuf,
    /// EC2's instance metadata service.
    pub instance_metadata: Uri,
    /// Multus' cache, for pods that it attached; a config's `cniDir` goes before.
    pub multus_cache_dir: PathBuf,
    /// The runtime's network config, where plexusd is to make it.
    pub conflist: Option<ConflistSettings>,
    /// Worker threads.
    pub workers: usize,
    /// Connections served at once; more wait in the socket's backlog.
    pub connection_limit: usize,
    /// Where metrics and probes are served, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// Most ports that have metrics of their own; with more there are sums by network only.
    pub metrics_ports_max: usize,
    /// Requests are also counted under Multus' metric names.
    pub metrics_multus_names: bool,
    /// Keys of the meta-plugin's config that take the place of the runtime's, on every call.
    pub meta_overlay: Object,
}

/// When network-status is written to a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusMode {
    /// Before the runtime is answered, so that a container that starts finds it.
    #[default]
    Wait,
    /// After the answer: pods start without waiting for the API server.
    Background,
}

/// The API server, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Its address and our credentials; absent for the service account of the pod that plexusd runs in.
    pub kubeconfig: Option<PathBuf>,
    /// Name of this node's Node object.
    pub node_name: String,
    /// Namespace of the objects of whereabouts.
    pub whereabouts_namespace: String,
}
