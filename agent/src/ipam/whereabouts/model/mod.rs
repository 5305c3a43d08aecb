//! The cluster as a model: random sequences of allocating, freeing, dying and reconciling, in both modes at once.
//!
//! What containers hold is kept here, apart from what is tested. A sequence that fails is shrunk, printed, and kept with its
//! seed in `proptest-regressions`, from where it is replayed first.
#![cfg(feature = "lab")]

mod node;
mod world;

use proptest::prelude::*;

use self::world::{Loss, World};
use crate::lab::Fault;

/// Nodes at the beginning.
const NODES: usize = 3;

/// One step.
#[derive(Clone, Debug)]
enum Step {
    /// A new pod's ADD.
    Add { node: usize, is_fast: bool, loss: Option<Loss> },
    /// Another sandbox of a pod that has one: the first is gone without DEL.
    Again { which: usize, loss: Option<Loss> },
    /// DEL of a container.
    Del { which: usize, loss: Option<Loss> },
    /// A container and its pod go, and nobody remembers them: no DEL, no record.
    Vanish { which: usize },
    /// plexusd dies and is started again.
    Restart { node: usize },
    /// A node goes with all that is on it, and another one comes in its place.
    Lose { node: usize },
    /// Every agent's reconciler looks, ten minutes after the last time.
    Reconcile,
}

fn any_loss() -> impl Strategy<Value = Option<Loss>> {
    let fault = prop_oneof![Just(Fault::Before), Just(Fault::After)];
    let loss = (0_usize..8, fault, any::<bool>()).prop_map(|(nth, fault, kills)| Loss { nth, fault, kills });
    prop_oneof![3 => Just(None), 2 => loss.prop_map(Some)]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..NODES, any::<bool>(), any_loss()).prop_map(|(node, is_fast, loss)| Step::Add { node, is_fast, loss }),
        1 => (any::<usize>(), any_loss()).prop_map(|(which, loss)| Step::Again { which, loss }),
        4 => (any::<usize>(), any_loss()).prop_map(|(which, loss)| Step::Del { which, loss }),
        1 => any::<usize>().prop_map(|which| Step::Vanish { which }),
        1 => (0..NODES).prop_map(|node| Step::Restart { node }),
        1 => (0..NODES).prop_map(|node| Step::Lose { node }),
        1 => Just(Step::Reconcile),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_address_has_two_holders_and_none_is_lost(steps in proptest::collection::vec(any_step(), 1..40)) {
        let mut world = World::new(NODES);
        for step in &steps {
            match step {
                Step::Add { node, is_fast, loss } => world.add(*node, *is_fast, *loss),
                Step::Again { which, loss } => world.again(*which, *loss),
                Step::Del { which, loss } => world.del(*which, *loss),
                Step::Vanish { which } => world.vanish(*which),
                Step::Restart { node } => world.restart(*node),
                Step::Lose { node } => world.lose(*node),
                Step::Reconcile => world.reconcile(),
            }
            world.assert_held_by_objects();
        }
        world.settle();
        world.assert_nothing_lost();
    }
}
