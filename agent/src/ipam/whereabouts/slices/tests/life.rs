//! The life of slices: taken ahead, given back, lost, taken in.

use super::super::plan::{EMPTY_KEPT, LAST_KEPT};
use super::*;

const NOW: Duration = Duration::ZERO;

#[test]
fn a_slice_is_taken_ahead_so_that_no_add_waits() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/28"));
    for at in 0..200 {
        node.add(&spec, at).unwrap();
        node.look(NOW);
    }
    assert_eq!(node.slices.counters().waited.get(), 1, "only the first one");
    let slices = node.usage().slices;
    assert!((13..=18).contains(&slices), "{slices}");
}

#[test]
fn empty_slices_are_given_back_and_the_last_one_with_its_file_in_the_end() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/24", "/28"));
    for at in 0..60 {
        node.add(&spec, at).unwrap();
    }
    let before = claimed_by(&api, "a");
    assert!(before >= 4);
    for at in 9..60 {
        node.del(at);
    }
    node.look(NOW);
    assert_eq!(claimed_by(&api, "a"), before, "pods that restart find their slices");
    node.look(EMPTY_KEPT * 2);
    assert_eq!((claimed_by(&api, "a"), node.usage().slices), (2, 2));
    for at in 0..9 {
        node.del(at);
    }
    node.look(EMPTY_KEPT * 2);
    assert_eq!(claimed_by(&api, "a"), 1);
    node.look(LAST_KEPT * 2);
    node.look(LAST_KEPT * 3);
    assert_eq!(claimed_by(&api, "a"), 0);
    assert_eq!(fs::read_dir(node.dir.path()).unwrap().count(), 0);
    let count = api.count();
    node.look(LAST_KEPT * 4);
    assert_eq!(api.count(), count, "a pool without anything costs nothing");
    node.add(&spec, 1).unwrap();
}

#[test]
fn after_a_restart_one_look_confirms_the_slices_and_leases_are_there() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/24"));
    let first = node.add(&spec, 1).unwrap();
    node.restart();
    let count = api.count();
    assert_eq!(node.add(&spec, 1).unwrap(), first, "a second ADD has the same address");
    assert_eq!(api.count(), count);
    assert_ne!(node.add(&spec, 2).unwrap(), first);
    assert_eq!(api.count(), count + 1, "{:?}", api.requests());
    assert_eq!(claimed_by(&api, "a"), 1);
    node.restart();
    node.look(NOW);
    let count = api.count();
    node.add(&spec, 3).unwrap();
    assert_eq!(api.count(), count, "the claimer has looked");
    assert_eq!((node.del(1), node.del(1)), (1, 0));
}

#[test]
fn nothing_is_given_from_a_slice_that_another_node_has_by_now() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/23", "/24"));
    let first = node.add(&spec, 1).unwrap();
    let range = node.slices.views()[0].slices[0].0.to_string();
    assign(&api, &range, "thief");
    node.look(Duration::from_hours(1));
    assert_eq!(node.slices.counters().lost.get(), 1);
    let second = node.add(&spec, 2).unwrap();
    let lost: ipnet::IpNet = range.parse().unwrap();
    assert!(lost.contains(&first) && !lost.contains(&second));
    node.restart();
    assert!(!lost.contains(&node.add(&spec, 3).unwrap()), "nor after a restart");
    node.del(1);
    node.look(Duration::from_hours(2));
    assert_eq!(node.slices.views()[0].slices.len(), 1, "without a lease it is forgotten");
}

#[test]
fn a_slice_in_use_that_was_freed_because_the_node_was_gone_is_taken_again() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/24"));
    node.add(&spec, 1).unwrap();
    let range = node.slices.views()[0].slices[0].0.to_string();
    assign(&api, &range, "");
    node.look(Duration::from_hours(1));
    assert_eq!(claimed_by(&api, "a"), 1);
    assert_eq!(node.slices.views()[0].slices, [(range.parse().unwrap(), true)]);
    assert_eq!(node.slices.counters().lost.get(), 0);
}

#[test]
fn slices_that_a_controller_assigned_are_taken_in() {
    let api = Arc::new(MemoryPools::default());
    let (node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/24"));
    Node::new(&api, "maker").add(&spec, 0).unwrap();
    let content = api.content();
    let free = content.slice_pools["net"].slices.iter().find(|slice| slice.node.is_empty()).unwrap();
    assign(&api, &free.range, "a");
    let given = node.add(&spec, 1).unwrap();
    assert!(free.range.parse::<ipnet::IpNet>().unwrap().contains(&given));
    assert_eq!(claimed_by(&api, "a"), 1);
}

#[test]
fn without_the_api_server_warm_adds_and_all_dels_work() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/28"));
    node.add(&spec, 1).unwrap();
    api.die(0, crate::lab::pool_store::Fault::Before);
    let room = usize::try_from(node.usage().capacity).unwrap() - 1;
    for at in 2..2 + room {
        node.add(&spec, at).unwrap();
    }
    node.look(NOW);
    assert_eq!(node.del(5), 1);
    node.add(&spec, 5).unwrap();
    let wish = Wish { spec: spec.clone(), wanted: None };
    let error =
        node.slices.acquire(&[wish], &lease(99), Instant::now() + Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.code, plexus_cni::Code::TryAgain);
    assert!(error.msg.contains("NodeSlicePool net"), "{error}");
    api.revive();
    node.add(&spec, 99).unwrap();
}

#[test]
fn gc_frees_what_is_not_valid_of_its_network_only() {
    let api = Arc::new(MemoryPools::default());
    let (node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/24"));
    node.add(&spec, 1).unwrap();
    node.add(&spec, 2).unwrap();
    let elsewhere = Lease { network: "elsewhere".into(), ..lease(3) };
    let wish = Wish { spec, wanted: None };
    node.slices.acquire(&[wish], &elsewhere, soon()).unwrap();
    assert_eq!(node.slices.collect("net", &[("container-2".into(), "net1".into())]).unwrap(), 1);
    assert_eq!((node.del(1), node.del(2), node.del(3)), (0, 1, 1));
}

#[test]
fn leases_are_made_what_the_records_say() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/24"));
    let kept = node.add(&spec, 1).unwrap();
    let orphan = node.add(&spec, 2).unwrap();
    let lost = node.add(&spec, 3).unwrap();
    node.del(3);
    node.restart();
    let held = |at, addresses: &[IpAddr]| Held {
        lease: lease(at),
        addresses: addresses.to_vec(),
        specs: vec![spec.clone()],
    };
    node.slices.repair(&[held(1, &[kept]), held(3, &[lost]), held(4, &[kept]), held(5, &[])]).unwrap();
    let leases = node.slices.views().remove(0).leases;
    assert_eq!(leases.into_iter().collect::<Vec<_>>(), [(kept, lease(1)), (lost, lease(3))]);
    assert!(node.slices.held_by("container-2", "net1").is_empty(), "{orphan} is free");
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside_and_its_slices_are_taken_in_again() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/24"));
    let kept = node.add(&spec, 1).unwrap();
    fs::write(node.dir.path().join("net.slices"), "nonsense\n").unwrap();
    node.restart();
    assert!(node.dir.path().join("net.unreadable").exists());
    let record = Held { lease: lease(1), addresses: vec![kept], specs: vec![spec.clone()] };
    node.slices.repair(&[record]).unwrap();
    assert_ne!(node.add(&spec, 2).unwrap(), kept);
    assert_eq!(claimed_by(&api, "a"), 1);
}

#[test]
fn the_threads_take_ahead_and_end_with_their_owner() {
    let api = Arc::new(MemoryPools::default());
    let (node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/28"));
    let slices = Arc::new(node.slices);
    Slices::start(&slices).unwrap();
    for at in 0..13 {
        slices.acquire(&[Wish { spec: spec.clone(), wanted: None }], &lease(at), soon()).unwrap();
    }
    while claimed_by(&api, "a") < 2 {
        assert!(Instant::now() < soon());
        std::thread::sleep(Duration::from_millis(5));
    }
    let weak = Arc::downgrade(&slices);
    slices.bell.ring();
    drop(slices);
    let deadline = soon();
    while weak.upgrade().is_some() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(5));
    }
}
