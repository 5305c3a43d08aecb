//! The virtual machine itself: it is what the runner says, and its hardware works.

use std::net::{IpAddr, Ipv4Addr};

use plexus_agent::lab::link::{interface_names, ip};
use plexus_agent::lab::ping::ping;
use plexus_agent::lab::{Host, Machine, require_machine_or_skip, vm};

#[test]
fn the_kernel_is_of_the_series_that_was_asked_for() {
    if !require_machine_or_skip("the_kernel_is_of_the_series_that_was_asked_for") {
        return;
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let series = vm::series().unwrap();
    assert!(release.starts_with(&format!("{series}.")), "{release} is not of {series}");
}

#[test]
fn link_kinds_that_other_kernels_lack_can_be_made() {
    if !require_machine_or_skip("link_kinds_that_other_kernels_lack_can_be_made") {
        return;
    }
    let _host = Host::enter().unwrap();
    ip(&["link", "add", "dummy0", "type", "dummy"]).unwrap();
    ip(&["link", "add", "dummy1", "type", "dummy"]).unwrap();
    ip(&["link", "add", "macvlan0", "link", "dummy0", "type", "macvlan", "mode", "bridge"]).unwrap();
    // A parent serves either macvlan or ipvlan.
    ip(&["link", "add", "ipvlan0", "link", "dummy1", "type", "ipvlan", "mode", "l2"]).unwrap();
    ip(&["link", "add", "vlan0", "link", "dummy0", "type", "vlan", "id", "7"]).unwrap();
    ip(&["link", "add", "vrf0", "type", "vrf", "table", "10"]).unwrap();
    ip(&["link", "add", "bridge0", "type", "bridge", "vlan_filtering", "1"]).unwrap();
    ip(&["tuntap", "add", "tap0", "mode", "tap"]).unwrap();
}

#[test]
fn virtual_functions_of_both_cards_reach_each_other_in_pods() {
    if !require_machine_or_skip("virtual_functions_of_both_cards_reach_each_other_in_pods") {
        return;
    }
    let machine = Machine::enter().unwrap();
    let mut pods = Vec::new();
    for (number, card) in (1_u8..).zip(machine.cards()) {
        let vfs = card.make_vfs(2).unwrap();
        assert_eq!(vfs.iter().map(|vf| vf.index).collect::<Vec<_>>(), [0, 1]);
        let pod = machine.host().netns_named(&format!("pod{number}")).unwrap();
        let netns = pod.path().display().to_string();
        let ifname = &vfs[1].ifname;
        ip(&["link", "set", ifname, "netns", &netns]).unwrap();
        pod.ip(&["addr", "add", &format!("192.0.2.{number}/24"), "dev", ifname]).unwrap();
        pod.ip(&["link", "set", ifname, "up"]).unwrap();
        pods.push(pod);
    }
    let [first, second] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)].map(IpAddr::V4);
    vm::wait_for_answer(&pods[0], second).unwrap();
    assert!(ping(&pods[1], first, 3).unwrap().all_answered());
}

#[test]
fn a_machine_that_was_left_is_as_it_was() {
    if !require_machine_or_skip("a_machine_that_was_left_is_as_it_was") {
        return;
    }
    let before = interface_names().unwrap();
    let machine = Machine::enter().unwrap();
    machine.cards()[0].make_vfs(1).unwrap();
    ip(&["link", "add", "left0", "type", "veth", "peer", "name", "left1"]).unwrap();
    drop(machine);
    assert_eq!(interface_names().unwrap(), before);
}
