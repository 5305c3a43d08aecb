//! Pods, as far as their networks are concerned.

use serde::Deserialize;

use crate::annotation;
use crate::manifest::{Annotations, Metadata};

/// A pod.
///
/// Deserializes from the object as `kubectl get -o yaml` shows it; what is not used here is skipped, not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Manifest")]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID; empty where the manifest has none, as in standalone mode.
    pub uid: String,
    /// Its version in the API server; empty where there is none, as in standalone mode.
    pub resource_version: String,
    /// Its annotations, as far as [`annotation::is_read`].
    pub annotations: Annotations,
    /// The node it is bound to; empty where the manifest names none.
    pub node_name: String,
    /// Whether it uses the node's own network.
    pub host_network: bool,
    /// Whether its phase is `Succeeded` or `Failed`: none of its containers will run again.
    pub has_ended: bool,
    /// Whether its deletion was asked for.
    pub is_deleting: bool,
    /// Names of the ResourceClaims made for it (`status.resourceClaimStatuses`).
    pub resource_claims: Vec<String>,
    /// The ResourceClaim made for its extended resources (`status.extendedResourceClaimStatus`).
    pub extended_resource_claim: Option<ExtendedResourceClaim>,
}

/// A ResourceClaim that stands for extended resources of a pod's containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedResourceClaim {
    /// Its name.
    pub name: String,
    /// Which of its requests stands for which resource.
    pub requests: Vec<ExtendedResourceRequest>,
}

/// One request of such a claim.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExtendedResourceRequest {
    /// The request's name in the claim.
    #[serde(rename = "requestName")]
    pub request: String,
    /// The extended resource.
    #[serde(rename = "resourceName")]
    pub resource: String,
}

impl Pod {
    /// `kind` of the object.
    pub const KIND: &str = "Pod";

    /// The text of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(String::as_str)
    }

    /// Whether its definition is the node's own: the API server has only its mirror, with another UID.
    pub fn is_static(&self) -> bool {
        self.annotation(annotation::CONFIG_SOURCE).is_some_and(|source| source != annotation::SOURCE_API)
            || self.annotation(annotation::CONFIG_MIRROR).is_some()
    }
}

#[derive(Deserialize)]
struct Manifest {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    host_network: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    phase: Option<String>,
    resource_claim_statuses: Option<Vec<ClaimStatus>>,
    #[serde(rename = "extendedResourceClaimStatus")]
    extended_resource_claim: Option<ExtendedClaimStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExtendedClaimStatus {
    resource_claim_name: Option<String>,
    request_mappings: Option<Vec<ExtendedResourceRequest>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ClaimStatus {
    resource_claim_name: Option<String>,
}

impl TryFrom<Manifest> for Pod {
    type Error = String;

    fn try_from(manifest: Manifest) -> Result<Self, String> {
        let (namespace, name) = manifest.metadata.key(Self::KIND)?;
        let (spec, status) = (manifest.spec.unwrap_or_default(), manifest.status.unwrap_or_default());
        let claims = status.resource_claim_statuses.unwrap_or_default();
        Ok(Self {
            namespace,
            name,
            uid: manifest.metadata.uid.unwrap_or_default(),
            resource_version: manifest.metadata.resource_version.unwrap_or_default(),
            annotations: manifest.metadata.annotations,
            node_name: spec.node_name.unwrap_or_default(),
            host_network: spec.host_network.unwrap_or_default(),
            has_ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
            is_deleting: manifest.metadata.deletion_timestamp.is_some(),
            resource_claims: claims.into_iter().filter_map(|claim| claim.resource_claim_name).collect(),
            extended_resource_claim: status.extended_resource_claim.and_then(|claim| {
                let requests = claim.request_mappings.unwrap_or_default();
                Some(ExtendedResourceClaim { name: claim.resource_claim_name?, requests })
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_pod_only_what_is_used_is_kept() {
        let pod: Pod = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "namespace": "n", "uid": "u", "resourceVersion": "7", "managedFields": [{"manager": "m"}],
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"k8s.v1.cni.cncf.io/networks": "a", "kubernetes.io/egress-bandwidth": "1M", "k": "v"},
            },
            "spec": {"containers": [], "nodeName": "node-1", "hostNetwork": true},
            "status": {
                "phase": "Failed",
                "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "p-gpu-x"}, {"name": "none"}],
                "extendedResourceClaimStatus": {"resourceClaimName": "p-extended", "requestMappings": [
                    {"containerName": "c", "requestName": "r0", "resourceName": "v.com/vf"},
                ]},
            },
        }))
        .unwrap();
        let expected = Pod {
            namespace: "n".into(),
            name: "p".into(),
            uid: "u".into(),
            resource_version: "7".into(),
            annotations: [("k8s.v1.cni.cncf.io/networks", "a"), ("kubernetes.io/egress-bandwidth", "1M")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            node_name: "node-1".into(),
            host_network: true,
            has_ended: true,
            is_deleting: true,
            resource_claims: vec!["p-gpu-x".into()],
            extended_resource_claim: Some(ExtendedResourceClaim {
                name: "p-extended".into(),
                requests: vec![ExtendedResourceRequest { request: "r0".into(), resource: "v.com/vf".into() }],
            }),
        };
        assert_eq!(pod, expected);
    }

    #[test]
    fn a_pod_of_metadata_alone_is_read_too() {
        for manifest in [
            json!({"metadata": {"name": "p"}}),
            json!({"metadata": {"name": "p", "annotations": null}, "spec": null, "status": {"phase": "Running"}}),
        ] {
            let pod: Pod = serde_json::from_value(manifest).unwrap();
            assert!(!pod.has_ended && !pod.is_deleting && !pod.is_static() && pod.annotations.is_empty());
        }
    }
}
