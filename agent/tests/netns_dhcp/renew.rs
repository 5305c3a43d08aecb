//! What happens to a lease afterwards.

use std::net::IpAddr;
use std::time::Duration;

use plexus_agent::lab::ping::ping;
use serde_json::json;

use crate::node::{Node, OTHER_RANGE, SOON, address, addresses, macvlan, within};

#[test]
fn a_lease_is_extended_at_t1_by_its_server_alone() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&SOON);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    let discovers = server.said("DHCPDISCOVER");
    assert!(within(30, || server.said("DHCPACK") >= 4), "{}", server.log());
    assert_eq!(server.said("DHCPDISCOVER"), discovers, "nothing was searched anew");
    assert!(server.leases().iter().all(|lease| lease[2] == given));
    node.del(&pod, "net1", &config);
    assert!(within(5, || server.leases().is_empty()), "{}", server.log());
    let acks = server.said("DHCPACK");
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(server.said("DHCPACK"), acks, "what was given back is not renewed");
}

#[test]
fn a_server_that_is_away_for_a_while_is_waited_for() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&SOON);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    drop(server);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(addresses(&pod.netns, "net1"), [format!("{given}/24")], "the address stays");
    assert!(ping(&pod.netns, IpAddr::from([10, 88, 0, 1]), 1).unwrap().all_answered());
    let server = node.server(&SOON);
    let acks = server.said("DHCPACK");
    assert!(within(60, || server.said("DHCPACK") > acks), "{}\n{}", server.log(), node.plexusd.log_tail());
    assert_eq!(addresses(&pod.netns, "net1"), [format!("{given}/24")]);
    node.del(&pod, "net1", &config);
}

#[test]
fn after_a_refusal_the_interface_gets_another_address() {
    let Some(node) = Node::start_or_skip() else { return };
    let router = "--dhcp-option=option:router,10.88.0.1";
    let server = node.server(&[SOON[0], SOON[1], router]);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let result = node.add(&pod, "net1", &config);
    assert!(address(&result).as_str() < "10.88.0.51");
    let server = server.replace_by(OTHER_RANGE, &[SOON[0], SOON[1], router]);
    let is_other = || {
        let found = addresses(&pod.netns, "net1");
        found.len() == 1 && found[0].starts_with("10.88.0.1") && found[0].len() == "10.88.0.100/24".len()
    };
    assert!(
        within(40, is_other),
        "{:?}\n{}\n{}",
        addresses(&pod.netns, "net1"),
        server.log(),
        node.plexusd.log_tail()
    );
    assert!(server.said("DHCPNAK") > 0, "{}", server.log());
    let default_route = || pod.netns.run("ip", &["route", "show", "default"]).unwrap().stdout;
    assert!(within(5, || default_route().contains("via 10.88.0.1 ")), "{}", default_route());
    assert!(ping(&pod.netns, IpAddr::from([10, 88, 0, 1]), 1).unwrap().all_answered());
    assert!(node.plexusd.log_tail().contains("an address has changed"), "{}", node.plexusd.log_tail());
    node.del(&pod, "net1", &config);
    assert!(within(5, || server.leases().is_empty()), "{}", server.log());
}

#[test]
fn a_lease_outlives_the_agent_and_is_confirmed_at_its_start() {
    let Some(mut node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    for is_crash in [true, false] {
        let requests = server.said("DHCPREQUEST");
        if is_crash {
            node.plexusd.kill().unwrap();
        } else {
            node.plexusd.stop().unwrap();
        }
        node.plexusd.restart().unwrap();
        assert!(within(10, || server.said("DHCPREQUEST") > requests), "{}", server.log());
        assert!(server.has_leased(&given));
    }
    assert_eq!(server.said("DHCPDISCOVER"), server.said("DHCPOFFER"));
    assert_eq!(addresses(&pod.netns, "net1"), [format!("{given}/24")]);
    node.del(&pod, "net1", &config);
    assert!(within(5, || !server.has_leased(&given)), "{}", server.log());
}

#[test]
fn a_del_while_no_agent_is_there_gives_the_lease_back_later() {
    let Some(mut node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    node.plexusd.kill().unwrap();
    node.del(&pod, "net1", &config);
    assert!(server.has_leased(&given));
    node.plexusd.restart().unwrap();
    assert!(within(10, || !server.has_leased(&given)), "{}\n{}", server.log(), node.plexusd.log_tail());
    assert!(within(5, || node.lease_files().is_empty()));
}

#[test]
fn the_old_address_is_refused_at_the_start_if_the_network_has_another_range_now() {
    let Some(mut node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    node.plexusd.kill().unwrap();
    let server = server.replace_by(OTHER_RANGE, &[]);
    node.plexusd.restart().unwrap();
    let has_other = || addresses(&pod.netns, "net1").iter().any(|found| *found != format!("{given}/24"));
    assert!(within(30, has_other), "{}\n{}", server.log(), node.plexusd.log_tail());
    assert_eq!(addresses(&pod.netns, "net1").len(), 1);
    node.del(&pod, "net1", &config);
}
