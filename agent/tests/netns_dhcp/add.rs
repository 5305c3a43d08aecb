//! ADD, CHECK, DEL and GC.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use plexus_agent::lab::ping::ping;
use serde_json::json;

use crate::node::{Node, address, addresses, bridge_the_uplink, macvlan, with, within};
use crate::server::Server;

#[test]
fn an_address_is_leased_with_routes_and_name_servers_and_given_back() {
    let Some(node) = Node::start_or_skip() else { return };
    let options = [
        "--dhcp-option=option:router,10.88.0.1",
        "--dhcp-option=option:dns-server,10.88.0.53",
        "--domain=example.org",
    ];
    let server = node.server(&options);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({"priority": 77})));
    let result = node.add(&pod, "net1", &config);
    let given = address(&result);
    assert!(given.starts_with("10.88.0."), "{result}");
    assert_eq!(result["ips"][0]["gateway"], "10.88.0.1");
    assert_eq!(result["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.88.0.1", "priority": 77}]));
    assert_eq!(result["dns"], json!({"nameservers": ["10.88.0.53"], "domain": "example.org"}));
    assert_eq!(addresses(&pod.netns, "net1"), [format!("{given}/24")]);
    assert!(ping(&pod.netns, IpAddr::from([10, 88, 0, 1]), 1).unwrap().all_answered());
    let id: Vec<String> =
        "\0sandbox-of-default-a/leased/net1".bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(server.leases()[0][4], id.join(":"), "the client identifier is the reference plugin's");
    node.check(&pod, &config, &result).success().unwrap();
    assert_eq!(node.lease_files().len(), 1);

    node.del(&pod, "net1", &config);
    assert!(within(5, || !server.has_leased(&given)), "{}", server.log());
    assert!(node.lease_files().is_empty());
    node.del(&pod, "net1", &config);
}

#[test]
fn several_attachments_on_macvlan_bridge_and_fastpath_get_an_address_each() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let pods = ["a", "b"].map(|name| node.host.pod(name).unwrap());
    let mut given = Vec::new();
    let vlan = macvlan(&json!({}));
    for pod in &pods {
        for ifname in ["net1", "net2"] {
            given.push(address(&node.add(pod, ifname, &vlan)));
        }
    }
    for pod in &pods {
        for ifname in ["net1", "net2"] {
            node.del(pod, ifname, &vlan);
        }
    }
    let fastpath = with(json!({"type": "fastpath", "uplink": "uplink0"}), &json!({}));
    let result = node.add(&pods[0], "net1", &fastpath);
    given.push(address(&result));
    assert!(
        ping(&pods[0].netns, IpAddr::from([10, 88, 0, 1]), 1).unwrap().all_answered(),
        "the guard knows it"
    );
    node.check(&pods[0], &fastpath, &result).success().unwrap();
    node.del(&pods[0], "net1", &fastpath);

    bridge_the_uplink();
    let bridge = with(json!({"type": "bridge", "bridge": "br-test"}), &json!({}));
    for pod in &pods {
        given.push(address(&node.add(pod, "net1", &bridge)));
        assert!(ping(&pod.netns, IpAddr::from([10, 88, 0, 1]), 1).unwrap().all_answered());
    }
    for pod in &pods {
        node.del(pod, "net1", &bridge);
    }
    assert_eq!(given.len(), 7);
    given[..4].sort();
    given[..4].windows(2).for_each(|pair| assert_ne!(pair[0], pair[1]));
    assert!(within(5, || server.leases().is_empty()), "{:?}", server.leases());
}

#[test]
fn options_are_provided_and_requested_as_configured() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&["--dhcp-option=42,10.88.0.123"]);
    let config = macvlan(&json!({
        "provide": [{"option": "host-name", "value": "x", "fromArg": "K8S_POD_NAME"}, {"option": "60", "value": "plexus"}],
        "request": [{"option": "42"}, {"option": "subnet-mask", "skipDefault": true}],
    }));
    let pod = node.host.pod("web-0").unwrap();
    node.add(&pod, "net1", &config);
    assert_eq!(server.leases()[0][3], "web-0");
    assert!(server.said("vendor class: plexus") > 0, "{}", server.log());
    assert!(server.said("requested options: 42:ntp-server, 1:netmask") > 0, "{}", server.log());
    node.del(&pod, "net1", &config);
}

#[test]
fn without_a_server_an_add_fails_in_time_and_leaves_nothing() {
    let Some(node) = Node::start_or_skip() else { return };
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let begun = Instant::now();
    let outcome = node.runtime.add(&pod, "net1", &config).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(40));
    assert_eq!(outcome.error_code().unwrap(), 11);
    assert!(outcome.stdout.contains("no server answered"), "{}", outcome.stdout);
    assert_eq!(pod.netns.interfaces().unwrap(), ["lo"]);
    assert!(node.lease_files().is_empty());
}

#[test]
fn a_lease_whose_namespace_is_gone_is_given_back_over_the_uplink() {
    let Some(node) = Node::start_or_skip() else { return };
    let server = node.server(&[]);
    let (pod, config) = (node.host.pod("a").unwrap(), macvlan(&json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    umount2(pod.netns.path(), MntFlags::MNT_DETACH).unwrap();
    std::fs::remove_file(pod.netns.path()).unwrap();
    // The reconciler finds it gone twice; no DEL comes.
    assert!(within(40, || !server.has_leased(&given)), "{}\n{}", server.log(), node.plexusd.log_tail());
    assert!(within(5, || node.lease_files().is_empty()));
}

#[test]
fn a_device_of_the_host_gets_a_lease_too_and_ptp_is_refused() {
    let Some(node) = Node::start_or_skip() else { return };
    node.host.cable("nic1", &node.outside, "eth1").unwrap();
    node.outside.ip(&["addr", "add", "10.89.0.1/24", "dev", "eth1"]).unwrap();
    let range = "10.89.0.10,10.89.0.50,255.255.255.0,2m";
    let server = Server::start(&node.outside, "eth1", range, &[], node.host.dir().join("dnsmasq1"));
    let (pod, config) =
        (node.host.pod("a").unwrap(), with(json!({"type": "host-device", "device": "nic1"}), &json!({})));
    let given = address(&node.add(&pod, "net1", &config));
    assert!(given.starts_with("10.89.0."));
    assert!(ping(&pod.netns, IpAddr::from([10, 89, 0, 1]), 1).unwrap().all_answered());
    node.del(&pod, "net1", &config);
    assert!(within(5, || !server.has_leased(&given)), "{}", server.log());
    let ptp = with(json!({"type": "ptp"}), &json!({}));
    let outcome = node.runtime.add(&pod, "net1", &ptp).unwrap();
    assert_eq!(outcome.error_code().unwrap(), 7);
    assert!(outcome.stdout.contains("cannot be used with IPAM by dhcp"), "{}", outcome.stdout);
}
