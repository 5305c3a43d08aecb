//! plexusd's own config file.

use std::path::PathBuf;

use plexus_cni::lines::{Lines, Position, pointer_of};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::install::conflist::OnExit;
use crate::settings::StatusMode;

/// `apiVersion` of the file.
pub const API_VERSION: &str = "plexus.dev/v1alpha1";

/// Config of plexusd, the node agent of Plexus. A key is the flag of `plexusd run` in camelCase; a flag or its variable
/// in the environment goes before the file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("$id" = "https://plexus.dev/schema/agent-config.v1alpha1.json"))]
pub struct AgentConfig {
    /// Version of this format.
    pub api_version: ApiVersion,
    /// What this file is.
    pub kind: Kind,
    /// Socket for shims and plexusctl (mode 0600, root only). Default `/run/plexus/plexus.sock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
    /// Records of attachments, and DELs kept while no agent was there. Default `/var/lib/plexus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<PathBuf>,
    /// Directory of YAML files with Pods and NetworkAttachmentDefinitions, followed live, instead of an API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifests: Option<PathBuf>,
    /// Credentials for an API server outside of whose cluster plexusd runs. Inside it uses its service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<PathBuf>,
    /// Name of the node whose pods are served. Default: the host's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Namespace of whereabouts' objects: its own, where the original runs beside plexusd. Default `kube-system`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whereabouts_namespace: Option<String>,
    /// How long a pod that is not known yet is waited for, in seconds, before the API server is asked. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 60))]
    pub pod_wait_s: Option<u16>,
    /// When network-status is written to the pod: before its ADD is answered, or after. Default `wait`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusMode>,
    /// How long an executed plugin may take for one verb, in seconds; then it is killed with all that it started.
    /// Default 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 90))]
    pub delegate_timeout_s: Option<u16>,
    /// Directories with plugins of other vendors, searched before the runtime's `CNI_PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin_dir: Option<Vec<PathBuf>>,
    /// Directory on a BPF file system for pinned maps and links. Default `/sys/fs/bpf/plexus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bpffs: Option<PathBuf>,
    /// Most interfaces with a port in the data plane. Default 4096.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536))]
    pub ports_max: Option<u32>,
    /// Directories beneath which an IPAM config may place its data; the first serves configs that name none. Default
    /// `/var/lib/cni/networks`, `/var/lib/cni`, `/run/cni`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam_data_dir: Option<Vec<PathBuf>>,
    /// File with a regular expression a line: sysctls that match none are refused. All are allowed where it does not exist.
    /// Default `/etc/cni/tuning/allowlist.conf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sysctl_allowlist: Option<PathBuf>,
    /// Socket on which the kubelet says which devices a pod was given. Default
    /// `/var/lib/kubelet/pod-resources/kubelet.sock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_resources_socket: Option<PathBuf>,
    /// File that is read where that socket does not answer. Default
    /// `/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubelet_checkpoint: Option<PathBuf>,
    /// Directory of device information files; plugins on the host must see it at the same path. Default
    /// `/var/run/k8s.cni.cncf.io/devinfo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_info_dir: Option<PathBuf>,
    /// Instance metadata service (EC2), asked where a network's config names its parent by ENI or device index. Default
    /// `http://169.254.169.254`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_metadata: Option<String>,
    /// Cache of the Multus that attached pods on this node before (its `cniDir`). Default `/var/lib/cni/multus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multus_cache_dir: Option<PathBuf>,
    /// Directory in which the container runtime looks for network configs: a config that leads to plexusd is written there,
    /// made from the primary CNI's and kept so. Without, nothing is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni_conf_dir: Option<PathBuf>,
    /// Directory in which the primary CNI's config is looked for. Default: `cniConfDir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni_autoconf_dir: Option<PathBuf>,
    /// File name of the primary CNI's config. Default: the alphabetically first one that is not ours or Multus'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_cni: Option<String>,
    /// Name of our config; the runtime reads the alphabetically first one. Default `00-plexus.conflist`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflist_name: Option<String>,
    /// `cniVersion` in which the runtime is answered. Default: the primary CNI's, but 1.0.0 at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflist_cni_version: Option<String>,
    /// Name of the network that the runtime sees. Default `multus-cni-network`, Multus' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_name: Option<String>,
    /// Take the primary CNI's network name instead. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub override_network_name: Option<bool>,
    /// File that must exist before our config is written for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readiness_indicator_file: Option<PathBuf>,
    /// What becomes of our config when plexusd ends. `keep`: pods that start meanwhile wait for the next plexusd. `remove`:
    /// they come up with the primary network alone. Default `keep`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflist_on_exit: Option<OnExit>,
    /// Threads that do the blocking work; the kernel serialises most of it. Default 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub workers: Option<u8>,
    /// Most connections served at once; more wait. Default 512.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 4096))]
    pub connection_limit: Option<u16>,
    /// Address on which metrics and probes are served, such as `127.0.0.1:9477`; off unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
    /// Most interfaces with metrics of their own; with more there are sums by network only. Default 2000.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 65535))]
    pub metrics_ports_max: Option<u16>,
    /// Also serve `multus_server_request_total`, for dashboards that were made for Multus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_multus_names: Option<bool>,
    /// What is logged: error, warn, info, debug or trace, also by module (`info,plexus_agent::attach=debug`). Default
    /// `info`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_level: Option<String>,
    /// Keys of the meta-plugin's config that take the place of those in the runtime's config, on every call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<MetaKeys>,
}

/// The only `apiVersion` so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// May change from release to release; a change is in the changelog.
    #[serde(rename = "plexus.dev/v1alpha1")]
    V1Alpha1,
}

/// The only `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// plexusd's config.
    AgentConfig,
}

/// Keys of the meta-plugin's config, with the names that they have there (and with Multus).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetaKeys {
    /// The default network: a NetworkAttachmentDefinition of `multusNamespace`, a CNI file's network name, or a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_network: Option<String>,
    /// Networks that every pod outside of `systemNamespaces` gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_networks: Option<Vec<String>>,
    /// Whether a pod may use networks of its own and the global namespaces only. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_isolation: Option<bool>,
    /// Namespaces whose networks every pod may use, separated by commas. Default `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_namespaces: Option<String>,
    /// Namespaces whose pods get no `defaultNetworks`. Default `kube-system`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_namespaces: Option<Vec<String>>,
    /// Namespace of the administrator's NetworkAttachmentDefinitions. Default `kube-system`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multus_namespace: Option<String>,
    /// Directory of CNI files that networks are looked for in by name. Default `/etc/cni/multus/net.d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conf_dir: Option<String>,
    /// Directories of plugins that are searched first, separated by colons. Default `/opt/cni/bin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bin_dir: Option<String>,
    /// Directory in which Multus kept what it attached, for pods that it left. Default `/var/lib/cni/multus`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni_dir: Option<String>,
    /// Name of the chain whose plugins lie as files beside that of `clusterNetwork`.
    #[serde(rename = "auxiliaryCNIChainName", skip_serializing_if = "Option::is_none")]
    pub auxiliary_cni_chain_name: Option<String>,
    /// File that the default network's agent makes when it can take pods; ADD and GC wait for it.
    #[serde(rename = "readinessindicatorfile", skip_serializing_if = "Option::is_none")]
    pub readiness_indicator_file: Option<String>,
}

/// What a document turned out to be.
#[derive(Debug)]
pub enum Checked {
    /// A config that plexusd takes.
    Right(Box<AgentConfig>),
    /// Something else.
    Wrong {
        /// Where it is wrong.
        position: Option<Position>,
        /// The key, and what is wrong with it.
        why: String,
    },
}

impl AgentConfig {
    /// Reads a document whose keys stand at `lines`.
    pub fn check(value: &Value, lines: &Lines) -> Checked {
        match serde_path_to_error::deserialize::<_, Self>(value.clone()) {
            Ok(config) => Checked::Right(Box::new(config)),
            Err(error) => {
                let path = error.path().to_string();
                let key = if path == "." { String::new() } else { format!("key {path:?}: ") };
                let position = lines.get(&pointer_of(error.path()));
                Checked::Wrong { position, why: format!("{key}{}", error.into_inner()) }
            }
        }
    }
}
