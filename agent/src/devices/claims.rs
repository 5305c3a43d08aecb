//! Devices of dynamic resource allocation: from a pod's claims to device ids.
//!
//! ```text
//! pod.status.resourceClaimStatuses      ┐
//! pod.status.extendedResourceClaimStatus┴→ ResourceClaim → driver, pool, device → ResourceSlice → attributes
//! ```
//! Source: resource.k8s.io/v1 (Kubernetes 1.34). A driver publishes a device for CNI by the attributes
//! `k8s.cni.cncf.io/deviceID` and `k8s.cni.cncf.io/resourceName`, as with Multus; others are passed over, so that a pod
//! may also claim what is no network device.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use plexus_cni::devices::PodDevices;
use plexus_cni::pod::Pod;
use plexus_cni::{CniError, Code};
use serde::Deserialize;

/// How long all claims of a pod may take to be read.
const CLAIMS_WAIT: Duration = Duration::from_secs(20);

/// Where claims and slices are read.
pub trait ClaimSource {
    /// The claim `namespace/name`.
    fn claim(&self, namespace: &str, name: &str, deadline: Instant) -> Result<ResourceClaim, CniError>;

    /// What `driver` publishes for this node.
    fn slices(&self, driver: &str, deadline: Instant) -> Result<Vec<ResourceSlice>, CniError>;
}

/// A ResourceClaim, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ResourceClaim {
    #[serde(default)]
    status: ClaimStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct ClaimStatus {
    allocation: Option<Allocation>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Allocation {
    #[serde(default)]
    devices: AllocatedDevices,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct AllocatedDevices {
    #[serde(default)]
    results: Vec<AllocatedDevice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AllocatedDevice {
    request: String,
    driver: String,
    pool: String,
    device: String,
    /// It may be looked at, and is somebody else's.
    admin_access: Option<bool>,
}

/// A ResourceSlice, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ResourceSlice {
    spec: SliceSpec,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct SliceSpec {
    driver: String,
    pool: Pool,
    #[serde(default)]
    devices: Vec<SliceDevice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Pool {
    name: String,
    generation: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct SliceDevice {
    name: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
struct Attributes {
    #[serde(rename = "k8s.cni.cncf.io/deviceID")]
    device_id: Option<Attribute>,
    #[serde(rename = "k8s.cni.cncf.io/resourceName")]
    resource_name: Option<Attribute>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Attribute {
    string: Option<String>,
}

/// The devices that the pod's claims were allocated.
pub fn claimed(pod: &Pod, source: &dyn ClaimSource, deadline: Instant) -> Result<PodDevices, CniError> {
    let mut reader =
        Reader { source, deadline: deadline.min(Instant::now() + CLAIMS_WAIT), slices: BTreeMap::new() };
    let mut held = PodDevices::default();
    for name in &pod.resource_claims {
        for result in reader.allocated(&pod.namespace, name)? {
            if let Some((id, Some(resource))) = reader.published(&result)? {
                held.insert(&resource, &id);
            }
        }
    }
    let Some(extended) = &pod.extended_resource_claim else { return Ok(held) };
    let results = reader.allocated(&pod.namespace, &extended.name)?;
    for wanted in &extended.requests {
        for result in results.iter().filter(|result| result.request == wanted.request) {
            match reader.published(result)? {
                Some((_, Some(resource))) if resource != wanted.resource => {
                    return Err(refuse(
                        &pod.namespace,
                        &extended.name,
                        &format!(
                            "device {} was allocated for resource {:?}, but its driver {} publishes it as {resource:?}",
                            result.device, wanted.resource, result.driver
                        ),
                    ));
                }
                Some((id, _)) => held.insert(&wanted.resource, &id),
                None => {}
            }
        }
    }
    Ok(held)
}

/// Reads each driver's slices once.
struct Reader<'a> {
    source: &'a dyn ClaimSource,
    deadline: Instant,
    slices: BTreeMap<String, Vec<ResourceSlice>>,
}

impl Reader<'_> {
    fn allocated(&self, namespace: &str, name: &str) -> Result<Vec<AllocatedDevice>, CniError> {
        let claim = self.source.claim(namespace, name, self.deadline)?;
        let Some(allocation) = claim.status.allocation else {
            return Err(refuse(
                namespace,
                name,
                "it has no allocation yet; its driver or the scheduler is late",
            ));
        };
        let mut results = allocation.devices.results;
        results.retain(|result| result.admin_access != Some(true));
        Ok(results)
    }

    /// Id and resource by which the driver publishes the device, if it publishes it for CNI.
    fn published(&mut self, result: &AllocatedDevice) -> Result<Option<(String, Option<String>)>, CniError> {
        if !self.slices.contains_key(&result.driver) {
            let slices = self.source.slices(&result.driver, self.deadline)?;
            self.slices.insert(result.driver.clone(), slices);
        }
        let slices = self.slices.get(&result.driver).map(Vec::as_slice).unwrap_or_default();
        let attributes = find(slices, result);
        let filled = |attribute: &Option<Attribute>| {
            attribute.as_ref()?.string.clone().filter(|text| !text.is_empty())
        };
        let published = attributes
            .and_then(|attributes| Some((filled(&attributes.device_id)?, filled(&attributes.resource_name))));
        if published.is_none() {
            tracing::debug!(
                driver = result.driver,
                pool = result.pool,
                device = result.device,
                "an allocated device is not published for CNI"
            );
        }
        Ok(published)
    }
}

/// The device in the newest generation of its pool: older slices are about to go.
fn find<'a>(slices: &'a [ResourceSlice], result: &AllocatedDevice) -> Option<&'a Attributes> {
    let of_pool = || {
        slices
            .iter()
            .map(|slice| &slice.spec)
            .filter(|spec| spec.driver == result.driver && spec.pool.name == result.pool)
    };
    let newest = of_pool().map(|spec| spec.pool.generation).max()?;
    let mut devices = of_pool().filter(|spec| spec.pool.generation == newest).flat_map(|spec| &spec.devices);
    devices.find(|device| device.name == result.device).map(|device| &device.attributes)
}

fn refuse(namespace: &str, name: &str, why: &str) -> CniError {
    CniError::new(Code::DeviceUnavailable, format!("ResourceClaim {namespace}/{name} cannot be used"))
        .because(why)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use plexus_cni::pod::ExtendedResourceClaim;
    use plexus_cni::pod::ExtendedResourceRequest;
    use serde_json::{Value, json};

    use super::*;

    /// Recorded documents.
    #[derive(Default)]
    struct Documents {
        claims: BTreeMap<String, Value>,
        slices: Vec<Value>,
        asked: RefCell<Vec<String>>,
    }

    impl ClaimSource for Documents {
        fn claim(&self, namespace: &str, name: &str, _: Instant) -> Result<ResourceClaim, CniError> {
            assert_eq!(namespace, "n");
            self.asked.borrow_mut().push(name.to_owned());
            Ok(serde_json::from_value(self.claims[name].clone()).unwrap())
        }

        fn slices(&self, driver: &str, _: Instant) -> Result<Vec<ResourceSlice>, CniError> {
            self.asked.borrow_mut().push(driver.to_owned());
            let of_driver = self.slices.iter().filter(|slice| slice["spec"]["driver"] == driver);
            Ok(of_driver.map(|slice| serde_json::from_value(slice.clone()).unwrap()).collect())
        }
    }

    fn result(request: &str, driver: &str, device: &str) -> Value {
        json!({"request": request, "driver": driver, "pool": "node-1", "device": device, "consumedCapacity": {}})
    }

    fn claim(results: &[Value]) -> Value {
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "c", "namespace": "n"},
            "spec": {"devices": {"requests": []}},
            "status": {"allocation": {"devices": {"results": results, "config": []}}, "reservedFor": []},
        })
    }

    /// A slice with devices `name: (id, resource)`.
    fn slice(driver: &str, generation: i64, devices: &[(&str, &str, &str)]) -> Value {
        let attribute =
            |text: &str| if text.is_empty() { json!({"int": 1}) } else { json!({"string": text}) };
        let devices: Vec<Value> = devices
            .iter()
            .map(|(name, id, resource)| {
                json!({"name": name, "attributes": {
                    "k8s.cni.cncf.io/deviceID": attribute(id), "k8s.cni.cncf.io/resourceName": attribute(resource),
                    "vendor": {"string": "v"}, "numa": {"int": 0},
                }, "capacity": {}})
            })
            .collect();
        json!({
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "s"},
            "spec": {"driver": driver, "nodeName": "node-1", "devices": devices,
                     "pool": {"name": "node-1", "generation": generation, "resourceSliceCount": 1}},
        })
    }

    fn pod(claims: &[&str], extended: Option<ExtendedResourceClaim>) -> Pod {
        Pod {
            namespace: "n".into(),
            name: "p".into(),
            resource_claims: claims.iter().map(|name| (*name).to_owned()).collect(),
            extended_resource_claim: extended,
            ..Pod::default()
        }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    fn ids(held: &PodDevices, resource: &str) -> Vec<String> {
        held.of(resource).map(str::to_owned).collect()
    }

    #[test]
    fn allocated_devices_are_found_in_slices_and_others_passed_over() {
        let mut admin = result("watch", "sriov", "vf2");
        admin["adminAccess"] = json!(true);
        let documents = Documents {
            claims: BTreeMap::from([
                ("net".into(), claim(&[result("a", "sriov", "vf1"), result("b", "sriov", "vf0"), admin])),
                ("gpu".into(), claim(&[result("a", "gpu", "gpu-0")])),
            ]),
            slices: vec![
                slice("sriov", 2, &[("vf0", "0000:03:02.0", "nic"), ("vf2", "0000:03:02.2", "nic")]),
                slice("sriov", 2, &[("vf1", "0000:03:02.1", "nic")]),
                slice("sriov", 1, &[("vf1", "stale", "nic")]),
                slice("gpu", 1, &[("gpu-0", "", "")]),
            ],
            ..Documents::default()
        };
        let held = claimed(&pod(&["net", "gpu"], None), &documents, later()).unwrap();
        assert_eq!(ids(&held, "nic"), ["0000:03:02.0", "0000:03:02.1"]);
        assert_eq!(*documents.asked.borrow(), ["net", "sriov", "gpu", "gpu"], "each driver's slices once");
    }

    #[test]
    fn extended_resources_are_mapped_by_their_requests() {
        let extended = |resource: &str| {
            let request = ExtendedResourceRequest { request: "r0".into(), resource: resource.into() };
            Some(ExtendedResourceClaim { name: "ext".into(), requests: vec![request] })
        };
        let documents = Documents {
            claims: BTreeMap::from([(
                "ext".into(),
                claim(&[result("r0", "sriov", "vf0"), result("r1", "sriov", "vf1")]),
            )]),
            slices: vec![slice("sriov", 1, &[("vf0", "a", "v.com/vf"), ("vf1", "b", "v.com/vf")])],
            ..Documents::default()
        };
        let held = claimed(&pod(&[], extended("v.com/vf")), &documents, later()).unwrap();
        assert_eq!(ids(&held, "v.com/vf"), ["a"]);
        let error = claimed(&pod(&[], extended("v.com/other")), &documents, later()).unwrap_err();
        for part in ["n/ext", "vf0", "v.com/other", "v.com/vf"] {
            assert!(error.to_string().contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn a_claim_without_allocation_is_named() {
        let documents = Documents {
            claims: BTreeMap::from([("net".into(), json!({"metadata": {}, "status": {}}))]),
            ..Documents::default()
        };
        let error = claimed(&pod(&["net"], None), &documents, later()).unwrap_err();
        assert!(error.code == Code::DeviceUnavailable && error.to_string().contains("n/net"), "{error}");
    }
}
