//! Ranges that overlap: what others hold is kept out.

use super::*;
use crate::cluster::{Allocation, IpPool, Reservation, SlicePool};

fn allocation() -> Allocation {
    Allocation { id: "c".into(), podref: "default/classic".into(), ifname: "net1".into() }
}

fn classic(api: &MemoryPools, offsets: std::ops::Range<u128>) {
    api.edit(|content| {
        let pool = IpPool {
            name: "10.0.0.0-24".into(),
            range: "10.0.0.0/24".into(),
            allocations: offsets.map(|offset| (offset, allocation())).collect(),
            ..IpPool::default()
        };
        content.pools.insert(pool.name.clone(), pool);
    });
}

#[test]
fn what_classic_allocations_hold_is_not_given_and_is_given_once_it_is_free() {
    let api = Arc::new(MemoryPools::default());
    let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/28", "/28"));
    classic(&api, 1..10);
    api.edit(|content| {
        let name = "10.0.0.12".to_owned();
        content.reservations.insert(name.clone(), Reservation { name, ..Reservation::default() });
    });
    let given: Vec<String> = (0..4).map(|at| node.add(&spec, at).unwrap().to_string()).collect();
    assert_eq!(given, ["10.0.0.10", "10.0.0.11", "10.0.0.13", "10.0.0.14"]);
    node.add(&spec, 4).unwrap_err();
    node.restart();
    node.add(&spec, 4).unwrap_err();
    classic(&api, 1..9);
    node.look(Duration::from_hours(1));
    assert_eq!(node.add(&spec, 4).unwrap().to_string(), "10.0.0.9");
}

#[test]
fn a_slice_that_overlaps_a_pool_serves_once_everybody_there_knows_of_it() {
    let api = Arc::new(MemoryPools::default());
    let mut node = Node::new(&api, "a");
    node.slices.settle = Duration::from_millis(50);
    classic(&api, 1..2);
    // An agent that did not see the claim takes two more after the first look.
    api.before(6, |content| {
        let pool = content.pools.get_mut("10.0.0.0-24").unwrap();
        pool.allocations.extend([(2, allocation()), (3, allocation())]);
    });
    assert_eq!(node.add(&spec("10.0.0.0/28", "/28"), 1).unwrap().to_string(), "10.0.0.4");
    assert_eq!(api.count(), 9, "{:?}", api.requests());
    let wish = Wish { spec: PoolSpec { name: "late".into(), ..spec("10.0.0.0/27", "/28") }, wanted: None };
    let outcome = node.slices.acquire(&[wish], &lease(2), Instant::now() + Duration::from_millis(40));
    assert_eq!(outcome.unwrap_err().code, plexus_cni::Code::TryAgain);
}

#[test]
fn a_slice_that_others_hold_altogether_is_given_back() {
    let api = Arc::new(MemoryPools::default());
    let (node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/27", "/28"));
    classic(&api, 0..16);
    for at in 0..15 {
        assert!(node.add(&spec, at).unwrap() >= "10.0.0.16".parse::<IpAddr>().unwrap());
    }
    assert_eq!(claimed_by(&api, "a"), 1);
    assert_eq!(node.add(&spec, 15).unwrap_err().code, plexus_cni::Code::RangeExhausted);
}

#[test]
fn a_slice_of_another_pool_that_a_node_has_is_avoided_whoever_came_first() {
    let api = Arc::new(MemoryPools::default());
    let node = Node::new(&api, "a");
    let slices =
        ["10.0.0.0/25", "10.0.0.128/25"].map(|range| Slice { node: "b".into(), range: range.into() });
    let rival = SlicePool {
        name: "rival".into(),
        range: "10.0.0.0/24".into(),
        slices: slices.to_vec(),
        ..SlicePool::default()
    };
    // The rival claims right after this node, before it looks.
    api.before(3, move |content| drop(content.slice_pools.insert("rival".into(), rival)));
    let spec = spec("10.0.0.0/23", "/24");
    let given = node.add_wanted(&spec, 1, Some("10.0.0.7")).unwrap_err();
    assert!(given.details.contains("no address of slice 10.0.0.0/24"), "{given}");
    assert!(node.add(&spec, 1).unwrap() >= "10.0.1.0".parse::<IpAddr>().unwrap());
    assert_eq!(claimed_by(&api, "a"), 1);
}

#[test]
fn without_enable_overlapping_ranges_nobody_else_is_asked() {
    let api = Arc::new(MemoryPools::default());
    let node = Node::new(&api, "a");
    classic(&api, 1..10);
    let spec = PoolSpec { checks_overlaps: false, ..spec("10.0.0.0/28", "/28") };
    assert_eq!(node.add(&spec, 1).unwrap().to_string(), "10.0.0.1");
    assert_eq!(api.count(), 3);
}
