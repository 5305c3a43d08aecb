//! Whole rounds over pools in memory, which the lab has.
#![cfg(feature = "lab")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::decide::{Attached, Known};
use super::{Freed, Here, Pace, Reconciler};
use crate::cluster::{Allocation, IpPool, LivePod, Reservation, Slice, SlicePool};
use crate::lab::pool_store::{Fault, MemoryPools};

const POOL: &str = "10.0.0.0-24";

/// One agent, and a clock that only the test moves.
struct Agent {
    reconciler: Reconciler,
    known: RefCell<Known>,
    pods: BTreeSet<String>,
    now: Instant,
}

struct Elsewhere<'a>(&'a RefCell<Known>, &'a BTreeSet<String>);

impl Here for Elsewhere<'_> {
    fn known(&self) -> Option<Known> {
        Some(self.0.borrow().clone())
    }

    fn has_pod(&self, namespace: &str, name: &str) -> bool {
        self.1.contains(&format!("{namespace}/{name}"))
    }
}

impl Agent {
    fn new(node: &str) -> Self {
        let pace = Pace { own_every: 1, ..Pace::default() };
        Self {
            reconciler: Reconciler::new(node.into(), pace),
            known: RefCell::default(),
            pods: BTreeSet::new(),
            now: Instant::now(),
        }
    }

    /// A round after a while.
    fn round(&mut self, store: &MemoryPools) -> Freed {
        self.now += Duration::from_mins(10);
        let here = Elsewhere(&self.known, &self.pods);
        self.reconciler.round(store, &here, self.now).unwrap()
    }
}

fn allocation(id: &str, podref: &str) -> Allocation {
    Allocation { id: id.into(), podref: podref.into(), ifname: "net1".into() }
}

/// Offset N is held by container cN of pod n/pN, and reserved for it.
fn store(held: impl IntoIterator<Item = u8>) -> MemoryPools {
    let store = MemoryPools::default();
    store.edit(|content| {
        let mut pool = IpPool { name: POOL.into(), range: "10.0.0.0/24".into(), ..IpPool::default() };
        for last in held {
            let (id, podref) = (format!("c{last}"), format!("n/p{last}"));
            pool.allocations.insert(last.into(), allocation(&id, &podref));
            let name = format!("10.0.0.{last}");
            let ifname = "net1".into();
            let reservation =
                Reservation { name: name.clone(), container_id: id, podref, ifname, ..Default::default() };
            content.reservations.insert(name, reservation);
        }
        content.pools.insert(POOL.into(), pool);
    });
    store
}

fn alive(store: &MemoryPools, pod: &str, node: &str, shown: Option<&str>) {
    let ips = shown.map(|ip| ip.parse().unwrap()).into_iter().collect();
    let live =
        LivePod { uid: "u".into(), node: node.into(), ips, has_status: shown.is_some(), has_ended: false };
    store.edit(|content| drop(content.pods.insert(format!("n/{pod}"), live)));
}

fn held(store: &MemoryPools) -> Vec<u128> {
    let content = store.content();
    let held: Vec<u128> = content.pools[POOL].allocations.keys().copied().collect();
    let reserved: BTreeSet<_> = held.iter().map(|offset| format!("10.0.0.{offset}")).collect();
    assert_eq!(content.reservations.keys().cloned().collect::<BTreeSet<_>>(), reserved);
    held
}

#[test]
fn what_a_pod_held_that_is_gone_is_freed_at_the_second_look() {
    let (store, mut agent) = (store([1, 2, 3]), Agent::new("a"));
    alive(&store, "p1", "b", Some("10.0.0.1"));
    alive(&store, "p3", "b", None);
    assert_eq!(agent.round(&store), Freed::default());
    assert!(agent.reconciler.is_leader());
    assert_eq!(agent.reconciler.suspects(), 2);
    assert_eq!(agent.round(&store), Freed { allocations: 1, reservations: 1, slices: 0 });
    assert_eq!(held(&store), [1, 3]);
    assert_eq!(agent.round(&store), Freed::default());
    assert_eq!(agent.reconciler.suspects(), 0);
}

#[test]
fn a_pod_that_comes_back_between_the_looks_keeps_its_address() {
    let (store, mut agent) = (store([1]), Agent::new("a"));
    agent.round(&store);
    alive(&store, "p1", "b", None);
    agent.round(&store);
    agent.round(&store);
    assert_eq!(held(&store), [1]);
}

#[test]
fn a_pod_that_comes_back_right_before_the_change_keeps_its_address() {
    let (store, mut agent) = (store([1]), Agent::new("a"));
    agent.round(&store);
    let before_the_last_question = 5;
    store.before(before_the_last_question, |content| {
        let live = LivePod { uid: "new".into(), node: "b".into(), ..LivePod::default() };
        content.pods.insert("n/p1".into(), live);
    });
    assert_eq!(agent.round(&store), Freed::default());
    assert_eq!(held(&store), [1]);
}

#[test]
fn an_entry_that_another_holder_took_meanwhile_stays() {
    let (store, mut agent) = (store([1]), Agent::new("a"));
    agent.round(&store);
    store.edit(|content| {
        let pool = content.pools.get_mut(POOL).unwrap();
        pool.allocations.insert(1, allocation("new", "n/p9"));
        let reservation = content.reservations.get_mut("10.0.0.1").unwrap();
        (reservation.container_id, reservation.podref) = ("new".into(), "n/p9".into());
    });
    assert_eq!(agent.round(&store), Freed::default());
    assert_eq!(held(&store), [1]);
}

#[test]
fn what_a_record_of_this_node_names_is_kept_though_its_pod_is_gone() {
    let (store, mut agent) = (store([1, 2]), Agent::new("a"));
    let attached = Attached { container_id: "c1".into(), podref: "n/p1".into(), ifname: "net1".into() };
    agent.known.borrow_mut().attachments.insert(attached);
    agent.round(&store);
    agent.round(&store);
    assert_eq!(held(&store), [1]);
    agent.known.borrow_mut().attachments.clear();
    agent.round(&store);
    agent.round(&store);
    assert_eq!(held(&store), Vec::<u128>::new());
}

#[test]
fn who_does_not_lead_frees_only_containers_of_its_own_pods() {
    let (store, mut leader, mut other) = (store([1, 2, 3]), Agent::new("a"), Agent::new("b"));
    // Pod 1 has another container now, with another address; 2 is gone; 3 lives elsewhere, and its node sees to it.
    alive(&store, "p1", "b", Some("10.0.0.9"));
    alive(&store, "p3", "a", Some("10.0.0.9"));
    leader.round(&store);
    other.pods = ["n/p1".into(), "n/p3".into()].into();
    other.round(&store);
    assert_eq!(other.round(&store), Freed { allocations: 1, reservations: 1, slices: 0 });
    assert!(!other.reconciler.is_leader());
    assert_eq!(held(&store), [2, 3]);
    leader.round(&store);
    assert_eq!(held(&store), Vec::<u128>::new());
}

#[test]
fn where_it_is_not_known_what_is_attached_nothing_is_freed() {
    struct Blind;
    impl Here for Blind {
        fn known(&self) -> Option<Known> {
            None
        }
        fn has_pod(&self, _: &str, _: &str) -> bool {
            true
        }
    }
    let (store, mut agent) = (store([1]), Agent::new("a"));
    for minutes in [0, 10, 20] {
        let now = agent.now + Duration::from_mins(minutes);
        assert_eq!(agent.reconciler.round(&store, &Blind, now).unwrap(), Freed::default());
    }
    assert_eq!(held(&store), [1]);
}

#[test]
fn a_leader_that_is_gone_is_followed_by_another() {
    let (store, mut first, mut second) = (store([]), Agent::new("a"), Agent::new("b"));
    first.round(&store);
    assert!(first.reconciler.is_leader());
    for _ in 0..3 {
        second.round(&store);
        assert!(!second.reconciler.is_leader());
    }
    second.round(&store);
    assert!(second.reconciler.is_leader());
    first.round(&store);
    assert!(!first.reconciler.is_leader());
    let lease = store.content().leases.into_values().next().unwrap();
    assert_eq!((lease.holder.as_str(), lease.transitions), ("b", 1));
}

#[test]
fn slices_of_a_node_that_is_gone_are_taken_back_and_others_stay() {
    let (store, mut agent) = (MemoryPools::default(), Agent::new("a"));
    let slice = |node: &str, range: &str| Slice { node: node.into(), range: range.into() };
    store.edit(|content| {
        content.nodes.insert("b".into());
        let slices =
            vec![slice("b", "10.0.0.0/28"), slice("lost", "10.0.0.16/28"), slice("", "10.0.0.32/28")];
        let pool = SlicePool { name: "s".into(), slices, ..SlicePool::default() };
        content.slice_pools.insert("s".into(), pool);
    });
    assert_eq!(agent.round(&store).slices, 0);
    assert_eq!(agent.round(&store).slices, 1);
    let nodes: Vec<_> =
        store.content().slice_pools["s"].slices.iter().map(|slice| slice.node.clone()).collect();
    assert_eq!(nodes, ["b", "", ""]);
}

#[test]
fn a_lost_request_anywhere_frees_nothing_that_lives_and_the_next_rounds_free_the_rest() {
    for fault in [Fault::Before, Fault::After] {
        for nth in 0..20 {
            let (store, mut agent) = (store([1, 2]), Agent::new("a"));
            alive(&store, "p1", "b", Some("10.0.0.1"));
            store.fail(nth, fault);
            for _ in 0..5 {
                agent.now += Duration::from_mins(10);
                let here = Elsewhere(&agent.known, &agent.pods);
                // The round with the lost request fails.
                agent.reconciler.round(&store, &here, agent.now).ok();
            }
            assert_eq!(held(&store), [1], "{fault:?} of request {nth}");
        }
    }
}
