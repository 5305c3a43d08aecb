//! Claims: races, exhaustion, requested addresses, both families.

use std::collections::BTreeSet;

use super::*;

#[test]
fn a_warm_add_makes_no_request() {
    let api = Arc::new(MemoryPools::default());
    let (node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/16", "/24"));
    node.add(&spec, 0).unwrap();
    let cold = api.count();
    assert_eq!(cold, 6, "get, create, claim, and three lists: {:?}", api.requests());
    for at in 1..=100 {
        node.add(&spec, at).unwrap();
        assert_eq!(node.del(at), 1);
    }
    assert_eq!(api.count(), cold);
    assert_eq!(node.slices.counters().allocated.get(), 101);
    assert_eq!(node.slices.counters().waited.get(), 1);
}

#[test]
fn both_families_are_claimed_together_and_given_together() {
    let api = Arc::new(MemoryPools::default());
    let node = Node::new(&api, "a");
    let v6 = PoolSpec { name: "net-fd00---64".into(), ..spec("fd00::/64", "/24") };
    let wishes = [spec("10.0.0.0/16", "/24"), v6].map(|spec| Wish { spec, wanted: None });
    let given = node.slices.acquire(&wishes, &lease(1), soon()).unwrap();
    assert!(given[0].is_ipv4() && given[1].is_ipv6());
    assert_eq!(api.count(), 2 * 3 + 3, "the lists are read once: {:?}", api.requests());
    assert_eq!(node.slices.acquire(&wishes, &lease(1), soon()).unwrap(), given);
    assert_eq!(node.slices.held_by("container-1", "net1"), given);
    assert_eq!(node.del(1), 2);
    let twice = [wishes[0].clone(), wishes[0].clone()];
    assert!(node.slices.acquire(&twice, &lease(1), soon()).unwrap_err().msg.contains("twice"));
}

#[test]
fn where_one_range_is_full_nothing_is_kept_of_the_other() {
    let api = Arc::new(MemoryPools::default());
    let (node, other) = (Node::new(&api, "a"), Node::new(&api, "b"));
    let full = PoolSpec { name: "full".into(), ..spec("10.9.0.0/24", "/24") };
    other.add(&full, 1).unwrap();
    let wishes = [spec("10.0.0.0/16", "/24"), full].map(|spec| Wish { spec, wanted: None });
    node.slices.acquire(&wishes, &lease(1), soon()).unwrap_err();
    assert!(node.slices.held_by("container-1", "net1").is_empty());
}

#[test]
fn a_full_range_says_who_holds_it() {
    let api = Arc::new(MemoryPools::default());
    let (node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/28", "/30"));
    for at in 0..14 {
        node.add(&spec, at).unwrap();
    }
    let error = node.add(&spec, 14).unwrap_err();
    assert_eq!(error.code, plexus_cni::Code::RangeExhausted);
    assert!(
        error.msg.contains("14 of 14 addresses in 4") && error.details.contains("node a (this one) with 4"),
        "{error}"
    );
    assert_eq!(node.slices.status(std::slice::from_ref(&spec), soon()).unwrap_err().code, error.code);
    let count = api.count();
    node.slices.status(std::slice::from_ref(&spec), soon()).unwrap_err();
    assert_eq!(api.count(), count, "the failure is repeated for a while");
    node.del(3);
    node.slices.status(std::slice::from_ref(&spec), soon()).unwrap();
    node.add(&spec, 14).unwrap();
}

#[test]
fn a_requested_address_is_given_from_ours_or_from_a_free_slice_only() {
    let api = Arc::new(MemoryPools::default());
    let (node, other, spec) = (Node::new(&api, "a"), Node::new(&api, "b"), spec("10.0.0.0/16", "/24"));
    let wanted =
        |node: &Node, at, text| node.add_wanted(&spec, at, Some(text)).map(|given| given.to_string());
    assert_eq!(wanted(&node, 1, "10.0.7.9").unwrap(), "10.0.7.9");
    let count = api.count();
    assert_eq!(wanted(&node, 2, "10.0.7.200").unwrap(), "10.0.7.200");
    assert_eq!(api.count(), count, "it is our slice");
    assert!(wanted(&node, 3, "10.0.7.9").unwrap_err().details.contains("pod default/pod-1"));
    assert!(wanted(&other, 4, "10.0.7.10").unwrap_err().details.contains("node a's"));
    assert!(wanted(&other, 4, "10.0.0.0").unwrap_err().to_string().contains("10.0.0.0 cannot be given"));
    assert!(wanted(&other, 4, "10.1.0.1").unwrap_err().details.contains("no slice"));
    // The same interface asks for another one than it has: it keeps one only.
    assert_eq!(wanted(&node, 2, "10.0.7.201").unwrap(), "10.0.7.201");
    assert_eq!((node.del(2), node.usage().used), (1, 1));
}

#[test]
fn sixteen_nodes_at_once_never_give_an_address_twice() {
    for seed in 0..4_u8 {
        let api = Arc::new(MemoryPools::with_latency(Duration::from_micros(200)));
        let spec = spec("10.0.0.0/20", "/26");
        let nodes: Vec<Node> = (0..16).map(|at| Node::new(&api, &format!("node-{seed}-{at}"))).collect();
        let given: Vec<IpAddr> = std::thread::scope(|scope| {
            let work = nodes.iter().enumerate().flat_map(|(at, node)| {
                let spec = &spec;
                (0..2).map(move |half| {
                    scope.spawn(move || {
                        let pods = (0..80).map(|pod| node.add(spec, (at * 2 + half) * 1000 + pod).unwrap());
                        pods.collect::<Vec<_>>()
                    })
                })
            });
            let work: Vec<_> = work.collect();
            work.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let distinct: BTreeSet<IpAddr> = given.iter().copied().collect();
        assert_eq!((given.len(), distinct.len()), (16 * 160, 16 * 160), "seed {seed}");
        for node in &nodes {
            assert_eq!(node.usage().slices, claimed_by(&api, &node.name), "{}", node.name);
        }
    }
}

#[test]
fn an_object_of_another_range_is_refused_and_one_that_is_cut_otherwise_is_used() {
    let api = Arc::new(MemoryPools::default());
    let node = Node::new(&api, "a");
    node.add(&spec("10.0.0.0/16", "/24"), 1).unwrap();
    let other = Node::new(&api, "b");
    let error = other.add(&spec("10.1.0.0/16", "/24"), 2).unwrap_err();
    assert!(error.msg.contains("10.0.0.0/16") && error.details.contains("network_name"), "{error}");
    other.add(&spec("10.0.0.0/16", "/28"), 2).unwrap();
    assert_eq!(other.usage().capacity, 256);
}
