//! Keys of annotations on pods and NetworkAttachmentDefinitions.

/// On a pod: the networks beside the default one.
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// On a pod: the network that takes the default one's place.
pub const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// On a pod: what was attached; written, never read back as truth.
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// On a NetworkAttachmentDefinition: the device resource that its plugin needs.
pub const RESOURCE_NAME: &str = "k8s.v1.cni.cncf.io/resourceName";
