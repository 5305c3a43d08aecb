use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::super::script::{Reply, Stage, refusal};
use super::*;
use crate::cluster::Allocation;

fn later() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn pool(version: &str, allocations: &Value) -> Value {
    json!({
        "metadata": {"name": "10.0.0.0-24", "resourceVersion": version},
        "spec": {"range": "10.0.0.0/24", "allocations": allocations},
    })
}

#[test]
fn a_pool_is_changed_by_a_patch_that_tests_the_entries_it_changes() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&seen);
    let stage = Stage::open(move |asked| match &*asked.what {
        what if what.contains("/namespaces/wb/ippools/10.0.0.0-24") && what.starts_with("GET") => {
            Reply::Json(
                200,
                pool("7", &json!({"3": {"id": "c", "podref": "n/p"}, "x": {"id": "", "podref": ""}})),
            )
        }
        what if what.contains("/namespaces/wb/ippools/10.0.0.0-24?") && what.starts_with("PATCH") => {
            sent.lock().unwrap().push(asked.body.clone());
            Reply::Json(200, pool("8", &json!({})))
        }
        _ => Reply::Silence,
    });
    let found = stage.api.pool("10.0.0.0-24", later()).unwrap().unwrap();
    let holder = Allocation { id: "c".into(), podref: "n/p".into(), ifname: String::new() };
    assert_eq!(
        (found.range.as_str(), found.allocations.clone()),
        ("10.0.0.0/24", [(3, holder.clone())].into())
    );
    let changes = [PoolChange { offset: 4, to: Some(holder) }, PoolChange { offset: 3, to: None }];
    let answer = stage.api.change_pool(&found, &changes, later()).unwrap();
    assert_eq!((answer.resource_version.as_str(), answer.allocations.len()), ("8", 0));
    let body: Value = serde_json::from_str(&seen.lock().unwrap()[0]).unwrap();
    let expected = json!([
        {"op": "test", "path": "/spec/allocations/4", "value": null},
        {"op": "add", "path": "/spec/allocations/4", "value": {"id": "c", "podref": "n/p", "ifname": ""}},
        {"op": "test", "path": "/spec/allocations/3/id", "value": "c"},
        {"op": "test", "path": "/spec/allocations/3/podref", "value": "n/p"},
        {"op": "remove", "path": "/spec/allocations/3"},
    ]);
    assert_eq!(body, expected);
}

#[test]
fn a_lost_race_is_told_from_an_object_that_cannot_be() {
    for (status, message, kind) in [
        (422, "the server rejected our request due to an error in our request", ApiErrorKind::Conflict),
        (422, "IPPool.whereabouts.cni.cncf.io \"x\" is invalid: spec", ApiErrorKind::Invalid),
        (409, "the object has been modified", ApiErrorKind::Conflict),
    ] {
        let stage = Stage::open(move |asked| match &*asked.what {
            what if what.starts_with("PATCH") => refusal(status, message),
            _ => Reply::Silence,
        });
        let error = stage.api.change_pool(&IpPool::default(), &[], later()).unwrap_err();
        assert_eq!(error.kind, kind, "{message}");
        let slice = Slice::default();
        assert_eq!(stage.api.change_slice("p", 0, &slice, "n", later()).unwrap_err().kind, kind);
    }
}

#[test]
fn a_reservation_that_is_gone_is_deleted() {
    let stage = Stage::open(|asked| match &*asked.what {
        what if what.starts_with("DELETE") && asked.body.contains("\"resourceVersion\":\"5\"") => {
            refusal(404, "not found")
        }
        what if what.starts_with("DELETE") => refusal(409, "another version"),
        _ => Reply::Silence,
    });
    stage.api.unreserve("10.0.0.1", Some("5"), later()).unwrap();
    assert_eq!(stage.api.unreserve("10.0.0.1", None, later()).unwrap_err().kind, ApiErrorKind::Conflict);
}

#[test]
fn a_pods_addresses_are_those_of_its_network_status() {
    let status = json!([{"name": "lab", "ips": ["10.0.0.5"]}, {"name": "none"}, {"ips": ["fd00::5", "x"]}]);
    let pod = json!({
        "metadata": {"uid": "u", "annotations": {"k8s.v1.cni.cncf.io/network-status": status.to_string()}},
        "spec": {"nodeName": "node-1"}, "status": {"phase": "Running"},
    });
    let stage = Stage::open(move |asked| match &*asked.what {
        what if what.contains("/pods/p") => Reply::Json(200, pod.clone()),
        what if what.contains("/pods/other") => refusal(404, "no"),
        _ => Reply::Silence,
    });
    let live = stage.api.pod_now("n", "p", later()).unwrap().unwrap();
    assert_eq!(live.ips, ["10.0.0.5", "fd00::5"].map(|ip| ip.parse::<IpAddr>().unwrap()));
    assert!(live.has_status && !live.has_ended && live.uid == "u" && live.node == "node-1");
    assert_eq!(stage.api.pod_now("n", "other", later()).unwrap(), None);
    assert_eq!(status_addresses("nonsense"), None);
}
