//! Random lives of a small cluster: no address has two holders, and in the end none is lost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::plan::LAST_KEPT;
use super::*;
use crate::lab::pool_store::Fault;

#[derive(Clone, Debug)]
enum Step {
    Add(usize, usize),
    Del(usize, usize),
    Restart(usize),
    /// The claimer looks, this many minutes later.
    Look(usize, u64),
    /// A request from now is lost.
    Lose(usize, bool),
    /// The API server is away for the next step.
    Away,
}

const NODES: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..NODES, 0..40_usize).prop_map(|(node, pod)| Step::Add(node, pod)),
        4 => (0..NODES, 0..40_usize).prop_map(|(node, pod)| Step::Del(node, pod)),
        1 => (0..NODES).prop_map(Step::Restart),
        2 => (0..NODES, 0..30_u64).prop_map(|(node, minutes)| Step::Look(node, minutes)),
        1 => (0..6_usize, any::<bool>()).prop_map(|(nth, is_before)| Step::Lose(nth, is_before)),
        1 => Just(Step::Away),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_address_has_two_holders_and_none_is_lost(steps in proptest::collection::vec(step(), 1..80)) {
        let api = Arc::new(MemoryPools::default());
        let spec = spec("10.0.0.0/26", "/29");
        let mut nodes: Vec<Node> = (0..NODES).map(|at| Node::new(&api, &format!("node-{at}"))).collect();
        let mut held: BTreeMap<(usize, usize), IpAddr> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(node, pod) => {
                    let wish = Wish { spec: spec.clone(), wanted: None };
                    let deadline = Instant::now() + Duration::from_millis(60);
                    match nodes[node].slices.acquire(&[wish], &lease(node * 1000 + pod), deadline) {
                        Ok(given) => {
                            let before = held.insert((node, pod), given[0]);
                            prop_assert!(before.is_none_or(|before| before == given[0]));
                        }
                        Err(error) => prop_assert!(!held.contains_key(&(node, pod)), "{}", error),
                    }
                }
                Step::Del(node, pod) => {
                    let freed = nodes[node].del(node * 1000 + pod);
                    prop_assert_eq!(freed, usize::from(held.remove(&(node, pod)).is_some()));
                }
                Step::Restart(node) => nodes[node].restart(),
                Step::Look(node, minutes) => nodes[node].look(Duration::from_mins(minutes)),
                Step::Lose(nth, is_before) => api.fail(nth, if is_before { Fault::Before } else { Fault::After }),
                Step::Away => {
                    api.die(0, Fault::Before);
                    nodes[0].look(Duration::from_mins(20));
                    api.revive();
                }
            }
            let mut holders = BTreeMap::new();
            for (holder, address) in &held {
                prop_assert!(holders.insert(address, holder).is_none(), "{} has two holders", address);
            }
        }
        for (node, pod) in held.into_keys().collect::<Vec<_>>() {
            prop_assert_eq!(nodes[node].del(node * 1000 + pod), 1);
        }
        for round in 1..16 {
            for node in &mut nodes {
                node.look(LAST_KEPT * 2 * round);
            }
        }
        if let Some(pool) = api.content().slice_pools.get("net") {
            let lost: Vec<&Slice> = pool.slices.iter().filter(|slice| !slice.node.is_empty()).collect();
            prop_assert!(lost.is_empty(), "{:?}", lost);
        }
    }
}
