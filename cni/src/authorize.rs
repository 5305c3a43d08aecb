//! Who may use which network: the only way from a name to something that can be attached.
//!
//! Pods and NetworkAttachmentDefinitions are requests by people who are not trusted; `clusterNetwork`, `delegates` and
//! `defaultNetworks` are the administrator's words. Everything becomes an [`AuthorizedNad`] here or not at all, so no
//! second path can get around the isolation of namespaces.

use crate::config::NetworkConfigList;
use crate::devices::PodDevices;
use crate::error::{CniError, Code};
use crate::json::Object;
use crate::meta::MetaConfig;
use crate::nad::NetworkAttachmentDefinition;

/// Where networks and devices are found; the agent answers from its cache.
pub trait Lookup {
    /// The NetworkAttachmentDefinition of that namespace and name; it may be asked for far away.
    fn nad(&self, namespace: &str, name: &str) -> Result<Option<NetworkAttachmentDefinition>, CniError>;

    /// Whether the NetworkAttachmentDefinition is at hand, without asking for it far away.
    fn has_nad(&self, namespace: &str, name: &str) -> bool;

    /// The text of the CNI file whose network has the name `reference`, or which lies at the path `reference`.
    ///
    /// Plugins that lie as files in the network's own subdirectory are in it already.
    fn file(&self, reference: &str) -> Result<Option<String>, CniError>;

    /// The plugins of the chain `name`, which lie as files beside the network at the path `cluster_network`.
    fn auxiliary(&self, cluster_network: &str, name: &str) -> Result<Vec<Object>, CniError> {
        let _ = (cluster_network, name);
        Ok(Vec::new())
    }

    /// The devices that the pod was given; `None` on a node where nobody hands out devices.
    ///
    /// Asked at most once in a plan, and only if a network of the pod needs a device: the answer may take a while.
    fn devices(&self) -> Result<Option<PodDevices>, CniError> {
        Ok(None)
    }
}

/// A network that may be attached to the pod it was resolved for.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizedNad {
    network: NetworkConfigList,
    nad: Option<(String, String)>,
    resource: Option<String>,
}

impl AuthorizedNad {
    /// The network's config.
    pub fn network(&self) -> &NetworkConfigList {
        &self.network
    }

    /// Namespace and name of the NetworkAttachmentDefinition; `None` for an inline config or a file.
    pub fn nad(&self) -> Option<(&str, &str)> {
        self.nad.as_ref().map(|(namespace, name)| (namespace.as_str(), name.as_str()))
    }

    /// The resource of which it needs a device, if it names one.
    pub fn resource(&self) -> Option<&str> {
        self.resource.as_deref()
    }

    pub(crate) fn into_parts(self) -> (NetworkConfigList, Option<(String, String)>) {
        (self.network, self.nad)
    }
}

/// Who asks for a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// The meta-plugin's config.
    Administrator,
    /// The annotation that replaces the default network: networks of the administrator's namespace are also allowed.
    PodForDefault,
    /// The annotation that selects further networks.
    Pod,
}

/// Turns names into networks, for one pod.
pub struct Resolver<'a> {
    meta: &'a MetaConfig,
    lookup: &'a dyn Lookup,
    pod_namespace: Option<&'a str>,
}

impl<'a> Resolver<'a> {
    /// A resolver for a pod of `pod_namespace`; `None` where the call is about no pod.
    pub fn new(meta: &'a MetaConfig, lookup: &'a dyn Lookup, pod_namespace: Option<&'a str>) -> Self {
        Self { meta, lookup, pod_namespace }
    }

    /// A config that the administrator wrote inline.
    pub fn inline(&self, network: &NetworkConfigList) -> AuthorizedNad {
        AuthorizedNad { network: network.clone(), nad: None, resource: None }
    }

    /// A network that `clusterNetwork` or `defaultNetworks` names: without '/' a NetworkAttachmentDefinition of the
    /// administrator's namespace, else a CNI file by its network's name; with '/' a path.
    ///
    /// A definition that is not at hand is asked for after the file: who names a file must not pay for a question on
    /// every ADD.
    pub fn reference(&self, reference: &str, key: &str) -> Result<AuthorizedNad, CniError> {
        let namespace = &self.meta.multus_namespace;
        let may_be_nad = !reference.contains('/');
        if may_be_nad && self.lookup.has_nad(namespace, reference) {
            return self.nad(Asker::Administrator, namespace, reference);
        }
        let file = self.lookup.file(reference)?;
        if file.is_none() && may_be_nad && self.lookup.nad(namespace, reference)?.is_some() {
            return self.nad(Asker::Administrator, namespace, reference);
        }
        let text = file.ok_or_else(|| {
            CniError::new(Code::NetworkNotFound, format!("key {key:?}: network {reference:?} does not exist")).because(
                format!(
                    "neither a NetworkAttachmentDefinition in namespace {} nor a CNI file in {} has that name",
                    self.meta.multus_namespace, self.meta.conf_dir
                ),
            )
        })?;
        let network = NetworkConfigList::parse(&text, None, Some(self.meta.version))
            .map_err(|error| error.within(format!("CNI file for {key} {reference:?}")))?;
        Ok(AuthorizedNad { network, nad: None, resource: None })
    }

    /// The NetworkAttachmentDefinition `namespace/name`, if it exists and `asker` may use it.
    pub fn nad(&self, asker: Asker, namespace: &str, name: &str) -> Result<AuthorizedNad, CniError> {
        // Asked before it is looked up: nobody learns what exists in a foreign namespace.
        self.allow(asker, namespace, name)?;
        let missing = || {
            CniError::new(Code::NetworkNotFound, format!("network {namespace}/{name} does not exist"))
                .because(
                    "there is no NetworkAttachmentDefinition of that name; create it or correct the name",
                )
        };
        let nad = self.lookup.nad(namespace, name)?.ok_or_else(missing)?;
        let resource = nad.resource_name().map(str::to_owned);
        let text = match nad.config {
            Some(config) => config,
            None => self.lookup.file(name)?.ok_or_else(|| {
                CniError::new(Code::NetworkNotFound, format!("network {namespace}/{name} has no config"))
                    .because(format!(
                        "spec.config is empty and no CNI file in {} has that name",
                        self.meta.conf_dir
                    ))
            })?,
        };
        let network = NetworkConfigList::parse(&text, Some(name), Some(self.meta.version))
            .map_err(|error| error.within(format!("network {namespace}/{name}")))?;
        Ok(AuthorizedNad { network, nad: Some((namespace.to_owned(), name.to_owned())), resource })
    }

    fn allow(&self, asker: Asker, namespace: &str, name: &str) -> Result<(), CniError> {
        let is_own = self.pod_namespace == Some(namespace);
        let is_global = self.meta.global_namespaces.iter().any(|global| global == namespace);
        let is_administrators = asker == Asker::PodForDefault && namespace == self.meta.multus_namespace;
        if asker == Asker::Administrator
            || !self.meta.namespace_isolation
            || is_own
            || is_global
            || is_administrators
        {
            return Ok(());
        }
        Err(CniError::new(
            Code::NotAuthorized,
            format!(
                "network {namespace}/{name} may not be used from namespace {}",
                self.pod_namespace.unwrap_or("(none)")
            ),
        )
        .because(format!(
            "namespaceIsolation is on; allowed are the pod's own namespace and {}",
            self.meta.global_namespaces.join(", ")
        )))
    }
}
