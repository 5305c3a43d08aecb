//! Objects as people write them, and where the API has them.

use serde_json::{Value, json};

use super::super::LabError;
use super::NODE;

/// The collection that a manifest belongs to, e.g. `/api/v1/namespaces/default/pods`.
pub(super) fn collection(object: &Value) -> Result<String, LabError> {
    let kind = object["kind"].as_str().unwrap_or_default();
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let plural = match kind {
        "ClusterRole" => "clusterroles",
        "ClusterRoleBinding" => "clusterrolebindings",
        "ConfigMap" => "configmaps",
        "CustomResourceDefinition" => "customresourcedefinitions",
        "Job" => "jobs",
        "Namespace" => "namespaces",
        "Node" => "nodes",
        "NetworkAttachmentDefinition" => "network-attachment-definitions",
        "IPPool" => "ippools",
        "Pod" => "pods",
        "Role" => "roles",
        "RoleBinding" => "rolebindings",
        "Service" => "services",
        "ServiceAccount" => "serviceaccounts",
        _ => {
            return Err(LabError::Unexpected {
                what: "a manifest".into(),
                expected: "a kind that the lab applies".into(),
                seen: format!("{version} {kind}"),
            });
        }
    };
    let root = if version.contains('/') { "/apis" } else { "/api" };
    let namespaced = matches!(
        kind,
        "ConfigMap"
            | "IPPool"
            | "Job"
            | "NetworkAttachmentDefinition"
            | "Pod"
            | "Role"
            | "RoleBinding"
            | "Service"
            | "ServiceAccount"
    );
    let namespace = match object["metadata"]["namespace"].as_str() {
        Some(namespace) if namespaced => format!("/namespaces/{namespace}"),
        None if namespaced => "/namespaces/default".into(),
        _ => String::new(),
    };
    Ok(format!("{root}/{version}{namespace}/{plural}"))
}

/// Changes a CustomResourceDefinition so that the lab's API server takes empty texts, as any other does: compiled with a newer
/// Go than its own, it takes every zero value for null.
pub(super) fn let_texts_be_empty(object: &mut Value) {
    if object["kind"] != "CustomResourceDefinition" {
        return;
    }
    for version in object["spec"]["versions"].as_array_mut().into_iter().flatten() {
        for part in ["spec", "status"] {
            if let Some(schema) = version.pointer_mut(&format!("/schema/openAPIV3Schema/properties/{part}")) {
                let_be_null(schema);
            }
        }
    }
}

/// Every text of a schema may be null.
fn let_be_null(schema: &mut Value) {
    if schema["type"] == "string" {
        schema["nullable"] = json!(true);
    }
    let Some(schema) = schema.as_object_mut() else { return };
    for (key, value) in schema {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(let_be_null),
            ("items" | "additionalProperties", value) if value.is_object() => let_be_null(value),
            _ => {}
        }
    }
}

/// A NetworkAttachmentDefinition with this CNI config.
pub fn network(namespace: &str, name: &str, config: &Value) -> Value {
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"config": config.to_string()},
    })
}

/// A pod that is bound to the lab's node, with these annotations.
pub fn pod(namespace: &str, name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "annotations": annotations},
        "spec": {"nodeName": NODE, "containers": [{"name": "main", "image": "none"}]},
    })
}
