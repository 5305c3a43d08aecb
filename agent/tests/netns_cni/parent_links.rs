//! The link that pods hang on goes down, gets another name, or goes away: CHECK says so, DEL works, others are not
//! touched, and a link that comes back serves again.

use std::time::Duration;

use plexus_agent::lab::link::ip;
use plexus_cni::Code;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::support::{Node, failed, fastpath, macvlan, succeeded, with};

fn bridge() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "cluster", "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.3.0.0/24"}]]},
    })
}

/// What the parent of each kind is called.
fn kinds() -> [(&'static str, Value); 3] {
    [("uplink1", macvlan()), ("uplink0", fastpath()), ("cni0", bridge())]
}

/// Puts the link there again, as it was at first.
fn restore(node: &Node, parent: &str) {
    if let Some(number) = parent.strip_prefix("uplink") {
        node.host.cable(parent, &node.outside, &format!("eth{number}")).unwrap();
    }
}

/// plexusd answers, and says of each other kind that all is well.
fn assert_others_work(node: &Node, parent: &str) {
    for (other, config) in kinds().into_iter().filter(|(other, _)| *other != parent) {
        let pod = node.pod(&format!("beside-{other}"));
        let result = succeeded(&node.add(&pod, "eth0", &config));
        succeeded(&node.check(&pod, "eth0", &config, &result));
        succeeded(&node.del(&pod, "eth0", &config));
        pod.netns.remove().unwrap();
    }
    assert!(node.query(&Query::Status)["portsUsed"].is_u64());
}

#[test]
fn a_parent_that_is_removed_is_named_and_its_pods_can_go() {
    for (parent, config) in kinds() {
        let Some(node) = Node::start() else { return };
        let (a, b) = (node.pod("a"), node.pod("b"));
        let results = [&a, &b].map(|pod| succeeded(&node.add(pod, "eth0", &config)));
        ip(&["link", "del", parent]).unwrap();
        let text = failed(&node.check(&a, "eth0", &config, &results[0]), Code::CheckFailed);
        assert!(text.contains(parent) || text.contains("eth0"), "{text}");
        assert_others_work(&node, parent);
        succeeded(&node.del(&a, "eth0", &config));
        let c = node.pod("c");
        if parent != "cni0" {
            // A bridge is made where it is missing.
            let refused = node.add(&c, "eth0", &config);
            assert!(refused.code != 0 && refused.stdout.contains(parent), "{}", refused.stdout);
        }
        restore(&node, parent);
        let result = succeeded(&node.add(&c, "eth0", &config));
        succeeded(&node.check(&c, "eth0", &config, &result));
        succeeded(&node.del(&b, "eth0", &config));
        succeeded(&node.check(&c, "eth0", &config, &result));
        succeeded(&node.del(&c, "eth0", &config));
        for pod in [&a, &b, &c] {
            assert_eq!(
                pod.netns.interfaces().unwrap(),
                node.plain_interfaces(),
                "{parent}: pod {}",
                pod.name
            );
        }
        node.assert_clean(&[]);
    }
}

#[test]
fn a_parent_that_is_renamed_keeps_its_pods_and_serves_again_under_its_name() {
    for (parent, config) in kinds() {
        let Some(node) = Node::start() else { return };
        let (a, b) = (node.pod("a"), node.pod("b"));
        let result = succeeded(&node.add(&a, "eth0", &config));
        for step in [
            &["link", "set", parent, "down"][..],
            &["link", "set", parent, "name", "renamed0"],
            &["link", "set", "renamed0", "up"],
        ] {
            ip(step).unwrap();
        }
        // Whether the pods still work or not, nobody panics and nobody waits.
        let checked = node.check(&a, "eth0", &config, &result);
        assert!(checked.code == 0 || checked.error_code().is_ok(), "{}", checked.stdout);
        assert_others_work(&node, parent);
        if parent != "cni0" {
            let refused = node.add(&b, "eth0", &config);
            assert!(refused.code != 0 && refused.stdout.contains(parent), "{}", refused.stdout);
        }
        succeeded(&node.del(&a, "eth0", &config));
        for step in [
            &["link", "set", "renamed0", "down"][..],
            &["link", "set", "renamed0", "name", parent],
            &["link", "set", parent, "up"],
        ] {
            ip(step).unwrap();
        }
        let result = succeeded(&node.add(&b, "eth0", &config));
        succeeded(&node.check(&b, "eth0", &config, &result));
        succeeded(&node.del(&b, "eth0", &config));
        node.assert_clean(&[&a, &b]);
    }
}

#[test]
fn a_parent_that_goes_down_and_up_keeps_its_pods() {
    for (parent, config) in kinds() {
        let Some(node) = Node::start() else { return };
        let (a, b) = (node.pod("a"), node.pod("b"));
        let result = succeeded(&node.add(&a, "eth0", &config));
        ip(&["link", "set", parent, "down"]).unwrap();
        if parent != "cni0" {
            let text = failed(&node.check(&a, "eth0", &config, &result), Code::CheckFailed);
            assert!(text.contains(parent) && text.contains("down"), "{text}");
        }
        ip(&["link", "set", parent, "up"]).unwrap();
        crate::support::wait::until("CHECK succeeds again", || {
            (node.check(&a, "eth0", &config, &result).code == 0).then_some(())
        });
        succeeded(&node.add(&b, "eth0", &config));
        for pod in [&a, &b] {
            succeeded(&node.del(pod, "eth0", &config));
        }
        node.assert_clean(&[&a, &b]);
    }
}

#[test]
fn the_reconciler_rests_while_a_parent_is_missing() {
    let Some(node) = Node::start() else { return };
    let config = with(fastpath(), "vlan", json!(0));
    let pods = ["a", "b"].map(|name| node.pod(name));
    for pod in &pods {
        succeeded(&node.add(pod, "eth0", &config));
    }
    ip(&["link", "del", "uplink0"]).unwrap();
    let lines = || std::fs::read_to_string(&node.plexusd.setup().log).unwrap().lines().count();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", node.plexusd.pid())).unwrap();
        let fields: Vec<u64> =
            stat.rsplit(')').next().unwrap().split(' ').filter_map(|field| field.parse().ok()).collect();
        // utime and stime, behind a state and ten numbers.
        fields[10] + fields[11]
    };
    let (lines_before, ticks_before) = (lines(), ticks());
    // More than one period of the reconciler.
    std::thread::sleep(Duration::from_secs(12));
    assert!(lines() - lines_before < 20, "{}", node.plexusd.log_tail());
    assert!(ticks() - ticks_before < 200, "two seconds of processor time in twelve of rest");
    for pod in &pods {
        succeeded(&node.del(pod, "eth0", &config));
    }
    restore(&node, "uplink0");
    node.assert_clean(&pods.each_ref());
}
