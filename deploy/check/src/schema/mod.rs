//! Kubernetes' schema: whether the API server would take an object, and keep all of it.

mod custom;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use self::custom::{NetworkAttachmentDefinition, SecurityContextConstraints, ServiceMonitor};
use crate::manifest::{kind, title};

/// Why an object would be refused, or lose something.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// No schema is known for the kind.
    #[error("{0}: no schema is known for this apiVersion and kind: add it to deploy/check/src/schema")]
    Unknown(String),
    /// A field has a wrong type, or a custom resource an unknown field.
    #[error("{object}: {why}")]
    Refused {
        /// The object.
        object: String,
        /// What serde says.
        why: String,
    },
    /// A field is unknown (it would be dropped) or a required one is absent.
    #[error("{object}: {path} is no field of it, has another form, or is required and absent")]
    Differs {
        /// The object.
        object: String,
        /// Path of the first difference.
        path: String,
    },
}

/// Checks one object by reading it as its type and writing it again: what the type does not know is lost, what it
/// requires comes out empty, so that any difference is an error.
pub fn check(object: &Value) -> Result<(), SchemaError> {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let round_trip = match (api_version, kind(object)) {
        ("v1", "ConfigMap") => again::<ConfigMap>,
        ("v1", "Namespace") => again::<Namespace>,
        ("v1", "Pod") => again::<Pod>,
        ("v1", "Service") => again::<Service>,
        ("v1", "ServiceAccount") => again::<ServiceAccount>,
        ("apps/v1", "DaemonSet") => again::<DaemonSet>,
        ("apps/v1", "Deployment") => again::<Deployment>,
        ("apps/v1", "StatefulSet") => again::<StatefulSet>,
        ("batch/v1", "Job") => again::<Job>,
        ("policy/v1", "PodDisruptionBudget") => again::<PodDisruptionBudget>,
        ("networking.k8s.io/v1", "NetworkPolicy") => again::<NetworkPolicy>,
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => again::<ClusterRole>,
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => again::<ClusterRoleBinding>,
        ("rbac.authorization.k8s.io/v1", "Role") => again::<Role>,
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => again::<RoleBinding>,
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => again::<CustomResourceDefinition>,
        ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition") => again::<NetworkAttachmentDefinition>,
        ("monitoring.coreos.com/v1", "ServiceMonitor") => again::<ServiceMonitor>,
        ("security.openshift.io/v1", "SecurityContextConstraints") => again::<SecurityContextConstraints>,
        _ => return Err(SchemaError::Unknown(format!("{api_version} {}", title(object)))),
    };
    let written = round_trip(object)
        .map_err(|error| SchemaError::Refused { object: title(object), why: error.to_string() })?;
    match difference(object, &written, "") {
        None => Ok(()),
        Some(path) => Err(SchemaError::Differs { object: title(object), path }),
    }
}

fn again<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(object.clone())?)
}

/// Path of the first place where the two differ.
fn difference(left: &Value, right: &Value, path: &str) -> Option<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left.keys().chain(right.keys().filter(|key| !left.contains_key(*key)));
            keys.into_iter().find_map(|key| {
                let path = format!("{path}.{key}");
                match (left.get(key), right.get(key)) {
                    (Some(left), Some(right)) => difference(left, right, &path),
                    _ => Some(path),
                }
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut pairs = left.iter().zip(right).enumerate();
            pairs.find_map(|(index, (left, right))| difference(left, right, &format!("{path}[{index}]")))
        }
        _ => (left != right).then(|| path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: &Value) -> Result<(), SchemaError> {
        check(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}))
    }

    #[test]
    fn a_good_pod_passes() {
        assert_eq!(pod(&json!({"containers": [{"name": "c", "image": "i"}]})), Ok(()));
    }

    #[test]
    fn an_unknown_field_is_named_with_its_path() {
        let error = pod(&json!({"containers": [{"name": "c", "volumeMount": []}]})).unwrap_err();
        assert!(error.to_string().contains(".spec.containers[0].volumeMount"), "{error}");
    }

    #[test]
    fn a_required_field_that_is_absent_is_named() {
        let error = pod(&json!({"hostNetwork": true})).unwrap_err();
        assert!(error.to_string().contains(".spec.containers"), "{error}");
    }

    #[test]
    fn a_wrong_type_is_refused() {
        let error = pod(&json!({"hostNetwork": "true", "containers": []})).unwrap_err();
        assert!(matches!(error, SchemaError::Refused { .. }), "{error}");
    }

    #[test]
    fn a_kind_without_schema_is_no_success() {
        let error = check(&json!({"apiVersion": "v2", "kind": "Pod"})).unwrap_err();
        assert!(matches!(error, SchemaError::Unknown(_)), "{error}");
    }
}
