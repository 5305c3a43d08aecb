//! What every Kubernetes object has, as far as it matters here.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::annotation;

use crate::name::{is_dns_label, is_dns_subdomain};

/// Annotations, by key.
pub type Annotations = BTreeMap<String, String>;

/// `metadata` of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: Option<String>,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) deletion_timestamp: Option<String>,
    #[serde(default, deserialize_with = "annotations")]
    pub(crate) annotations: Annotations,
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

/// Only the annotations that somebody here reads: the others can be 256 KiB for each of thousands of objects.
fn annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Annotations, D::Error> {
    struct Ours;
    impl<'de> Visitor<'de> for Ours {
        type Value = Annotations;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a map of annotations")
        }

        fn visit_unit<E>(self) -> Result<Annotations, E> {
            Ok(Annotations::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Annotations, A::Error> {
            let mut kept = Annotations::new();
            while let Some((key, value)) = map.next_entry::<String, String>()? {
                if annotation::is_read(&key) {
                    kept.insert(key, value);
                }
            }
            Ok(kept)
        }
    }
    deserializer.deserialize_any(Ours)
}
