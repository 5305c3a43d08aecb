//! The administrator's part: makes, reads, changes and deletes objects, and waits for each answer.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Request;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::super::LabError;
use super::certificates::Certificates;
use super::objects::{collection, let_texts_be_empty};
use super::process::{ADMIN_TOKEN, ENDPOINT};

/// How long something that must happen may take, in milliseconds.
const WAIT_MS: u64 = 60_000;
/// Requests under way at a time, where there are many.
const CREATED_AT_ONCE: usize = 16;
/// Between two looks.
const POLL: Duration = Duration::from_millis(50);

/// A client of the API server with every right.
pub struct Admin {
    runtime: Runtime,
    client: Client,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

impl Admin {
    /// Does not ask the server anything yet.
    pub(super) fn new(certificates: &Certificates) -> Result<Self, LabError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(LabError::io("start a runtime"))?;
        let kubeconfig: Kubeconfig = serde_json::from_value(json!({
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": format!("https://{ENDPOINT}"), "certificate-authority": certificates.authority}}],
            "users": [{"name": "lab", "user": {"token": ADMIN_TOKEN}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        }))
        .map_err(|error| refused("the administrator's kubeconfig", &error))?;
        let client = runtime.block_on(async {
            let options = KubeConfigOptions::default();
            let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| refused("the administrator's kubeconfig", &error))?;
            Client::try_from(config).map_err(|error| refused("the administrator's client", &error))
        })?;
        Ok(Self { runtime, client })
    }

    /// Makes an object from its manifest; the answer is the object as the server has it.
    pub fn create(&self, object: &Value) -> Result<Value, LabError> {
        let path = collection(object)?;
        let request = Request::new(&path).create(&PostParams::default(), object.to_string().into_bytes());
        self.ask(&format!("create in {path}"), request)
    }

    /// Makes many objects, some at a time; the first that is refused ends it.
    pub fn create_all(&self, objects: &[Value]) -> Result<(), LabError> {
        let make = |object: &Value| {
            let (object, client) = (object.clone(), self.client.clone());
            async move {
                let path = collection(&object)?;
                let request =
                    Request::new(&path).create(&PostParams::default(), object.to_string().into_bytes());
                let request = request.map_err(|error| refused(&path, &error))?;
                client.request::<Value>(request).await.map_err(|error| refused(&path, &error))
            }
        };
        let all = stream::iter(objects).map(make).buffer_unordered(CREATED_AT_ONCE);
        self.runtime.block_on(all.try_for_each(|_| async { Ok(()) }))
    }

    /// Reads the object `name` of a collection.
    pub fn get(&self, collection: &str, name: &str) -> Result<Value, LabError> {
        let request = if name.is_empty() {
            Request::new(collection).list(&kube::api::ListParams::default())
        } else {
            Request::new(collection).get(name, &GetParams::default())
        };
        self.ask(&format!("read {collection}/{name}"), request)
    }

    /// Merges `change` into the object; `subresource` may be empty.
    pub fn patch(
        &self,
        collection: &str,
        name: &str,
        subresource: &str,
        change: &Value,
    ) -> Result<Value, LabError> {
        let request = Request::new(collection);
        let (patch, parameters) = (Patch::Merge(change), PatchParams::default());
        let request = match subresource {
            "" => request.patch(name, &parameters, &patch),
            _ => request.patch_subresource(subresource, name, &parameters, &patch),
        };
        self.ask(&format!("patch {collection}/{name}"), request)
    }

    /// Deletes the object at once, as after its grace period.
    pub fn delete(&self, collection: &str, name: &str) -> Result<(), LabError> {
        let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        let request = Request::new(collection).delete(name, &now);
        self.ask(&format!("delete {collection}/{name}"), request).map(drop)
    }

    /// A token of a service account.
    pub fn token(&self, namespace: &str, account: &str) -> Result<String, LabError> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        let request = Request::new(&path).create_subresource(
            "token",
            account,
            &PostParams::default(),
            body.to_string().into_bytes(),
        );
        let answer = self.ask(&format!("token of {namespace}/{account}"), request)?;
        answer["status"]["token"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| refused("a token", &format!("the answer {answer}")))
    }

    /// Makes every object of a file below `deploy`; gives each manifest with the object as the server has it.
    pub fn apply_file(&self, name: &str) -> Result<Vec<(Value, Value)>, LabError> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name);
        let text =
            std::fs::read_to_string(&path).map_err(LabError::io(format!("read {}", path.display())))?;
        let options = serde_saphyr::options! { strict_booleans: true };
        let mut documents: Vec<Value> = serde_saphyr::from_multiple_with_options(&text, options)
            .map_err(|error| refused(&path.display().to_string(), &error))?;
        documents.iter_mut().for_each(let_texts_be_empty);
        let made = documents.into_iter().filter(|object| !object.is_null()).map(|object| {
            let made = self.create(&object)?;
            Ok((object, made))
        });
        made.collect()
    }

    /// The annotation `key` of a pod, empty if it has none.
    pub fn annotation(&self, namespace: &str, pod: &str, key: &str) -> Result<String, LabError> {
        let pod = self.get(&format!("/api/v1/namespaces/{namespace}/pods"), pod)?;
        Ok(pod["metadata"]["annotations"][key].as_str().unwrap_or_default().to_owned())
    }

    /// The events of a pod as `type reason message`, in the order of their making.
    pub fn events(&self, namespace: &str, pod: &str) -> Result<Vec<String>, LabError> {
        let events = self.get(&format!("/api/v1/namespaces/{namespace}/events"), "")?;
        let mut events: Vec<Value> = events["items"].as_array().cloned().unwrap_or_default();
        events.retain(|event| event["involvedObject"]["name"] == pod);
        events.sort_by_key(|event| {
            let version = event["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            version.parse::<u64>().unwrap_or_default()
        });
        let text = |event: &Value| {
            ["type", "reason", "message"].map(|key| event[key].as_str().unwrap_or_default()).join(" ")
        };
        Ok(events.iter().map(text).collect())
    }

    /// Tries until it works, at most a minute.
    pub fn wait_for<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> Result<T, LabError>,
    ) -> Result<T, LabError> {
        let deadline = Instant::now() + Duration::from_millis(WAIT_MS);
        loop {
            match attempt() {
                Err(error) if Instant::now() >= deadline => {
                    return Err(LabError::TimedOut {
                        what: format!("{what} did not come"),
                        limit_ms: WAIT_MS.into(),
                        detail: error.to_string(),
                    });
                }
                Err(_) => std::thread::sleep(POLL),
                Ok(done) => return Ok(done),
            }
        }
    }

    fn ask<E: std::fmt::Display>(
        &self,
        what: &str,
        request: Result<http::Request<Vec<u8>>, E>,
    ) -> Result<Value, LabError> {
        let request = request.map_err(|error| refused(what, &error))?;
        let answer = self.runtime.block_on(self.client.request::<Value>(request));
        answer.map_err(|error| refused(what, &error))
    }
}

fn refused(what: &str, error: &dyn std::fmt::Display) -> LabError {
    LabError::Unexpected { what: what.into(), expected: "success".into(), seen: error.to_string() }
}
