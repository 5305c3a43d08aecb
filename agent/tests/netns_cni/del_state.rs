//! DEL after pieces of the state were lost.

use std::fs;

use plexus_agent::lab::leftovers::{Inventory, Kind};
use serde_json::Value;

use crate::support::{Node, fastpath, macvlan, meta, succeeded};

/// The files that an attachment made: records, leases, pins.
fn files(node: &Node, before: &Inventory) -> Vec<String> {
    let since = Inventory::take(&node.host).unwrap().since(before).into_iter();
    let of_interest = |kind| matches!(kind, Kind::Lease | Kind::Pin | Kind::File);
    since.filter(|thing| of_interest(thing.kind)).map(|thing| thing.name).collect()
}

/// Loses each file of an attachment in turn, with plexusd running on or restarted.
fn lose_each_file(config: &Value, is_restarted: bool) {
    let Some(mut node) = Node::start() else { return };
    let before = Inventory::take(&node.host).unwrap();
    let pod = node.known_pod("a", "");
    succeeded(&node.add(&pod, "eth0", config));
    let mut seen = files(&node, &before);
    succeeded(&node.del(&pod, "eth0", config));
    // Maps stay for the next plexusd; they are files of its state, too.
    seen.extend(Inventory::take(&node.host).unwrap().of(Kind::Pin).map(|pin| pin.name.clone()));
    assert!(seen.len() > 4, "{seen:?}");
    for at in 0..seen.len() {
        succeeded(&node.add(&pod, "eth0", config));
        // Port numbers and addresses move on, so the files are named anew each time.
        let mut present = files(&node, &before);
        present.extend(Inventory::take(&node.host).unwrap().of(Kind::Pin).map(|pin| pin.name.clone()));
        let Some(lost) = present.get(at) else { break };
        if is_restarted {
            node.plexusd.kill().unwrap();
        }
        fs::remove_file(lost).unwrap();
        if is_restarted {
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
