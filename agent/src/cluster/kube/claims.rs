//! Claims and slices of dynamic resource allocation, read when a pod with claims is attached.

use std::sync::Arc;
use std::time::Instant;

use kube::api::{GetParams, ListParams};
use kube::core::Request;
use plexus_cni::{CniError, Code};

use super::apiserver::{ApiServer, left};
use super::error::{ApiError, ApiErrorKind};
use super::kind::Page;
use super::session::Target;
use crate::devices::{ClaimSource, ResourceClaim, ResourceSlice};

const API: &str = "/apis/resource.k8s.io/v1";
/// Slices asked for at once; one has up to 128 devices.
const PAGE: u32 = 50;
/// Most pages of one driver's slices for one node.
const PAGES_MAX: usize = 100;

impl ClaimSource for ApiServer {
    fn claim(&self, namespace: &str, name: &str, deadline: Instant) -> Result<ResourceClaim, CniError> {
        let target = Target { verb: "get", resource: "resourceclaims" };
        let path = format!("{API}/namespaces/{namespace}/resourceclaims");
        let request = Request::new(path).get(name, &GetParams::default());
        let (session, wait) = (Arc::clone(&self.session), left(deadline));
        let read = self.wait_for(target, deadline, async move { session.send(target, request, wait).await });
        read.map_err(|error| explain(error, &format!("ResourceClaim {namespace}/{name}")))
    }

    fn slices(&self, driver: &str, deadline: Instant) -> Result<Vec<ResourceSlice>, CniError> {
        let target = Target { verb: "list", resource: "resourceslices" };
        let selector = format!("spec.nodeName={},spec.driver={driver}", self.node_name);
        let session = Arc::clone(&self.session);
        let list = async move {
            let mut params =
                ListParams { field_selector: Some(selector), limit: Some(PAGE), ..ListParams::default() };
            let mut slices = Vec::new();
            for _ in 0..PAGES_MAX {
                let request = Request::new(format!("{API}/resourceslices")).list(&params);
                let page: Page<ResourceSlice> = session.send(target, request, left(deadline)).await?;
                slices.extend(page.items.unwrap_or_default());
                params.continue_token = page.metadata.more.filter(|token| !token.is_empty());
                if params.continue_token.is_none() {
                    return Ok(slices);
                }
            }
            Err(ApiError::endless(target.verb, target.resource))
        };
        let read = self.wait_for(target, deadline, list);
        read.map_err(|error| explain(error, &format!("ResourceSlices of driver {driver}")))
    }
}

fn explain(error: ApiError, what: &str) -> CniError {
    if error.kind == ApiErrorKind::NotFound {
        return CniError::new(Code::DeviceUnavailable, format!("{what} cannot be read")).because(format!(
            "{}; it was deleted, or the API server has no resource.k8s.io/v1 (Kubernetes 1.34 has)",
            error.why
        ));
    }
    CniError::from(error).within(what)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::script::{Reply, Stage, refusal};
    use super::*;
    use crate::devices::claimed;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    fn pod() -> plexus_cni::pod::Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "n", "name": "p"},
            "status": {"resourceClaimStatuses": [{"name": "net", "resourceClaimName": "p-net"}]},
        }))
        .unwrap()
    }

    fn slice(device: &str, id: &str) -> serde_json::Value {
        let attributes = json!({
            "k8s.cni.cncf.io/deviceID": {"string": id}, "k8s.cni.cncf.io/resourceName": {"string": "nic"},
        });
        json!({"metadata": {"name": device}, "spec": {
            "driver": "sriov.x", "nodeName": "node-1", "pool": {"name": "node-1", "generation": 1, "resourceSliceCount": 2},
            "devices": [{"name": device, "attributes": attributes}],
        }})
    }

    #[test]
    fn claims_and_this_nodes_slices_are_read_in_pages() {
        let stage = Stage::open(|asked| {
            let selects = asked.what.contains("spec.nodeName%3Dnode-1%2Cspec.driver%3Dsriov.x");
            match &*asked.what {
                what if what.contains("/apis/resource.k8s.io/v1/namespaces/n/resourceclaims/p-net") => {
                    let result =
                        json!({"request": "r", "driver": "sriov.x", "pool": "node-1", "device": "vf1"});
                    Reply::Json(
                        200,
                        json!({"metadata": {}, "status": {"allocation": {"devices": {"results": [result]}}}}),
                    )
                }
                what if what.contains("/resourceslices") && selects && what.contains("continue=more") => {
                    Reply::Json(200, json!({"metadata": {}, "items": [slice("vf1", "0000:03:02.1")]}))
                }
                what if what.contains("/resourceslices") && selects => Reply::Json(
                    200,
                    json!({"metadata": {"continue": "more"}, "items": [slice("vf0", "0000:03:02.0")]}),
                ),
                _ => Reply::Silence,
            }
        });
        let held = claimed(&pod(), &*stage.api, later()).unwrap();
        assert_eq!(held.of("nic").collect::<Vec<_>>(), ["0000:03:02.1"]);
        assert_eq!(stage.asked(&["resourceslices"]), 2);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_is_to_be_done() {
        for (status, code, part) in
            [(404, Code::DeviceUnavailable, "1.34"), (403, Code::NotAuthorized, "ClusterRole")]
        {
            let stage = Stage::open(move |asked| {
                if asked.what.contains("resource.k8s.io") { refusal(status, "no") } else { Reply::Silence }
            });
            let error = claimed(&pod(), &*stage.api, later()).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.msg.contains("n/p-net") && error.details.contains(part), "{error}");
        }
    }
}
