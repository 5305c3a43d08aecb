//! Pods, as far as their networks are concerned.

use serde::Deserialize;

use crate::manifest::{Annotations, Metadata};

/// A pod.
///
/// Deserializes from the object as `kubectl get -o yaml` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Manifest")]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; empty where the manifest has none, as in standalone mode.
    pub uid: String,
    /// Its annotations.
    pub annotations: Annotations,
}

impl Pod {
    /// `kind` of the object.
    pub const KIND: &str = "Pod";

    /// The text of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }
}

#[derive(Deserialize)]
struct Manifest {
    metadata: Metadata,
}

impl TryFrom<Manifest> for Pod {
    type Error = String;

    fn try_from(manifest: Manifest) -> Result<Self, String> {
        let (namespace, name) = manifest.metadata.key(Self::KIND)?;
        Ok(Self {
            namespace,
            name,
            uid: manifest.metadata.uid.unwrap_or_default(),
            annotations: manifest.metadata.annotations.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_read_from_its_manifest() {
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": {"k": "v"}},
            "spec": {"containers": []},
        }))
        .unwrap();
        assert_eq!((&*pod.namespace, &*pod.name, &*pod.uid, pod.annotation("k")), ("n", "p", "u", Some("v")));
    }
}
