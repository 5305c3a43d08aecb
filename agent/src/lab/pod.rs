//! A pod as the container runtime sees it.

use super::NetNs;

/// A pod sandbox: names, ids and its network namespace.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Its namespace in the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, also in its manifest.
    pub uid: String,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// Its network namespace.
    pub netns: NetNs,
}

impl Pod {
    /// A pod with ids derived from its name.
    pub fn new(namespace: &str, name: &str, netns: NetNs) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            uid: format!("uid-of-{namespace}-{name}"),
            container_id: format!("sandbox-of-{namespace}-{name}"),
            netns,
        }
    }

    /// `CNI_ARGS` as containerd and CRI-O write them.
    pub fn cni_args(&self) -> String {
        format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
            self.namespace, self.name, self.container_id, self.uid
        )
    }
}
