//! The process ends, or the answer is lost, at any request of a claim or a return.

use super::super::plan::{EMPTY_KEPT, LAST_KEPT};
use super::*;
use crate::lab::pool_store::Fault;

/// Every address that the nodes hold, none of them twice, and the slices that they count on, all of them theirs.
fn assert_sound(api: &MemoryPools, nodes: &[&Node]) {
    let mut seen = std::collections::BTreeSet::new();
    for node in nodes {
        for view in node.slices.views() {
            for address in view.leases.keys() {
                assert!(seen.insert(*address), "{address} is held twice");
            }
            let pool = &api.content().slice_pools[&view.name];
            for (range, _) in view.slices.iter().filter(|(_, is_confirmed)| *is_confirmed) {
                let entry = pool.slices.iter().find(|slice| slice.range == range.to_string()).unwrap();
                assert_eq!(entry.node, node.name, "{range}");
            }
        }
    }
}

#[test]
fn a_claim_that_ends_at_any_request_leaves_no_slice_behind() {
    for fault in [Fault::Before, Fault::After] {
        for nth in 0..6 {
            let api = Arc::new(MemoryPools::default());
            let (mut node, mut other) = (Node::new(&api, "a"), Node::new(&api, "b"));
            let spec = spec("10.0.0.0/27", "/28");
            api.die(nth, fault);
            let wish = Wish { spec: spec.clone(), wanted: None };
            let outcome = node.slices.acquire(&[wish], &lease(1), Instant::now() + Duration::from_millis(30));
            api.revive();
            node.restart();
            // Without a record of the ADD nothing of it counts.
            node.slices.repair(&[]).unwrap();
            for at in 0..15 {
                other.add(&spec, 100 + at).unwrap();
            }
            for at in 0..15 {
                node.add(&spec, at).unwrap();
            }
            assert_sound(&api, &[&node, &other]);
            assert_eq!(node.add(&spec, 90).unwrap_err().code, plexus_cni::Code::RangeExhausted);
            assert!(outcome.is_err() || (fault, nth) == (Fault::After, 9), "{fault:?} {nth}");
            for at in 0..200 {
                node.del(at);
                other.del(at);
            }
            for after in 1..6 {
                node.look(LAST_KEPT * (2 * after));
                other.look(LAST_KEPT * (2 * after));
            }
            assert_eq!((claimed_by(&api, "a"), claimed_by(&api, "b")), (0, 0), "{fault:?} {nth}");
        }
    }
}

#[test]
fn a_return_that_ends_at_any_request_loses_no_slice() {
    for fault in [Fault::Before, Fault::After] {
        for (nth, is_restarted) in [(0, false), (1, false), (2, false), (0, true), (1, true), (2, true)] {
            let api = Arc::new(MemoryPools::default());
            let (mut node, spec) = (Node::new(&api, "a"), spec("10.0.0.0/24", "/28"));
            for at in 0..20 {
                node.add(&spec, at).unwrap();
            }
            for at in 0..20 {
                node.del(at);
            }
            api.die(nth, fault);
            node.look(EMPTY_KEPT * 2);
            api.revive();
            if is_restarted {
                node.restart();
            }
            let other = Node::new(&api, "b");
            other.add(&spec, 100).unwrap();
            node.add(&spec, 1).unwrap();
            assert_sound(&api, &[&node, &other]);
            node.del(1);
            for after in 1..8 {
                node.look(LAST_KEPT * (2 * after));
            }
            assert_eq!(claimed_by(&api, "a"), 0, "{fault:?} {nth} {is_restarted}");
        }
    }
}
