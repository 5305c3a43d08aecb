//! A crash at any request of an ADD or DEL.

use super::*;
use crate::cluster::{Allocation, Reservation};
use crate::lab::Fault;

/// A config with two parts, so that a crash can fall between them.
fn config() -> Value {
    json!({"ipam": {"range": "10.0.0.0/24", "ipRanges": [{"range": "fd00::/64"}]}})
}

/// A cluster with somebody else's addresses.
fn cluster() -> Arc<MemoryPools> {
    let store = Arc::new(MemoryPools::default());
    Node::on(&store).add(&config(), who("first", "first")).unwrap();
    store
}

/// Does `work` with the process dying at its n-th request, for every n, before and after that took effect.
fn at_every_request(work: impl Fn(&Arc<MemoryPools>) -> Node, then: impl Fn(Node, &str)) {
    for fault in [Fault::Before, Fault::After] {
        let mut requests = 0;
        loop {
            let store = cluster();
            store.die(requests, fault);
            let node = work(&store);
            let has_died = store.revive();
            then(node.restarted(), &format!("{fault:?} request {requests}"));
            if !has_died {
                break;
            }
            requests += 1;
        }
        assert!(requests > 3, "{requests} requests");
    }
}

#[test]
fn an_add_that_dies_at_any_request_leaves_nothing_that_its_next_add_and_del_do_not_find() {
    let dies = |store: &Arc<MemoryPools>| {
        let mut node = Node::on(store);
        // Nobody answers any more; it need not be waited for long.
        node.patience = Duration::from_millis(5100);
        node.add(&config(), who("dead", "p")).unwrap_or_default();
        // A crash leaves no note behind, as an error does.
        std::fs::remove_dir_all(node.dir.path().join("releases")).unwrap_or_default();
        node
    };
    at_every_request(dies, |node, when| {
        let given = node.add(&config(), who("next", "p")).unwrap();
        assert_eq!(given, ["10.0.0.2", "fd00::2"], "{when}: the pod's address is found again");
        node.del(&config(), who("dead", "p"));
        node.check(&config(), who("next", "p"), &given).unwrap();
        node.del(&config(), who("next", "p"));
        node.del(&config(), who("first", "first"));
        assert_nothing_held(&node.store, when);
    });
}

#[test]
fn an_add_whose_requests_are_lost_is_released_from_its_note() {
    let fails = |store: &Arc<MemoryPools>| {
        let mut node = Node::on(store);
        node.patience = Duration::from_millis(5100);
        if node.add(&config(), who("c", "p")).is_ok() {
            node.del(&config(), who("c", "p"));
        }
        node
    };
    at_every_request(fails, |node, when| {
        node.retry();
        assert!(node.cluster.pending.is_empty(), "{when}");
        node.del(&config(), who("first", "first"));
        assert_nothing_held(&node.store, when);
    });
}

#[test]
fn what_a_failed_add_asked_for_is_freed_even_if_it_takes_effect_after_the_undoing() {
    let store = cluster();
    let mut node = Node::on(&store);
    node.patience = Duration::from_millis(5100);
    // Slices and pool are read; what follows is under way for long, and nobody hears of it.
    store.die(2, Fault::Before);
    node.add(&config(), who("c", "p")).unwrap_err();
    store.revive();
    let before = (held(&store), reserved(&store));
    let (podref, ifname) = ("n/p".to_owned(), "net1".to_owned());
    store.edit(|content| {
        let name = "10.0.0.2".to_owned();
        let held = Allocation { id: "c".into(), podref: podref.clone(), ifname: ifname.clone() };
        content.pools.get_mut("10.0.0.0-24").unwrap().allocations.insert(2, held);
        let container_id = "c".to_owned();
        let reserved =
            Reservation { name: name.clone(), container_id, podref, ifname, ..Reservation::default() };
        content.reservations.insert(name, reserved);
    });
    retry_pending(&node.cluster, SystemTime::now(), |_| Some(()));
    assert_eq!(node.cluster.pending.len(), 1, "requests may still be under way");
    assert_ne!((held(&store), reserved(&store)), before);
    node.retry();
    assert!(node.cluster.pending.is_empty());
    assert_eq!((held(&store), reserved(&store)), before);
}

#[test]
fn a_del_that_dies_at_any_request_is_finished_by_the_retry() {
    for fault in [Fault::Before, Fault::After] {
        let mut requests = 0;
        loop {
            let node = Node::on(&cluster());
            node.add(&config(), who("c", "p")).unwrap();
            node.store.die(requests, fault);
            node.del(&config(), who("c", "p"));
            let has_died = node.store.revive();
            let node = node.restarted();
            node.retry();
            let when = format!("{fault:?} request {requests}");
            assert!(node.cluster.pending.is_empty(), "{when}");
            node.del(&config(), who("first", "first"));
            assert_nothing_held(&node.store, &when);
            if !has_died {
                break;
            }
            requests += 1;
        }
        assert!(requests > 3, "{requests} requests");
    }
}

#[test]
fn a_single_lost_request_leaves_no_address_without_a_holder_who_knows_it() {
    let store = cluster();
    let before = store.count();
    Node::on(&store).add(&config(), who("c", "p")).unwrap();
    let requests = store.count() - before;
    for fault in [Fault::Before, Fault::After] {
        for lost in 0..requests {
            let store = cluster();
            let node = Node::on(&store);
            store.fail(lost, fault);
            let given = node.add(&config(), who("c", "p"));
            if let Ok(given) = &given {
                node.check(&config(), who("c", "p"), given).unwrap();
                node.del(&config(), who("c", "p"));
            }
            node.del(&config(), who("first", "first"));
            node.retry();
            assert_nothing_held(&store, &format!("{fault:?} request {lost}: {given:?}"));
        }
    }
}
