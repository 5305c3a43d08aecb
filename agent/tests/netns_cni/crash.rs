//! plexusd is killed by SIGKILL at every step of an ADD: after its restart a DEL leaves nothing.

use std::os::unix::process::ExitStatusExt as _;

use plexus_agent::lab::{DaemonSetup, Pod};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::support::{Node, failed, fastpath, macvlan, meta, succeeded, with};

/// More steps than any ADD has.
const STEPS_MAX: u32 = 200;
/// plexusd is dead long before the shim gives up, in milliseconds.
const DEAD_WITHIN_MS: u64 = 10_000;

/// A plexusd that dies at the step `at` of an ADD; none if it is `None`.
fn restart(node: &mut Node, at: Option<u32>) {
    node.plexusd.kill().unwrap();
    let mut setup: DaemonSetup = node.plexusd.setup().clone();
    setup.variables = at.map(|at| ("PLEXUS_FAULT_AFTER".to_owned(), at.to_string())).into_iter().collect();
    node.plexusd = setup.start().unwrap();
}

/// Kills plexusd after each step of an ADD in turn; returns how many there were.
fn kill_at_every_step(networks: &str, prepare: impl Fn(&Node), config: &Value, least_steps: u32) {
    let Some(mut node) = Node::start() else { return };
    prepare(&node);
    let pod = node.known_pod("a", networks);
    for at in 1..STEPS_MAX {
        restart(&mut node, Some(at));
        let outcome = node.add(&pod, "eth0", config);
        if outcome.code == 0 {
            assert!(at > least_steps, "an ADD has only {} steps", at - 1);
            succeeded(&node.del(&pod, "eth0", config));
            node.assert_clean(&[&pod]);
            return;
        }
        failed(&outcome, Code::TryAgain);
        let end = node.plexusd.wait_until_ended(DEAD_WITHIN_MS).unwrap();
        assert_eq!(end.signal(), Some(9), "step {at}");
        restart(&mut node, None);
        after_the_crash(&node, &pod, config, at);
    }
    panic!("an ADD has more than {STEPS_MAX} steps");
}

/// Every second time the ADD comes again first, as some runtimes do it; then the DEL.
fn after_the_crash(node: &Node, pod: &Pod, config: &Value, at: u32) {
    if at.is_multiple_of(2) {
        let again = node.add(pod, "eth0", config);
        // The crash may have come after the last step: then the first ADD counts.
        assert!(again.code == 0 || failed(&again, Code::AlreadyAttached).contains("eth0"), "step {at}");
    }
    succeeded(&node.del(pod, "eth0", config));
    assert_eq!(node.leftovers(), Vec::<String>::new(), "step {at}");
    node.assert_clean(&[pod]);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_macvlan_leaves_nothing() {
    kill_at_every_step("", |_| {}, &macvlan(), 5);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_fastpath_with_vlan_leaves_nothing() {
    kill_at_every_step("", |_| {}, &fastpath(), 7);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_bridge_leaves_nothing() {
    let bridge = json!({
        "cniVersion": "1.1.0", "name": "cluster", "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipMasq": true, "ipMasqBackend": "nftables",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}]]},
    });
    kill_at_every_step("", |_| {}, &bridge, 10);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_pod_with_three_networks_leaves_nothing() {
    let prepare = |node: &Node| {
        let limited = json!({
            "cniVersion": "1.1.0", "name": "blue",
            "plugins": [fastpath(), {"type": "bandwidth", "ingressRate": 1_000_000, "egressRate": 1_000_000}],
        });
        node.network("blue", &limited);
        node.network("lan2", &with(macvlan(), "name", json!("lan2")));
    };
    kill_at_every_step("blue,lan2", prepare, &meta(macvlan()), 20);
}
