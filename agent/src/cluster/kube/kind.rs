//! The kinds that are watched, as the API server names them.

use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::pod::Pod;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cluster::{Catalog, Feed, Object, Store};

/// A kind of the API. The objects are the cache's own types: what they do not name is skipped while it is read.
pub(super) trait Kind: Object + Clone + DeserializeOwned {
    /// The resource's plural.
    const RESOURCE: &str;
    /// Objects asked for at once; a page is held in memory as text.
    const PAGE: u32;

    /// Whether the first list may come from the API server's own cache. A selector on a field makes it read all objects
    /// of the cluster otherwise, for each node that starts. Such a list may be a little old, which the watch mends, and
    /// comes as one page.
    const FIRST_FROM_CACHE: bool;

    /// The path of all objects, or of those of one namespace.
    fn path(namespace: Option<&str>) -> String;

    /// `metadata.resourceVersion`
    fn resource_version(&self) -> &str;

    /// Where it is kept, and who keeps track.
    fn place(catalog: &Catalog) -> (&Store<Self>, &Feed);
}

impl Kind for Pod {
    const RESOURCE: &str = "pods";
    // Pods are large: 10 to 30 KB each.
    const PAGE: u32 = 100;
    const FIRST_FROM_CACHE: bool = true;

    fn path(namespace: Option<&str>) -> String {
        below("/api/v1", namespace, Self::RESOURCE)
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }

    fn place(catalog: &Catalog) -> (&Store<Self>, &Feed) {
        (&catalog.pods, &catalog.pods_feed)
    }
}

impl Kind for NetworkAttachmentDefinition {
    const RESOURCE: &str = "network-attachment-definitions";
    const PAGE: u32 = 500;
    const FIRST_FROM_CACHE: bool = false;

    fn path(namespace: Option<&str>) -> String {
        below("/apis/k8s.cni.cncf.io/v1", namespace, Self::RESOURCE)
    }

    fn resource_version(&self) -> &str {
        &self.resource_version
    }

    fn place(catalog: &Catalog) -> (&Store<Self>, &Feed) {
        (&catalog.nads, &catalog.nads_feed)
    }
}

fn below(group: &str, namespace: Option<&str>, resource: &str) -> String {
    match namespace {
        Some(namespace) => format!("{group}/namespaces/{namespace}/{resource}"),
        None => format!("{group}/{resource}"),
    }
}

/// One page of a list.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    pub(super) metadata: PageMetadata,
    /// `null` where there are none, in answers of old servers.
    pub(super) items: Option<Vec<T>>,
}

/// Where a list stands, and how it goes on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageMetadata {
    pub(super) resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub(super) more: Option<String>,
}
