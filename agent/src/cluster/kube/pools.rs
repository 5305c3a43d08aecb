//! The cluster's pools of addresses at the API server.

mod objects;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::Request as HttpRequest;
use http::header::CONTENT_TYPE;
use kube::api::{DeleteParams, GetParams, ListParams, PostParams, Preconditions};
use kube::core::Request;
use plexus_cni::pod::Pod;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::objects::{NodeObject, PodObject, PoolObject, ReservationObject, SlicePoolObject};
use super::apiserver::{ApiServer, left};
use super::error::{ApiError, ApiErrorKind};
use super::kind::{Kind as _, Page};
use super::session::Target;
use super::{leases, write};
use crate::cluster::{IpPool, Lease, LivePod, PoolChange, PoolStore, Reservation, Slice, SlicePool};

const API: &str = "/apis/whereabouts.cni.cncf.io/v1alpha1";
const POOLS: &str = "ippools";
const RESERVATIONS: &str = "overlappingrangeipreservations";
const SLICE_POOLS: &str = "nodeslicepools";
/// Reservations asked for at once; other objects are few and large.
const PAGE: u32 = 500;
/// Most pages of a list.
const PAGES_MAX: usize = 1000;

type Made = Result<HttpRequest<Vec<u8>>, kube::core::request::Error>;

impl ApiServer {
    /// The collection of a kind of whereabouts' objects.
    fn whereabouts(&self, resource: &str) -> String {
        format!("{API}/namespaces/{}/{resource}", self.whereabouts_namespace)
    }

    /// One request whose answer is an object.
    pub(super) fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        target: Target,
        request: Made,
        deadline: Instant,
    ) -> Result<T, ApiError> {
        let (session, wait) = (Arc::clone(&self.session), left(deadline));
        self.wait_for(target, deadline, async move { session.send(target, request, wait).await })
    }

    /// The object of this name, if there is one.
    pub(super) fn find<T: DeserializeOwned + Send + 'static>(
        &self,
        collection: String,
        resource: &'static str,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<T>, ApiError> {
        let request = Request::new(collection).get(name, &GetParams::default());
        match self.ask(Target { verb: "get", resource }, request, deadline) {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an object; one that is there already is a conflict.
    pub(super) fn make<T: DeserializeOwned + Send + 'static>(
        &self,
        collection: String,
        resource: &'static str,
        object: &Value,
        deadline: Instant,
    ) -> Result<T, ApiError> {
        let params = PostParams { field_manager: Some(write::MANAGER.into()), ..PostParams::default() };
        let request = Request::new(collection).create(&params, object.to_string().into_bytes());
        self.ask(Target { verb: "create", resource }, request, deadline)
    }

    /// All objects, page by page.
    fn list<T: DeserializeOwned + Send + 'static>(
        &self,
        resource: &'static str,
        deadline: Instant,
    ) -> Result<Vec<T>, ApiError> {
        let target = Target { verb: "list", resource };
        let (session, collection) = (Arc::clone(&self.session), self.whereabouts(resource));
        let list = async move {
            let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
            let mut all = Vec::new();
            for _ in 0..PAGES_MAX {
                let request = Request::new(&collection).list(&params);
                let page: Page<T> = session.send(target, request, left(deadline)).await?;
                all.extend(page.items.unwrap_or_default());
                params.continue_token = page.metadata.more.filter(|token| !token.is_empty());
                if params.continue_token.is_none() {
                    return Ok(all);
                }
            }
            Err(ApiError::endless(target.verb, target.resource))
        };
        self.wait_for(target, deadline, list)
    }

    /// A JSON patch. A test in it that fails is answered with 422, as an impossible object is; only the latter has its
    /// causes listed.
    fn json_patch<T: DeserializeOwned + Send + 'static>(
        &self,
        resource: &'static str,
        name: &str,
        steps: &[Value],
        deadline: Instant,
    ) -> Result<T, ApiError> {
        let target = Target { verb: "patch", resource };
        let uri = format!("{}/{name}?fieldManager={}", self.whereabouts(resource), write::MANAGER);
        let body = serde_json::to_vec(steps)
            .map_err(|error| ApiError::unreadable(target.verb, target.resource, &error))?;
        let request = HttpRequest::patch(uri)
            .header(CONTENT_TYPE, "application/json-patch+json")
            .body(body)
            .map_err(kube::core::request::Error::BuildRequest);
        self.ask(target, request, deadline).map_err(|error| {
            let is_lost_test = error.kind == ApiErrorKind::Invalid && !error.why.contains("is invalid");
            if is_lost_test { ApiError { kind: ApiErrorKind::Conflict, ..error } } else { error }
        })
    }
}

impl PoolStore for ApiServer {
    fn pool(&self, name: &str, deadline: Instant) -> Result<Option<IpPool>, ApiError> {
        let found = self.find::<PoolObject>(self.whereabouts(POOLS), POOLS, name, deadline)?;
        Ok(found.map(IpPool::from))
    }

    fn pools(&self, deadline: Instant) -> Result<Vec<IpPool>, ApiError> {
        Ok(self.list::<PoolObject>(POOLS, deadline)?.into_iter().map(IpPool::from).collect())
    }

    fn create_pool(&self, name: &str, range: &str, deadline: Instant) -> Result<IpPool, ApiError> {
        let object = objects::new("IPPool", name, &json!({"range": range, "allocations": {}}));
        self.make::<PoolObject>(self.whereabouts(POOLS), POOLS, &object, deadline).map(IpPool::from)
    }

    fn change_pool(
        &self,
        pool: &IpPool,
        changes: &[PoolChange],
        deadline: Instant,
    ) -> Result<IpPool, ApiError> {
        let steps: Vec<Value> = changes.iter().flat_map(|change| objects::pool_steps(pool, change)).collect();
        self.json_patch::<PoolObject>(POOLS, &pool.name, &steps, deadline).map(IpPool::from)
    }

    fn reservation(&self, name: &str, deadline: Instant) -> Result<Option<Reservation>, ApiError> {
        let collection = self.whereabouts(RESERVATIONS);
        let found = self.find::<ReservationObject>(collection, RESERVATIONS, name, deadline)?;
        Ok(found.map(Reservation::from))
    }

    fn reservations(&self, deadline: Instant) -> Result<Vec<Reservation>, ApiError> {
        let all = self.list::<ReservationObject>(RESERVATIONS, deadline)?;
        Ok(all.into_iter().map(Reservation::from).collect())
    }

    fn reserve(&self, reservation: &Reservation, deadline: Instant) -> Result<Reservation, ApiError> {
        let Reservation { name, container_id, podref, ifname, .. } = reservation;
        let spec = json!({"containerid": container_id, "podref": podref, "ifname": ifname});
        let object = objects::new("OverlappingRangeIPReservation", name, &spec);
        let collection = self.whereabouts(RESERVATIONS);
        self.make::<ReservationObject>(collection, RESERVATIONS, &object, deadline).map(Reservation::from)
    }

    fn unreserve(
        &self,
        name: &str,
        resource_version: Option<&str>,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let target = Target { verb: "delete", resource: RESERVATIONS };
        let preconditions = resource_version
            .map(|version| Preconditions { resource_version: Some(version.into()), uid: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        let request = Request::new(self.whereabouts(RESERVATIONS)).delete(name, &params);
        match self.ask::<serde::de::IgnoredAny>(target, request, deadline) {
            Err(error) if error.kind != ApiErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn slice_pool(&self, name: &str, deadline: Instant) -> Result<Option<SlicePool>, ApiError> {
        let collection = self.whereabouts(SLICE_POOLS);
        let found = self.find::<SlicePoolObject>(collection, SLICE_POOLS, name, deadline)?;
        Ok(found.map(SlicePool::from))
    }

    fn slice_pools(&self, deadline: Instant) -> Result<Vec<SlicePool>, ApiError> {
        let all = self.list::<SlicePoolObject>(SLICE_POOLS, deadline)?;
        Ok(all.into_iter().map(SlicePool::from).collect())
    }

    fn create_slice_pool(&self, pool: &SlicePool, deadline: Instant) -> Result<SlicePool, ApiError> {
        let spec = json!({"range": pool.range, "sliceSize": pool.slice_size});
        let mut object = objects::new("NodeSlicePool", &pool.name, &spec);
        object["status"] = json!({"allocations": pool.slices.iter().map(objects::slice).collect::<Vec<_>>()});
        let collection = self.whereabouts(SLICE_POOLS);
        self.make::<SlicePoolObject>(collection, SLICE_POOLS, &object, deadline).map(SlicePool::from)
    }

    fn change_slice(
        &self,
        pool: &str,
        index: usize,
        slice: &Slice,
        to_node: &str,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let entry = format!("/status/allocations/{index}");
        let steps = [
            json!({"op": "test", "path": format!("{entry}/sliceRange"), "value": slice.range}),
            json!({"op": "test", "path": format!("{entry}/nodeName"), "value": slice.node}),
            json!({"op": "replace", "path": format!("{entry}/nodeName"), "value": to_node}),
        ];
        self.json_patch::<serde::de::IgnoredAny>(SLICE_POOLS, pool, &steps, deadline).map(drop)
    }

    fn node_exists(&self, name: &str, deadline: Instant) -> Result<bool, ApiError> {
        let found = self.find::<NodeObject>("/api/v1/nodes".into(), "nodes", name, deadline)?;
        Ok(found.is_some())
    }

    fn pod_now(&self, namespace: &str, name: &str, deadline: Instant) -> Result<Option<LivePod>, ApiError> {
        let found = self.find::<PodObject>(Pod::path(Some(namespace)), Pod::RESOURCE, name, deadline)?;
        Ok(found.map(LivePod::from))
    }

    fn lease(&self, name: &str, deadline: Instant) -> Result<Option<Lease>, ApiError> {
        leases::read(self, name, deadline)
    }

    fn create_lease(&self, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError> {
        leases::create(self, lease, deadline)
    }

    fn replace_lease(&self, lease: &Lease, deadline: Instant) -> Result<Lease, ApiError> {
        leases::replace(self, lease, deadline)
    }
}

/// The addresses of a network-status; `None` where it cannot be read.
fn status_addresses(text: &str) -> Option<Vec<IpAddr>> {
    let elements: Vec<Value> = serde_json::from_str(text).ok()?;
    let ips = elements.iter().filter_map(|element| element.get("ips")?.as_array()).flatten();
    Some(ips.filter_map(|ip| ip.as_str()?.parse().ok()).collect())
}

#[cfg(test)]
mod tests;
