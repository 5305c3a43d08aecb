//! Uplinks as on a kernel without tcx: the program stands behind a filter, among those of others.

mod bpf_rig;

use bpf_rig::{
    tc,
    world::{NETWORK, World, network},
};
use plexus_agent::datapath::{Datapath, DatapathOptions};

fn open(world: &World) -> Datapath {
    let options = DatapathOptions { tcx: false, ..world.rig.options() };
    let datapath = Datapath::open(&options).expect("open");
    world.populate(&datapath);
    datapath
}

/// The filters on the uplink's ingress, as tc lists them.
fn filters() -> String {
    tc(&["filter", "show", "dev", "uplink", "ingress"])
}

#[test]
fn pods_reach_the_outside_through_a_filter_on_the_uplink() {
    let Some(world) = World::new("pods_reach_the_outside_through_a_filter_on_the_uplink") else { return };
    let datapath = open(&world);
    let [pod, _] = &world.pods;
    pod.reaches(&world.outside, world.outside.v4());
    world.outside.reaches(pod, pod.v6());
    let state = datapath.networks().expect("networks").remove(0);
    let tc = state.hooks.iter().find(|hook| hook.name == "tc").expect("hook");
    assert!(tc.is_healthy() && tc.mode == "tc", "{tc:?}");
    assert!(tc.reason.as_ref().is_some_and(|reason| reason.contains("tcx")), "{tc:?}");
}

#[test]
fn a_new_agent_takes_over_without_touching_the_filter() {
    let Some(world) = World::new("a_new_agent_takes_over_without_touching_the_filter") else { return };
    let first = open(&world);
    let [pod, _] = &world.pods;
    pod.reaches(&world.outside, world.outside.v4());
    drop(first);
    pod.reaches(&world.outside, world.outside.v4());
    let second = open(&world);
    world.outside.reaches(pod, pod.v4());
    assert_eq!(filters().matches("direct-action").count(), 1, "{}", filters());
    second.release_unused_uplinks().expect("release");
    world.outside.reaches(pod, pod.v4());
}

#[test]
fn the_last_network_takes_our_filter_along_and_leaves_those_of_others() {
    let Some(world) = World::new("the_last_network_takes_our_filter_along_and_leaves_those_of_others") else {
        return;
    };
    tc(&["qdisc", "add", "dev", "uplink", "clsact"]);
    // Somebody's filter in the first place: it matches nothing.
    let filter = ["filter", "add", "dev", "uplink", "ingress", "prio", "1", "handle", "1", "bpf"];
    tc(&[filter.as_slice(), &["bytecode", "1,6 0 0 0", "flowid", "1:1"]].concat());
    let datapath = open(&world);
    assert!(filters().contains("flowid") && filters().contains("direct-action"), "{}", filters());
    for port in [1, 2] {
        datapath.remove_port(port).expect("port");
    }
    datapath.remove_network(NETWORK).expect("network");
    assert!(filters().contains("flowid") && !filters().contains("direct-action"), "{}", filters());
}

#[test]
fn what_a_dead_agent_left_on_an_uplink_is_found_and_removed() {
    let Some(world) = World::new("what_a_dead_agent_left_on_an_uplink_is_found_and_removed") else { return };
    let options = DatapathOptions { tcx: false, ..world.rig.options() };
    let datapath = Datapath::open(&options).expect("open");
    datapath.upsert_network(&network()).expect("network");
    // As if it had died before it wrote the network down: the maps forget it, the filter stays.
    std::fs::remove_dir_all(world.rig.bpffs()).unwrap_or_default();
    drop(datapath);
    let next = Datapath::open(&options).expect("open");
    assert!(filters().contains("direct-action"), "{}", filters());
    next.release_unused_uplinks().expect("release");
    assert!(!filters().contains("direct-action"), "{}", filters());
}
