//! plexusd is killed by SIGKILL while it gives a function to a pod.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use plexus_agent::lab::Pod;
use serde_json::{Value, json};

use crate::node::{Node, sriov, with};
use crate::outcome::succeeded;

/// More steps than the ADD has.
const STEPS_MAX: usize = 60;
/// Every step is walked on a real kernel's veth (`netns_cni`); here a start of plexusd takes seconds.
const STRIDE: usize = 2;
const LIMIT: Duration = Duration::from_secs(30);

/// A plexusd whose ADDs end it at a step; it serves everything else.
fn start_to_die_at(node: &mut Node, step: usize) {
    let mut setup = node.plexusd.setup().clone();
    setup.variables = vec![("PLEXUS_FAULT_AFTER".to_owned(), step.to_string())];
    node.plexusd = setup.start().unwrap();
}

/// Whether an ADD ended plexusd.
fn add_kills(node: &mut Node, pod: &Pod, config: &Value) -> bool {
    let mut adding = Command::new(&node.runtime.plugin)
        .envs([("CNI_COMMAND", "ADD"), ("CNI_IFNAME", "net1"), ("CNI_CONTAINERID", &pod.container_id)])
        .env("CNI_NETNS", pod.netns.path())
        .env("CNI_PATH", &node.runtime.path)
        .envs(node.runtime.variables.iter().cloned())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    adding.stdin.take().unwrap().write_all(config.to_string().as_bytes()).unwrap();
    let begun = Instant::now();
    let has_died = loop {
        assert!(begun.elapsed() < LIMIT, "neither plexusd nor the ADD ends: {}", node.plexusd.log_tail());
        if node.plexusd.wait_until_ended(20).is_ok() {
            break true;
        }
        if adding.try_wait().unwrap().is_some_and(|end| end.success()) {
            break false;
        }
    };
    adding.kill().ok();
    adding.wait().unwrap();
    has_died
}

#[test]
fn sigkill_at_every_second_step_loses_no_setting() {
    let Some(mut node) = Node::start() else { return };
    let vfs = node.vfs(0, 1);
    let before = node.links();
    let config =
        with(sriov(&vfs[0]), &json!({"vlan": 100, "mac": "02:00:00:00:0f:01", "mtu": 1400, "trust": "on"}));
    node.plexusd.kill().unwrap();
    start_to_die_at(&mut node, 1);
    for at in (1..STEPS_MAX).step_by(STRIDE) {
        let pod = node.pod(&format!("p{at}"));
        let has_died = add_kills(&mut node, &pod, &config);
        if has_died {
            // The one that repairs is the one that dies next: a start for each step, not two.
            start_to_die_at(&mut node, at + STRIDE);
        }
        succeeded(&node.del(&pod, &config));
        assert_eq!(node.links(), before, "after step {at}");
        assert!(node.leases().is_empty(), "after step {at}");
        if !has_died {
            assert!(at > 15, "the ADD has only {at} steps");
            return;
        }
    }
    panic!("the ADD has more than {STEPS_MAX} steps");
}
