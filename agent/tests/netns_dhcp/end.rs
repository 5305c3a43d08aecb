//! How a lease ends without a DEL: by its time, by GC, by a lost record, by an address that is somebody else's.

use plexus_cni::env::Command;
use serde_json::json;

use crate::node::{Node, SOON, address, addresses, macvlan, within};

#[test]
fn a_lease_that_ends_takes_the_address_along_and_the_servers_return_brings_another() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&SOON);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let result = node.add(&pod, "net1", &config);
    drop(server);
    // dnsmasq's shortest lease has two minutes.
    let is_bare = || addresses(&pod.netns, "net1").is_empty();
    assert!(!within(90, is_bare), "the address stays until the lease ends");
    assert!(within(60, is_bare), "{}", node.plexusd.log_tail());
    assert!(node.plexusd.log_tail().contains("LeaseLost"), "{}", node.plexusd.log_tail());
    assert_eq!(node.check(&pod, &config, &result).error_code().unwrap(), 111);
    let server = node.server(&SOON);
    assert!(within(60, || addresses(&pod.netns, "net1").len() == 1), "{}", server.log());
    let given = server.leases()[0][2].clone();
    assert_eq!(addresses(&pod.netns, "net1"), [format!("{given}/24")]);
    node.del(&pod, "net1", &config);
    assert!(within(5, || server.leases().is_empty()), "{}", server.log());
}

#[test]
fn gc_gives_back_what_the_runtime_does_not_list_and_keeps_the_rest() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let config = macvlan(&json!({}));
    let pods = ["a", "b"].map(|name| node.host.pod(name).unwrap());
    let given = pods.each_ref().map(|pod| address(&node.add(pod, "net1", &config)));
    let mut gc = config.clone();
    gc["cni.dev/valid-attachments"] = json!([{"containerID": pods[0].container_id, "ifname": "net1"}]);
    node.runtime.call(Command::Gc, &pods[0], "net1", &gc).unwrap().success().unwrap();
    assert!(within(5, || !server.has_leased(&given[1])), "{}", server.log());
    assert!(server.has_leased(&given[0]));
    assert_eq!(addresses(&pods[0].netns, "net1"), [format!("{}/24", given[0])]);
    assert_eq!(node.lease_files().len(), 1);
    node.del(&pods[0], "net1", &config);
}

#[test]
fn a_lease_whose_record_is_lost_is_given_back_at_the_start() {
    let Some(mut node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    node.plexusd.kill().unwrap();
    std::fs::remove_dir_all(node.host.state_dir().join("records")).unwrap();
    node.plexusd.restart().unwrap();
    assert!(within(10, || !server.has_leased(&given)), "{}\n{}", server.log(), node.plexusd.log_tail());
    assert!(within(5, || node.lease_files().is_empty()));
}

#[test]
fn an_address_that_another_station_uses_is_declined() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&["--dhcp-sequential-ip"]);
    node.outside.ip(&["addr", "add", "10.88.0.10/24", "dev", "eth0"]).unwrap();
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    assert_eq!(address(&node.add(&pod, "net1", &config)), "10.88.0.11", "{}", server.log());
    assert_eq!(server.said("DHCPDECLINE"), 1, "{}", server.log());
    node.del(&pod, "net1", &config);
}
