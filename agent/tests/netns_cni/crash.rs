//! plexusd is killed by SIGKILL at every step of an ADD: after its restart a DEL leaves nothing.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use plexus_agent::lab::{DaemonSetup, Pod, Runtime};
use serde_json::{Value, json};

use crate::support::{Node, fastpath, macvlan, meta, succeeded, wait, with};

/// More steps than any ADD has.
pub(crate) const STEPS_MAX: u32 = 200;

/// Starts plexusd anew, so that it dies at the step `at` of an ADD.
pub(crate) fn start(node: &mut Node, at: Option<u32>) {
    node.plexusd.kill().unwrap();
    let mut setup: DaemonSetup = node.plexusd.setup().clone();
    setup.variables = at.map(|at| ("PLEXUS_FAULT_AFTER".to_owned(), at.to_string())).into_iter().collect();
    node.plexusd = setup.start().unwrap();
}

/// An ADD that runs on its own.
pub(crate) fn begin(runtime: &Runtime, pod: &Pod, config: &Value) -> Child {
    let mut child = Command::new(&runtime.plugin)
        .envs([("CNI_COMMAND", "ADD"), ("CNI_IFNAME", "eth0"), ("CNI_CONTAINERID", &pod.container_id)])
        .env("CNI_NETNS", pod.netns.path())
        .env("CNI_ARGS", pod.cni_args())
        .env("CNI_PATH", &runtime.path)
        .envs(runtime.variables.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    child
}

/// Waits until plexusd is dead (true) or the ADD has succeeded.
pub(crate) fn dies(node: &mut Node, adding: &mut Child) -> bool {
    wait::until("plexusd dies or the ADD ends", || {
        let added = adding.try_wait().unwrap();
        if added.is_some_and(|end| end.success()) {
            return Some(false);
        }
        // The shim may hear of plexusd's death before its parent does.
        let patience_ms = if added.is_some() { 10_000 } else { 1 };
        let Ok(end) = node.plexusd.wait_until_ended(patience_ms) else {
            assert!(added.is_none(), "the ADD failed: {}", node.plexusd.log_tail());
            return None;
        };
        assert_eq!(end.signal(), Some(9), "{}", node.plexusd.log_tail());
        Some(true)
    })
}

/// Kills plexusd after each step of an ADD in turn, and the shim with it; then one DEL has to be enough.
fn kill_at_every_step(prepare: impl Fn(&Node), networks: &str, config: &Value, least_steps: u32) {
    let Some(mut node) = Node::start() else { return };
    prepare(&node);
    let pod = node.known_pod("a", networks);
    for at in 1..STEPS_MAX {
        // Only an ADD counts its steps, so the plexusd that serves the DEL is the one that dies in the next ADD.
        start(&mut node, Some(at));
        succeeded(&node.del(&pod, "eth0", config));
        assert_eq!(node.leftovers(), Vec::<String>::new(), "after step {}", at - 1);
        node.assert_clean(&[&pod]);
        let mut adding = begin(&node.runtime, &pod, config);
        if !dies(&mut node, &mut adding) {
            assert!(at > least_steps, "an ADD has only {} steps", at - 1);
            succeeded(&node.del(&pod, "eth0", config));
            node.assert_clean(&[&pod]);
            return;
        }
        adding.kill().unwrap();
        adding.wait().unwrap();
    }
    panic!("an ADD has more than {STEPS_MAX} steps");
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_macvlan_leaves_nothing() {
    kill_at_every_step(|_| {}, "", &macvlan(), 10);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_fastpath_with_vlan_leaves_nothing() {
    kill_at_every_step(|_| {}, "", &fastpath(), 15);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_bridge_leaves_nothing() {
    let bridge = json!({
        "cniVersion": "1.1.0", "name": "cluster", "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipMasq": true, "ipMasqBackend": "nftables",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}]]},
    });
    kill_at_every_step(|_| {}, "", &bridge, 10);
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_ptp_leaves_nothing() {
    let ptp = json!({
        "cniVersion": "1.1.0", "name": "p2p", "type": "ptp", "ipMasq": true,
        "ipam": {
            "type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}], [{"subnet": "fd03::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    });
    kill_at_every_step(|_| {}, "", &ptp, 15);
}

/// A pod with three networks, one of them limited.
fn three_networks(node: &Node) {
    let limited = json!({
        "cniVersion": "1.1.0", "name": "blue",
        "plugins": [fastpath(), {"type": "bandwidth", "ingressRate": 1_000_000, "egressRate": 1_000_000}],
    });
    node.network("blue", &limited);
    node.network("lan2", &with(macvlan(), "name", json!("lan2")));
}

#[test]
fn c057_c161_sigkill_at_each_step_of_a_pod_with_three_networks_leaves_nothing() {
    kill_at_every_step(three_networks, "blue,lan2", &meta(macvlan()), 30);
}

#[test]
fn c032_c042_an_add_that_is_repeated_after_a_crash_at_any_step_succeeds_once() {
    let Some(mut node) = Node::start() else { return };
    let config = fastpath();
    let pod = node.pod("a");
    for at in 1..STEPS_MAX {
        start(&mut node, Some(at));
        let mut adding = begin(&node.runtime, &pod, &config);
        let has_died = dies(&mut node, &mut adding);
        if has_died {
            start(&mut node, None);
            // The shim itself asks the new plexusd. A crash after the last step is the only one that it cannot hide.
            adding.wait().unwrap();
        }
        let records: Vec<_> = std::fs::read_dir(node.host.state_dir().join("records")).unwrap().collect();
        assert_eq!((records.len(), node.leases("blue").len()), (1, 1), "step {at}");
        let text = std::fs::read_to_string(records[0].as_ref().unwrap().path()).unwrap();
        let record: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let result = &record["attachments"][0]["result"];
        succeeded(&node.check(&pod, "eth0", &config, result));
        succeeded(&node.del(&pod, "eth0", &config));
        node.assert_clean(&[&pod]);
        if !has_died {
            return;
        }
    }
    panic!("an ADD has more than {STEPS_MAX} steps");
}
