//! The reconciler of the cluster's pools, with the rights that deploy/ grants.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plexus_agent::cluster::{
    self, Allocation, Calls, Catalog, PoolChange, PoolStore, Reservation, Slice, SlicePool,
};
use plexus_agent::ipam::whereabouts::reconcile::decide::Known;
use plexus_agent::ipam::whereabouts::reconcile::{Freed, Here, Pace, Reconciler};
use plexus_agent::lab::apiserver::{self, NODE, require_assets_or_skip};
use plexus_agent::lab::skip::require_root_or_skip;
use plexus_agent::lab::{Host, KubeApi};
use serde_json::json;

const TEST: &str = "what_nobody_holds_is_freed_and_what_a_living_pod_shows_is_kept";
const STATUS: &str = "k8s.v1.cni.cncf.io/network-status";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// A node without records that has all pods of the lab.
pub(crate) struct Bare;

impl Here for Bare {
    fn known(&self) -> Option<Known> {
        Some(Known::default())
    }

    fn has_pod(&self, _: &str, _: &str) -> bool {
        true
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Offset N of the pool, for pod `default/NAME`, with its reservation.
fn hold(store: &dyn PoolStore, pool: &str, held: &[(u8, &str)]) {
    let (mut pool, mut changes) = (store.pool(pool, soon()).unwrap().unwrap(), Vec::new());
    for (last, pod) in held {
        let (id, podref, ifname) = (format!("c-{pod}-{last}"), format!("default/{pod}"), "net1".to_owned());
        let to = Some(Allocation { id: id.clone(), podref: podref.clone(), ifname: ifname.clone() });
        changes.push(PoolChange { offset: (*last).into(), to });
        let name = format!("10.9.0.{last}");
        let reservation = Reservation { name, container_id: id, podref, ifname, ..Reservation::default() };
        store.reserve(&reservation, soon()).unwrap();
    }
    pool = store.change_pool(&pool, &changes, soon()).unwrap();
    assert_eq!(pool.allocations.len(), held.len());
}

#[test]
fn what_nobody_holds_is_freed_and_what_a_living_pod_shows_is_kept() {
    if !require_root_or_skip(TEST) {
        return;
    }
    let Some(assets) = require_assets_or_skip(TEST) else { return };
    // The session's thread does not end, so this one cannot leave the host.
    let host = ManuallyDrop::new(Host::enter().unwrap());
    let api = KubeApi::start(&host, &assets).unwrap();
    let (catalog, calls) = (Arc::new(Catalog::default()), Arc::new(Calls::default()));
    let session =
        cluster::start(Some(api.kubeconfig()), NODE.into(), "kube-system".into(), &catalog, &calls).unwrap();
    let store: &dyn PoolStore = &*session;

    // A living pod that shows .1 and has lost .2, one without a status, one that has ended, and one that is gone.
    let shows = json!({STATUS: json!([{"name": "n", "interface": "net1", "ips": ["10.9.0.1"]}]).to_string()});
    api.admin.create(&apiserver::pod("default", "alive", &shows)).unwrap();
    api.admin.create(&apiserver::pod("default", "young", &json!({}))).unwrap();
    api.admin.create(&apiserver::pod("default", "ended", &shows)).unwrap();
    api.admin.patch(PODS, "ended", "status", &json!({"status": {"phase": "Succeeded"}})).unwrap();
    api.admin.create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})).unwrap();
    store.create_pool("10.9.0.0-24", "10.9.0.0/24", soon()).unwrap();
    hold(store, "10.9.0.0-24", &[(1, "alive"), (2, "alive"), (3, "young"), (4, "ended"), (5, "gone")]);
    let slice = |node: &str, range: &str| Slice { node: node.into(), range: range.into() };
    let slices = vec![slice(NODE, "10.8.0.0/28"), slice("lost", "10.8.0.16/28"), slice("", "10.8.0.32/28")];
    let pool = SlicePool {
        name: "fast".into(),
        range: "10.8.0.0/24".into(),
        slice_size: "/28".into(),
        slices,
        ..SlicePool::default()
    };
    store.create_slice_pool(&pool, soon()).unwrap();

    let mut reconciler = Reconciler::new(NODE.into(), Pace::default());
    let mut now = Instant::now();
    let mut round = || {
        now += Duration::from_mins(15);
        reconciler.round(store, &Bare, now).unwrap()
    };
    assert_eq!(round(), Freed::default());
    assert_eq!(round(), Freed { allocations: 3, reservations: 3, slices: 1 });
    assert_eq!(round(), Freed::default());

    let left = store.pool("10.9.0.0-24", soon()).unwrap().unwrap();
    assert_eq!(left.allocations.into_keys().collect::<Vec<_>>(), [1, 3]);
    let mut reserved: Vec<_> = store.reservations(soon()).unwrap().into_iter().map(|it| it.name).collect();
    reserved.sort();
    assert_eq!(reserved, ["10.9.0.1", "10.9.0.3"]);
    let slices = store.slice_pool("fast", soon()).unwrap().unwrap().slices;
    assert_eq!(slices.into_iter().map(|slice| slice.node).collect::<Vec<_>>(), [NODE, "", ""]);

    // Another agent follows the one that leads, and takes over once that is silent.
    let mut other = Reconciler::new("other".into(), Pace::default());
    for minutes in [0, 10, 20] {
        other.round(store, &Bare, now + Duration::from_mins(minutes)).unwrap();
        assert!(!other.is_leader());
    }
    other.round(store, &Bare, now + Duration::from_mins(30)).unwrap();
    assert!(other.is_leader());
    let denied: Vec<_> = api.calls().unwrap().into_iter().filter(|call| call.status == 403).collect();
    assert_eq!(denied, []);
}
