//! plexusd is killed by SIGKILL at every step of an ADD: after its restart a DEL leaves nothing.

use serde_json::{Value, json};

use crate::support::crash::{STEPS_MAX, begin, dies, kill_at_every_step, start};
use crate::support::{Node, fastpath, macvlan, meta, succeeded, with};

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

#[test]
fn c057_c161_sigkill_at_each_step_of_a_tap_leaves_nothing() {
    let tap = json!({
        "cniVersion": "1.1.0", "name": "machine", "type": "tap", "mtu": 1400, "mac": "02:00:00:00:00:07",
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}]]},
    });
    kill_at_every_step(|_| {}, "", &tap, 10);
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
