//! The objects as the API server has them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::status_addresses;
use crate::cluster::{Allocation, IpPool, LivePod, PoolChange, Reservation, Slice, SlicePool};

/// The annotation in which a pod's addresses stand.
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";

/// An object of whereabouts that does not exist yet.
pub(super) fn new(kind: &str, name: &str, spec: &Value) -> Value {
    let version = "whereabouts.cni.cncf.io/v1alpha1";
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

pub(super) fn allocation(Allocation { id, podref, ifname }: &Allocation) -> Value {
    json!({"id": id, "podref": podref, "ifname": ifname})
}

/// Steps of a JSON patch that make one change if the entry is still as in `pool`. Only its members are tested, because
/// objects of old versions have fewer; the test of a missing one with `null` holds only where there is none.
pub(super) fn pool_steps(pool: &IpPool, PoolChange { offset, to }: &PoolChange) -> Vec<Value> {
    let path = format!("/spec/allocations/{offset}");
    let mut steps = match pool.allocations.get(offset) {
        None => vec![json!({"op": "test", "path": path, "value": null})],
        Some(Allocation { id, podref, .. }) => vec![
            json!({"op": "test", "path": format!("{path}/id"), "value": id}),
            json!({"op": "test", "path": format!("{path}/podref"), "value": podref}),
        ],
    };
    steps.push(match to {
        Some(holder) => json!({"op": "add", "path": path, "value": allocation(holder)}),
        None => json!({"op": "remove", "path": path}),
    });
    steps
}

pub(super) fn slice(Slice { node, range }: &Slice) -> Value {
    json!({"nodeName": node, "sliceRange": range})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    resource_version: String,
}

#[derive(Deserialize)]
pub(super) struct PoolObject {
    metadata: Metadata,
    spec: PoolSpec,
}

#[derive(Deserialize)]
struct PoolSpec {
    range: String,
    allocations: Option<BTreeMap<String, AllocationObject>>,
}

#[derive(Deserialize)]
struct AllocationObject {
    #[serde(default)]
    id: String,
    #[serde(default)]
    podref: String,
    #[serde(default)]
    ifname: String,
}

impl From<PoolObject> for IpPool {
    fn from(PoolObject { metadata, spec }: PoolObject) -> Self {
        // What is no number is nobody's address; the original skips it, too.
        let allocations = spec.allocations.unwrap_or_default().into_iter().filter_map(|(offset, held)| {
            let AllocationObject { id, podref, ifname } = held;
            Some((offset.parse().ok()?, Allocation { id, podref, ifname }))
        });
        Self {
            name: metadata.name,
            resource_version: metadata.resource_version,
            range: spec.range,
            allocations: allocations.collect(),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct ReservationObject {
    metadata: Metadata,
    spec: ReservationSpec,
}

#[derive(Deserialize)]
struct ReservationSpec {
    #[serde(default)]
    containerid: String,
    #[serde(default)]
    podref: String,
    #[serde(default)]
    ifname: String,
}

impl From<ReservationObject> for Reservation {
    fn from(ReservationObject { metadata, spec }: ReservationObject) -> Self {
        Self {
            name: metadata.name,
            resource_version: metadata.resource_version,
            container_id: spec.containerid,
            podref: spec.podref,
            ifname: spec.ifname,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct SlicePoolObject {
    metadata: Metadata,
    spec: SlicePoolSpec,
    status: Option<SlicePoolStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SlicePoolSpec {
    range: String,
    slice_size: String,
}

#[derive(Deserialize)]
struct SlicePoolStatus {
    allocations: Option<Vec<SliceObject>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SliceObject {
    #[serde(default)]
    node_name: String,
    #[serde(default)]
    slice_range: String,
}

impl From<SlicePoolObject> for SlicePool {
    fn from(SlicePoolObject { metadata, spec, status }: SlicePoolObject) -> Self {
        let slices = status.and_then(|status| status.allocations).unwrap_or_default();
        Self {
            name: metadata.name,
            resource_version: metadata.resource_version,
            range: spec.range,
            slice_size: spec.slice_size,
            slices: slices
                .into_iter()
                .map(|SliceObject { node_name, slice_range }| Slice { node: node_name, range: slice_range })
                .collect(),
        }
    }
}

/// A Node, of which only the existence counts.
#[derive(Deserialize)]
pub(super) struct NodeObject {}

#[derive(Deserialize)]
pub(super) struct PodObject {
    metadata: PodMetadata,
    spec: Option<PodSpec>,
    status: Option<PodStatus>,
}

#[derive(Deserialize)]
struct PodMetadata {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodSpec {
    #[serde(default)]
    node_name: String,
}

#[derive(Deserialize)]
struct PodStatus {
    #[serde(default)]
    phase: String,
}

impl From<PodObject> for LivePod {
    fn from(PodObject { metadata, spec, status }: PodObject) -> Self {
        let addresses = metadata.annotations.get(STATUS).and_then(|text| status_addresses(text));
        let phase = status.map(|status| status.phase).unwrap_or_default();
        Self {
            uid: metadata.uid,
            node: spec.map(|spec| spec.node_name).unwrap_or_default(),
            has_status: addresses.is_some(),
            ips: addresses.unwrap_or_default(),
            has_ended: ["Succeeded", "Failed"].contains(&phase.as_str()),
        }
    }
}
