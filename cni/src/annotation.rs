//! Keys of annotations on pods and NetworkAttachmentDefinitions.

/// On a pod: the networks beside the default one.
pub const NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// On a pod: the network that takes the default one's place.
pub const DEFAULT_NETWORK: &str = "v1.multus-cni.io/default-network";
/// On a pod: what was attached; written, never read back as truth.
pub const NETWORK_STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
/// On a NetworkAttachmentDefinition: the device resource that its plugin needs.
pub const RESOURCE_NAME: &str = "k8s.v1.cni.cncf.io/resourceName";
/// On a pod: where its definition came from; other than [`SOURCE_API`] it is a static pod.
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// The [`CONFIG_SOURCE`] of pods that the API server knows first.
pub const SOURCE_API: &str = "api";
/// On a mirror pod: the hash of the static pod's definition, which the runtime knows as the pod's UID.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// On a mirror pod: the same hash, which tells it from its successor.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// On a pod: how much it may get on its default network, a Kubernetes quantity of bits per second.
pub const INGRESS_BANDWIDTH: &str = "kubernetes.io/ingress-bandwidth";
/// On a pod: how much it may send on its default network.
pub const EGRESS_BANDWIDTH: &str = "kubernetes.io/egress-bandwidth";

/// Whether anything here reads the annotation `key`; the others are not kept.
pub fn is_read(key: &str) -> bool {
    let prefixes = ["k8s.v1.cni.cncf.io/", "v1.multus-cni.io/", "kubernetes.io/config."];
    prefixes.iter().any(|prefix| key.starts_with(prefix))
        || matches!(key, INGRESS_BANDWIDTH | EGRESS_BANDWIDTH)
}
