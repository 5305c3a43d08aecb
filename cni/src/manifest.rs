//! What every Kubernetes object has, as far as it matters here.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::name::{is_dns_label, is_dns_subdomain};

/// Annotations, by key.
pub type Annotations = BTreeMap<String, String>;

/// `metadata` of an object.
#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) annotations: Option<Annotations>,
}

impl Metadata {
    /// Namespace and name, checked; objects of a manifest without namespace are in `default`, as for kubectl.
    pub(crate) fn key(&self, kind: &str) -> Result<(String, String), String> {
        let namespace = self.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
        if !is_dns_label(namespace) {
            return Err(format!(
                "{kind} {:?}: metadata.namespace {namespace:?} is not a namespace's name",
                self.name
            ));
        }
        if !is_dns_subdomain(&self.name) {
            return Err(format!(
                "{kind}: metadata.name {:?} is not the name of a Kubernetes object",
                self.name
            ));
        }
        Ok((namespace.to_owned(), self.name.clone()))
    }
}
