//! Leases, by which one agent of the cluster is elected.

use std::time::{Instant, SystemTime};

use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::core::Request;

use super::apiserver::ApiServer;
use super::error::ApiError;
use super::session::Target;
use super::write;
use crate::cluster::Lease;

const RESOURCE: &str = "leases";

pub(super) fn read(api: &ApiServer, name: &str, deadline: Instant) -> Result<Option<Lease>, ApiError> {
    Ok(api.find::<LeaseObject>(collection(api), RESOURCE, name, deadline)?.map(lease))
}

pub(super) fn create(api: &ApiServer, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError> {
    let target = Target { verb: "create", resource: RESOURCE };
    let request = Request::new(collection(api)).create(&manager(), body(target, lease)?);
    api.ask(target, request, deadline).map(self::lease)
}

pub(super) fn replace(api: &ApiServer, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError> {
    let target = Target { verb: "update", resource: RESOURCE };
    let request = Request::new(collection(api)).replace(&lease.name, &manager(), body(target, lease)?);
    api.ask(target, request, deadline).map(self::lease)
}

fn collection(api: &ApiServer) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/{RESOURCE}", api.whereabouts_namespace)
}

fn manager() -> PostParams {
    PostParams { field_manager: Some(write::MANAGER.into()), ..PostParams::default() }
}

fn body(target: Target, lease: &Lease) -> Result<Vec<u8>, ApiError> {
    let object = LeaseObject {
        metadata: ObjectMeta {
            name: Some(lease.name.clone()),
            resource_version: Some(lease.resource_version.clone()).filter(|version| !version.is_empty()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(lease.holder.clone()).filter(|holder| !holder.is_empty()),
            lease_duration_seconds: i32::try_from(lease.duration_s).ok(),
            acquire_time: lease.acquired.and_then(time),
            renew_time: lease.renewed.and_then(time),
            lease_transitions: i32::try_from(lease.transitions).ok(),
            ..LeaseSpec::default()
        }),
    };
    serde_json::to_vec(&object).map_err(|error| ApiError::unreadable(target.verb, target.resource, &error))
}

fn lease(object: LeaseObject) -> Lease {
    let spec = object.spec.unwrap_or_default();
    Lease {
        name: object.metadata.name.unwrap_or_default(),
        resource_version: object.metadata.resource_version.unwrap_or_default(),
        holder: spec.holder_identity.unwrap_or_default(),
        duration_s: spec
            .lease_duration_seconds
            .and_then(|seconds| seconds.try_into().ok())
            .unwrap_or_default(),
        acquired: spec.acquire_time.map(|time| time.0.into()),
        renewed: spec.renew_time.map(|time| time.0.into()),
        transitions: spec.lease_transitions.and_then(|count| count.try_into().ok()).unwrap_or_default(),
    }
}

fn time(at: SystemTime) -> Option<MicroTime> {
    Timestamp::try_from(at).ok().map(MicroTime)
}
