//! plexusd killed by SIGKILL at a chosen step of an ADD.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};

use plexus_agent::lab::{DaemonSetup, Pod, Runtime};
use serde_json::Value;

use super::{Node, succeeded, wait};

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
pub(crate) fn kill_at_every_step(prepare: impl Fn(&Node), networks: &str, config: &Value, least_steps: u32) {
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
