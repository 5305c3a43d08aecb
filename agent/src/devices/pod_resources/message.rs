//! Messages of the kubelet's service `v1.PodResourcesLister`, as far as they are read: prost passes over other fields.
//!
//! Source: k8s.io/kubelet, pkg/apis/podresources/v1/api.proto.

use std::collections::HashMap;

use plexus_cni::devices::PodDevices;
use prost::Message;

/// Asks for all pods.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListPodResourcesRequest {}

/// The answer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListPodResourcesResponse {
    /// All pods of the node.
    #[prost(message, repeated, tag = "1")]
    pub pod_resources: Vec<PodResources>,
}

/// What one pod was given.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PodResources {
    /// The pod's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Its containers.
    #[prost(message, repeated, tag = "3")]
    pub containers: Vec<ContainerResources>,
}

/// What one container was given.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerResources {
    /// The container's name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Devices of device plugins.
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<ContainerDevices>,
}

/// Devices of one resource; a resource can come several times, once for each NUMA node.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerDevices {
    /// The resource, e.g. `intel.com/sriov_netdevice`.
    #[prost(string, tag = "1")]
    pub resource_name: String,
    /// The devices' ids.
    #[prost(string, repeated, tag = "2")]
    pub device_ids: Vec<String>,
}

/// The devices of all pods that have any, by namespace and name.
pub(super) fn by_pod(response: ListPodResourcesResponse) -> HashMap<(String, String), PodDevices> {
    let mut pods: HashMap<(String, String), PodDevices> = HashMap::new();
    for pod in response.pod_resources {
        let mut held = PodDevices::default();
        for devices in pod.containers.iter().flat_map(|container| &container.devices) {
            devices.device_ids.iter().for_each(|id| held.insert(&devices.resource_name, id));
        }
        if !held.is_empty() {
            pods.entry((pod.namespace, pod.name)).or_default().extend(held);
        }
    }
    pods
}
