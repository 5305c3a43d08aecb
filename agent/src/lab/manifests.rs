//! Manifests for `plexusd --manifests`, written as a person would, replaced atomically.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{LabError, Pod};

/// Writes or replaces the NetworkAttachmentDefinition `namespace/name` with this CNI config.
pub fn write_network(dir: &Path, namespace: &str, name: &str, config: &Value) -> Result<(), LabError> {
    write(
        dir,
        &format!("nad-{namespace}-{name}"),
        &json!({
            "apiVersion": "k8s.cni.cncf.io/v1",
            "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"config": config.to_string()},
        }),
    )
}

/// Writes or replaces the Pod's manifest with this `k8s.v1.cni.cncf.io/networks` annotation (none if empty).
pub fn write_pod(dir: &Path, pod: &Pod, networks: &str) -> Result<(), LabError> {
    let mut metadata = json!({"namespace": pod.namespace, "name": pod.name, "uid": pod.uid});
    if !networks.is_empty() {
        metadata["annotations"] = json!({"k8s.v1.cni.cncf.io/networks": networks});
    }
    write(
        dir,
        &format!("pod-{}-{}", pod.namespace, pod.name),
        &json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"containers": [{"name": "main", "image": "none"}]},
        }),
    )
}

/// Removes the manifest of a pod.
pub fn remove_pod(dir: &Path, pod: &Pod) -> Result<(), LabError> {
    let path = dir.join(format!("pod-{}-{}.yaml", pod.namespace, pod.name));
    fs::remove_file(&path).map_err(LabError::io(format!("remove {}", path.display())))
}

/// JSON is YAML, so the documents need no second serializer.
fn write(dir: &Path, stem: &str, document: &Value) -> Result<(), LabError> {
    let (draft, path) = (dir.join(format!(".{stem}.draft")), dir.join(format!("{stem}.yaml")));
    fs::write(&draft, format!("{document:#}\n"))
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(LabError::io(format!("write {}", path.display())))
}
