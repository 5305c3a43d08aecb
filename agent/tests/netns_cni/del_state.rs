//! DEL after pieces of the state were lost.

use std::fs;

use plexus_agent::lab::leftovers::{Inventory, Kind};
use serde_json::{Value, json};

use crate::support::{Node, fastpath, macvlan, meta, succeeded, with};

/// Leases, records and pins of this moment. The kernel's own files on a bpffs cannot be removed.
fn files(node: &Node) -> Vec<String> {
    let now = Inventory::take(&node.host).unwrap();
    let of_interest = [Kind::Lease, Kind::File, Kind::Pin];
    let found = of_interest.into_iter().flat_map(|kind| now.of(kind));
    found.map(|thing| thing.name.clone()).filter(|name| !name.contains(".debug")).collect()
}

/// Loses each file of an attachment in turn, with plexusd running on or killed meanwhile.
fn lose_each_file(config: &Value, is_killed: bool) {
    let Some(mut node) = Node::start() else { return };
    let pod = node.known_pod("a", "");
    for at in 0.. {
        succeeded(&node.add(&pod, "eth0", config));
        // Port numbers and addresses move on, so the files have other names each time.
        let Some(lost) = files(&node).into_iter().nth(at) else {
            assert!(at > 5, "there were only {at} files");
            return;
        };
        if is_killed {
            node.plexusd.kill().unwrap();
        }
        fs::remove_file(&lost).unwrap();
        if is_killed {
            node.plexusd.restart().unwrap();
        }
        for _ in 0..2 {
            let outcome = node.del(&pod, "eth0", config);
            assert_eq!(outcome.code, 0, "after the loss of {lost}: {}", outcome.stdout);
        }
        assert_eq!(node.leftovers(), Vec::<String>::new(), "after the loss of {lost}");
        assert!(!pod.netns.interfaces().unwrap().contains(&"eth0".into()), "after the loss of {lost}");
    }
}

#[test]
fn c077_del_of_a_macvlan_succeeds_whichever_file_is_lost() {
    lose_each_file(&macvlan(), false);
}

#[test]
fn c077_del_of_a_fastpath_succeeds_whichever_file_is_lost() {
    lose_each_file(&fastpath(), false);
}

#[test]
fn c077_del_of_a_pod_succeeds_whichever_file_is_lost() {
    lose_each_file(&meta(fastpath()), false);
}

#[test]
fn c077_del_of_a_macvlan_succeeds_whichever_file_is_lost_while_plexusd_is_away() {
    lose_each_file(&macvlan(), true);
}

#[test]
fn c077_del_of_a_fastpath_succeeds_whichever_file_is_lost_while_plexusd_is_away() {
    lose_each_file(&fastpath(), true);
}

#[test]
fn c070_del_of_what_was_never_added_leaves_what_was() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath()] {
        let pod = node.known_pod("a", "");
        let result = succeeded(&node.add(&pod, "eth0", &meta(config.clone())));
        succeeded(&node.del(&pod, "eth0", &with(config.clone(), "name", json!("never-added"))));
        succeeded(&node.check(&pod, "eth0", &meta(config.clone()), &result));
        succeeded(&node.del(&pod, "eth0", &meta(config)));
        node.assert_clean(&[&pod]);
        pod.netns.remove().unwrap();
    }
}
