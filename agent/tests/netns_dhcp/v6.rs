//! Leases of IPv6, alone and beside one of IPv4.

use serde_json::{Value, json};

use crate::node::{Node, addresses, bridge_the_uplink, macvlan, with, within};
use crate::server::Server;

/// A server of DHCPv6 outside, with its shortest lease; it serves IPv4 too.
fn server(node: &Node) -> Server {
    node.outside.ip(&["addr", "add", "fd00:88::1/64", "dev", "eth0", "nodad"]).unwrap();
    node.server(&[
        "--dhcp-range=fd00:88::10,fd00:88::50,64,2m",
        "--dhcp-option=option6:dns-server,[fd00:88::53]",
    ])
}

fn config(families: &[&str]) -> Value {
    macvlan(&json!({"plexus": {"families": families}}))
}

fn ips(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().split_once('/').unwrap().0.to_owned()).collect()
}

#[test]
fn an_interface_gets_a_lease_of_each_family_and_gives_both_back() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = server(&node);
    let (pod, config) = (node.host.pod("a").unwrap(), config(&["ipv4", "ipv6"]));
    let result = node.add(&pod, "net1", &config);
    let given = ips(&result);
    assert!(
        given.len() == 2 && given[0].starts_with("10.88.0.") && given[1].starts_with("fd00:88::"),
        "{result}"
    );
    assert_eq!(result["dns"]["nameservers"].as_array().unwrap().last().unwrap(), "fd00:88::53");
    assert_eq!(addresses(&pod.netns, "net1"), [format!("{}/24", given[0])]);
    let shown = pod.netns.run("ip", &["-6", "address", "show", "dev", "net1"]).unwrap().stdout;
    assert!(shown.contains(&format!("{}/128", given[1])), "{shown}");
    assert!(given.iter().all(|address| server.has_leased(address)), "{}", server.log());
    node.check(&pod, &config, &result).success().unwrap();
    assert_eq!(node.lease_files().len(), 2);
    node.del(&pod, "net1", &config);
    assert!(within(5, || server.leases().is_empty()), "{}", server.log());
    assert!(node.lease_files().is_empty());
}

#[test]
fn a_lease_of_ipv6_is_confirmed_at_the_start_and_extended_at_t1() {
    let Some(mut node) = Node::start_or_skip() else { return };
    let server = server(&node);
    let (pod, config) = (node.host.pod("a").unwrap(), config(&["ipv6"]));
    let other = node.host.pod("b").unwrap();
    let given = ips(&node.add(&pod, "net1", &config)).remove(0);
    assert_ne!(ips(&node.add(&other, "net1", &config)), [&*given]);
    let solicits = server.said("DHCPSOLICIT");
    node.plexusd.kill().unwrap();
    node.plexusd.restart().unwrap();
    assert!(within(10, || server.said("DHCPREBIND") >= 2), "{}", server.log());
    // T1 is half of the two minutes.
    assert!(within(75, || server.said("DHCPRENEW") >= 2), "{}\n{}", server.log(), node.plexusd.log_tail());
    assert_eq!(server.said("DHCPSOLICIT"), solicits, "nothing was searched anew");
    let shown = pod.netns.run("ip", &["-6", "address", "show", "dev", "net1"]).unwrap().stdout;
    assert!(shown.contains(&format!("{given}/128")), "{shown}");
    for pod in [&pod, &other] {
        node.del(pod, "net1", &config);
    }
    assert!(within(5, || server.leases().is_empty()), "{}", server.log());
}

#[test]
fn guarded_interfaces_of_fastpath_and_bridge_get_one_too() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = server(&node);
    let own = json!({"plexus": {"families": ["ipv6"]}});
    let attach = |name: &str, config: Value| {
        let (pod, config) = (node.host.pod(name).unwrap(), with(config, &own));
        let given = ips(&node.add(&pod, "net1", &config)).remove(0);
        assert!(server.has_leased(&given), "{}", server.log());
        node.del(&pod, "net1", &config);
        assert!(within(5, || server.leases().is_empty()), "{}", server.log());
    };
    attach("a", json!({"type": "fastpath", "uplink": "uplink0"}));
    bridge_the_uplink();
    attach("b", json!({"type": "bridge", "bridge": "br-test"}));
}

#[test]
fn without_a_server_of_ipv6_the_lease_of_ipv4_is_given_back_too() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let (pod, config) = (node.host.pod("a").unwrap(), config(&["ipv4", "ipv6"]));
    assert_eq!(node.runtime.add(&pod, "net1", &config).unwrap().error_code().unwrap(), 11);
    assert!(within(5, || server.leases().is_empty()), "{}", server.log());
    assert!(node.lease_files().is_empty());
    assert_eq!(pod.netns.interfaces().unwrap(), ["lo"]);
}
