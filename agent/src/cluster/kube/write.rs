//! Writing to the API server: the pod's annotation, and events.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::Request as HttpRequest;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{GetParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use plexus_cni::pod::Pod;
use serde_json::json;

use super::ApiServer;
use super::apiserver::left;
use super::error::{ApiError, ApiErrorKind};
use super::kind::Kind;
use super::session::Target;
use crate::cluster::{PodEvent, PodKey, Writer};

/// Who writes, in managedFields and in events.
pub(super) const MANAGER: &str = "plexus";

/// A request, or why none could be made.
type Made = Result<HttpRequest<Vec<u8>>, kube::core::request::Error>;

impl ApiServer {
    /// Sends a request whose answer is not needed.
    fn write(&self, target: Target, request: Made, deadline: Instant) -> Result<(), ApiError> {
        let (session, wait) = (Arc::clone(&self.session), left(deadline));
        let call = async move { session.text(target, request, wait).await.map(drop) };
        self.wait_for(target, deadline, call)
    }
}

impl Writer for ApiServer {
    fn annotate(&self, pod: &PodKey, key: &str, text: &str, deadline: Instant) -> Result<(), ApiError> {
        let mut metadata = json!({"annotations": {key: text}});
        if !pod.uid.is_empty() {
            // Another pod of that name refuses to have its UID changed.
            metadata["uid"] = json!(pod.uid);
        }
        let patch = Patch::Merge(json!({"metadata": metadata}));
        let request = Request::new(Pod::path(Some(&pod.namespace))).patch_subresource(
            "status",
            &pod.name,
            &manager(),
            &patch,
        );
        self.write(Target { verb: "patch", resource: "pods/status" }, request, deadline)
    }

    fn uid_now(&self, pod: &PodKey, deadline: Instant) -> Result<Option<String>, ApiError> {
        let target = Target { verb: "get", resource: "pods" };
        let request = Request::new(Pod::path(Some(&pod.namespace))).get(&pod.name, &GetParams::default());
        let (session, wait) = (Arc::clone(&self.session), left(deadline));
        let call = async move { session.send::<Pod>(target, request, wait).await };
        match self.wait_for(target, deadline, call) {
            Ok(pod) => Ok(Some(pod.uid)),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create_event(&self, event: &PodEvent, deadline: Instant) -> Result<(), ApiError> {
        let target = Target { verb: "create", resource: "events" };
        let object = object(event, &self.node_name);
        let body = serde_json::to_vec(&object)
            .map_err(|error| ApiError::unreadable(target.verb, target.resource, &error))?;
        let params = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        let request = Request::new(events(&event.pod.namespace)).create(&params, body);
        self.write(target, request, deadline)
    }

    fn repeat_event(&self, event: &PodEvent, deadline: Instant) -> Result<(), ApiError> {
        let patch = Patch::Merge(json!({"count": event.count, "lastTimestamp": time(event.last)}));
        let request = Request::new(events(&event.pod.namespace)).patch(&event.name, &manager(), &patch);
        self.write(Target { verb: "patch", resource: "events" }, request, deadline)
    }
}

fn manager() -> PatchParams {
    PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() }
}

fn events(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/events")
}

/// The event as the API server wants it.
fn object(event: &PodEvent, node_name: &str) -> Event {
    let PodKey { namespace, name, uid } = &event.pod;
    Event {
        metadata: ObjectMeta {
            namespace: Some(namespace.clone()),
            name: Some(event.name.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("v1".into()),
            kind: Some(Pod::KIND.into()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            uid: Some(uid.clone()).filter(|uid| !uid.is_empty()),
            ..ObjectReference::default()
        },
        type_: Some(if event.is_warning { "Warning" } else { "Normal" }.into()),
        reason: Some(event.reason.into()),
        message: Some(event.message.clone()),
        source: Some(EventSource { component: Some(MANAGER.into()), host: Some(node_name.to_owned()) }),
        count: i32::try_from(event.count).ok(),
        first_timestamp: Some(time(event.first)),
        last_timestamp: Some(time(event.last)),
        ..Event::default()
    }
}

/// Whole seconds: that is what these fields hold.
fn time(at: SystemTime) -> Time {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let second = i64::try_from(since.as_secs()).unwrap_or_default();
    Time(Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH))
}
