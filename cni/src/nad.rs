//! NetworkAttachmentDefinitions: a network that pods can select.

use serde::Deserialize;
use serde_json::Value;

use crate::annotation::RESOURCE_NAME;
use crate::manifest::{Annotations, Metadata};

/// A NetworkAttachmentDefinition; what it asks for is a request until [`crate::authorize`] has allowed it.
///
/// Deserializes from the object as `kubectl get -o yaml` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Manifest")]
pub struct NetworkAttachmentDefinition {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version in the API server; empty where there is none, as in standalone mode.
    pub resource_version: String,
    /// Its annotations, as far as [`crate::annotation::is_read`].
    pub annotations: Annotations,
    /// `spec.config`; where absent, the CNI file of the definition's name is meant.
    pub config: Option<String>,
}

impl NetworkAttachmentDefinition {
    /// `apiVersion` of the object.
    pub const API_VERSION: &str = "k8s.cni.cncf.io/v1";
    /// `kind` of the object.
    pub const KIND: &str = "NetworkAttachmentDefinition";

    /// The device resource that the network needs, if it names one.
    pub fn resource_name(&self) -> Option<&str> {
        self.annotations.get(RESOURCE_NAME).map(String::as_str).filter(|name| !name.is_empty())
    }
}

#[derive(Deserialize)]
struct Manifest {
    metadata: Metadata,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
struct Spec {
    /// Any value: one that is no text must not make the list unreadable in which it stands.
    config: Option<Value>,
}

impl TryFrom<Manifest> for NetworkAttachmentDefinition {
    type Error = String;

    fn try_from(manifest: Manifest) -> Result<Self, String> {
        let (namespace, name) = manifest.metadata.key(Self::KIND)?;
        let config = manifest.spec.and_then(|spec| spec.config).map(|config| match config {
            Value::String(text) => text,
            other => other.to_string(),
        });
        Ok(Self {
            namespace,
            name,
            resource_version: manifest.metadata.resource_version.unwrap_or_default(),
            annotations: manifest.metadata.annotations,
            config: config.filter(|config| !config.trim().is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_manifest_without_namespace_is_in_default() {
        let manifest = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"name": "mv1", "labels": {"a": "b"}}, "spec": {"config": "{}"},
        });
        let nad: NetworkAttachmentDefinition = serde_json::from_value(manifest).unwrap();
        assert_eq!((&*nad.namespace, &*nad.name, nad.config.as_deref()), ("default", "mv1", Some("{}")));
    }

    #[test]
    fn an_empty_spec_means_a_file() {
        for manifest in
            [json!({"metadata": {"name": "a"}}), json!({"metadata": {"name": "a"}, "spec": {"config": " "}})]
        {
            assert_eq!(serde_json::from_value::<NetworkAttachmentDefinition>(manifest).unwrap().config, None);
        }
    }

    #[test]
    fn a_config_that_is_no_text_is_kept_as_it_was_written() {
        let manifest = json!({"metadata": {"name": "a"}, "spec": {"config": 5}});
        let nad: NetworkAttachmentDefinition = serde_json::from_value(manifest).unwrap();
        assert_eq!(nad.config.as_deref(), Some("5"));
    }

    #[test]
    fn a_name_that_is_a_path_is_refused() {
        for (namespace, name) in [("default", "../x"), ("../x", "a"), ("default", "")] {
            let manifest = json!({"metadata": {"name": name, "namespace": namespace}});
            let error = serde_json::from_value::<NetworkAttachmentDefinition>(manifest).unwrap_err();
            assert!(error.to_string().contains("metadata.name"), "{error}");
        }
    }
}
