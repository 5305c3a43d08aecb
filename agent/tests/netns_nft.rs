//! Netfilter rules in a network namespace of the test's own: they replace leftovers, and come and go alone.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking, as tests do")]

use std::process::Command;

use ipnet::IpNet;
use plexus_agent::lab::{Host, require_binary_or_skip, require_root_or_skip};
use plexus_agent::nft::{Masquerade, SpoofCheck};

/// A throw-away host, or `None` after saying why `test` cannot run.
fn host_or_skip(test: &str) -> Option<Host> {
    let can_run = require_root_or_skip(test) && require_binary_or_skip(test, "nft", "nftables");
    can_run.then(|| Host::enter().unwrap())
}

fn ruleset() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn addresses(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn masquerading_is_installed_seen_and_removed_as_often_as_one_likes() {
    let Some(_host) = host_or_skip("masquerading_is_installed_seen_and_removed_as_often_as_one_likes") else {
        return;
    };
    let both = addresses(&["10.1.0.5/24", "fd00::5/64"]);
    let masquerade = Masquerade { container_id: "c", ifname: "a;}\"", addresses: &both };
    masquerade.remove().unwrap();
    assert!(!masquerade.is_installed().unwrap());
    for _ in 0..3 {
        masquerade.install().unwrap();
        assert!(masquerade.is_installed().unwrap());
    }
    let rules = ruleset();
    assert_eq!(rules.matches("masquerade\n").count(), 1, "{rules}");
    assert_eq!(rules.matches("vmap").count(), 2, "{rules}");
    for _ in 0..3 {
        masquerade.remove().unwrap();
    }
    let rules = ruleset();
    assert!(!rules.contains("masq-") && !rules.contains("elements"), "{rules}");
    assert!(!masquerade.is_installed().unwrap());
}

#[test]
fn a_leftover_gives_its_address_up_and_its_removal_leaves_the_new_owner_alone() {
    let Some(_host) =
        host_or_skip("a_leftover_gives_its_address_up_and_its_removal_leaves_the_new_owner_alone")
    else {
        return;
    };
    let (old, new) = (addresses(&["10.1.0.5/24", "10.1.0.6/24"]), addresses(&["10.1.0.5/24"]));
    let leftover = Masquerade { container_id: "old", ifname: "net1", addresses: &old };
    let owner = Masquerade { container_id: "new", ifname: "net1", addresses: &new };
    leftover.install().unwrap();
    owner.install().unwrap();
    assert!(owner.is_installed().unwrap());
    leftover.remove().unwrap();
    leftover.remove().unwrap();
    assert!(owner.is_installed().unwrap());
    let rules = ruleset();
    assert!(!rules.contains("masq-old") && !rules.contains("10.1.0.6"), "{rules}");
    owner.remove().unwrap();
    assert_eq!(ruleset(), "");
}

#[test]
fn the_spoof_check_is_installed_replaced_and_removed() {
    let Some(_host) = host_or_skip("the_spoof_check_is_installed_replaced_and_removed") else { return };
    let check = SpoofCheck { container_id: "c", ifname: "net1", port: "veth1" };
    let later = SpoofCheck { container_id: "d", ..check };
    check.remove().unwrap();
    check.install([2, 0, 0, 0, 0, 1]).unwrap();
    check.install([2, 0, 0, 0, 0, 2]).unwrap();
    assert!(check.is_installed().unwrap());
    assert!(!ruleset().contains("02:00:00:00:00:01"));
    later.install([2, 0, 0, 0, 0, 3]).unwrap();
    check.remove().unwrap();
    assert!(later.is_installed().unwrap() && !check.is_installed().unwrap());
    later.remove().unwrap();
    later.remove().unwrap();
    assert_eq!(ruleset(), "");
}

#[test]
fn addresses_that_nobody_remembers_are_found_in_the_ruleset() {
    let Some(_host) = host_or_skip("addresses_that_nobody_remembers_are_found_in_the_ruleset") else {
        return;
    };
    let known = addresses(&["10.1.0.5/24", "10.1.0.6/24", "fd00::5/64"]);
    let installed = Masquerade { container_id: "c", ifname: "net1", addresses: &known };
    let neighbour =
        Masquerade { container_id: "c", ifname: "net10", addresses: &addresses(&["10.1.0.7/24"]) };
    installed.install().unwrap();
    neighbour.install().unwrap();
    Masquerade { addresses: &[], ..installed }.remove().unwrap();
    let rules = ruleset();
    assert!(
        !rules.contains("masq-c-net1\n") && !rules.contains("masq-c-net1 ") && !rules.contains("10.1.0.6"),
        "{rules}"
    );
    assert!(neighbour.is_installed().unwrap());
}
