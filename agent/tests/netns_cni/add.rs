//! ADD of one plugin: the result is what the kernel has, and a failure leaves nothing.

use std::collections::BTreeSet;
use std::fs;

use plexus_agent::lab::Pod;
use plexus_agent::lab::ping::ping;
use plexus_cni::env::Command;
use plexus_cni::{Code, Version};
use serde_json::{Value, json};

use crate::support::kernel::{addresses, default_routes, link, routes};
use crate::support::{Node, failed, fastpath, macvlan, snapshot, succeeded, with};

/// Compares the container's interface in a result with the kernel's (C040, C046 to C049).
fn assert_interface_is_real(pod: &Pod, ifname: &str, result: &Value) {
    let interfaces = result["interfaces"].as_array().unwrap();
    let index = interfaces.iter().position(|one| one["name"] == ifname).unwrap();
    let real = link(&pod.netns, ifname).unwrap();
    assert_eq!(interfaces[index]["sandbox"], pod.netns.path().to_str().unwrap());
    assert_eq!((&interfaces[index]["mac"], &interfaces[index]["mtu"]), (&real["address"], &real["mtu"]));
    let ips = result["ips"].as_array().unwrap();
    assert!(ips.iter().all(|ip| ip["interface"] == index), "{result}");
    let listed: Vec<&str> = ips.iter().map(|ip| ip["address"].as_str().unwrap()).collect();
    assert_eq!(listed, addresses(&pod.netns, ifname));
    for ip in ips {
        let subnet: ipnet::IpNet = ip["address"].as_str().unwrap().parse().unwrap();
        let gateway: std::net::IpAddr = ip["gateway"].as_str().unwrap().parse().unwrap();
        assert!(subnet.contains(&gateway) && subnet.addr() != gateway);
    }
}

#[test]
fn c040_c046_to_c049_the_result_of_a_macvlan_is_what_the_kernel_has() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let config = with(macvlan(), "mtu", json!(1400));
    let result = succeeded(&node.add(&pod, "net1", &config));
    assert_interface_is_real(&pod, "net1", &result);
    assert_eq!(result["interfaces"].as_array().unwrap().len(), 1);
    let real = link(&pod.netns, "net1").unwrap();
    assert_eq!((&real["linkinfo"]["info_kind"], &real["mtu"]), (&json!("macvlan"), &json!(1400)));
    node.outside.ip(&["addr", "add", "10.1.0.1/24", "dev", "eth1"]).unwrap();
    assert!(ping(&pod.netns, "10.1.0.1".parse().unwrap(), 2).unwrap().all_answered());
    succeeded(&node.del(&pod, "net1", &config));
    node.assert_clean(&[&pod]);
}

#[test]
fn c045_c046_a_fastpath_result_lists_the_hosts_end_too() {
    let Some(node) = Node::start() else { return };
    let pods = [node.pod("a"), node.pod("b")];
    let config = fastpath();
    for pod in &pods {
        let result = succeeded(&node.add(pod, "net1", &config));
        assert_interface_is_real(pod, "net1", &result);
        let [host, _] = result["interfaces"].as_array().unwrap().as_slice() else { panic!("{result}") };
        let real = link(node.host.netns(), host["name"].as_str().unwrap()).unwrap();
        assert_eq!((&host["mac"], &host["mtu"]), (&real["address"], &real["mtu"]));
        assert!(host.get("sandbox").is_none());
    }
    let other = addresses(&pods[1].netns, "net1")[0].split('/').next().unwrap().parse().unwrap();
    assert!(ping(&pods[0].netns, other, 2).unwrap().all_answered());
    for pod in &pods {
        succeeded(&node.del(pod, "net1", &config));
    }
    node.assert_clean(&[&pods[0], &pods[1]]);
}

#[test]
fn a_network_that_learns_hears_everything_on_its_uplink_until_its_last_pod_is_gone() {
    let Some(node) = Node::start() else { return };
    let pods = [node.pod("a"), node.pod("b")];
    let config = with(fastpath(), "plexus", json!({"learning": true, "ageing_s": 60, "outer_vlan": 7}));
    let hears_all = || {
        let flags = link(node.host.netns(), "uplink0").unwrap()["flags"].clone();
        flags.as_array().unwrap().contains(&json!("PROMISC"))
    };
    for pod in &pods {
        let result = succeeded(&node.add(pod, "net1", &config));
        succeeded(&node.check(pod, "net1", &config, &result));
    }
    let other = addresses(&pods[1].netns, "net1")[0].split('/').next().unwrap().parse().unwrap();
    assert!(ping(&pods[0].netns, other, 2).unwrap().all_answered());
    assert!(hears_all());
    succeeded(&node.del(&pods[0], "net1", &config));
    assert!(hears_all());
    succeeded(&node.del(&pods[1], "net1", &config));
    assert!(!hears_all());
    node.assert_clean(&[&pods[0], &pods[1]]);
}

#[test]
fn pods_of_a_network_that_routes_have_single_addresses_and_the_node_as_router() {
    let Some(node) = Node::start() else { return };
    let pods = [node.pod("a"), node.pod("b")];
    node.host.netns().ip(&["addr", "add", "10.4.0.1/32", "dev", "lo"]).unwrap();
    let config = json!({
        "cniVersion": "1.1.0", "name": "routed", "type": "fastpath", "plexus": {"mode": "l3"},
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.3.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    });
    for pod in &pods {
        let result = succeeded(&node.add(pod, "net1", &config));
        let ip = &result["ips"][0];
        assert!(ip["address"].as_str().unwrap().ends_with("/32"), "{result}");
        assert_eq!(ip["gateway"], "169.254.1.1");
        succeeded(&node.check(pod, "net1", &config, &result));
        let own = addresses(&pod.netns, "net1")[0].split('/').next().unwrap().parse().unwrap();
        assert!(ping(node.host.netns(), own, 2).unwrap().all_answered(), "the host's stack has a way to it");
    }
    let other = addresses(&pods[1].netns, "net1")[0].split('/').next().unwrap().parse().unwrap();
    assert!(ping(&pods[0].netns, other, 2).unwrap().all_answered());
    for pod in &pods {
        succeeded(&node.del(pod, "net1", &config));
    }
    node.assert_clean(&[&pods[0], &pods[1]]);
}

#[test]
fn c050_routes_have_the_metrics_and_tables_of_the_result() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let mut config = macvlan();
    config["ipam"]["routes"] = json!([
        {"dst": "0.0.0.0/0"},
        {"dst": "10.9.0.0/16", "gw": "10.1.0.9", "mtu": 1400, "advmss": 1360, "priority": 50},
        {"dst": "10.8.0.0/16", "table": 100},
    ]);
    let result = succeeded(&node.add(&pod, "net1", &config));
    assert_eq!(result["routes"], config["ipam"]["routes"]);
    let real = routes(&pod.netns);
    let route = |dst: &str| real.iter().find(|route| route["dst"] == dst).unwrap();
    // A route without a next hop takes the gateway of the address.
    assert_eq!(route("default")["gateway"], "10.1.0.1");
    let full = route("10.9.0.0/16");
    assert_eq!((&full["gateway"], &full["metric"]), (&json!("10.1.0.9"), &json!(50)));
    assert_eq!(full["metrics"], json!([{"mtu": 1400, "advmss": 1360}]));
    assert_eq!(
        (&route("10.8.0.0/16")["table"], &route("10.8.0.0/16")["gateway"]),
        (&json!("100"), &json!("10.1.0.1"))
    );
    succeeded(&node.check(&pod, "net1", &config, &result));
}

#[test]
fn c027_c041_a_name_that_is_taken_is_left_alone() {
    let Some(node) = Node::start() else { return };
    for config in [macvlan(), fastpath()] {
        let pod = node.pod(config["type"].as_str().unwrap());
        pod.netns.ip(&["link", "add", "net1", "type", "veth", "peer", "name", "net9"]).unwrap();
        pod.netns.ip(&["addr", "add", "192.0.2.9/24", "dev", "net1"]).unwrap();
        let before = snapshot::take(&node.host, &[&pod]);
        let text = failed(&node.add(&pod, "net1", &config), Code::InterfaceExists);
        assert!(text.contains("net1") && text.contains("veth"), "{text}");
        assert_eq!(snapshot::take(&node.host, &[&pod]), before);
        succeeded(&node.del(&pod, "net1", &config));
        assert_eq!(snapshot::take(&node.host, &[&pod]), before);
    }
    node.assert_clean(&[]);
}

#[test]
fn c042_c043_a_second_add_is_refused_and_another_interface_is_not() {
    let Some(node) = Node::start() else { return };
    for (config, gateway) in [(macvlan(), "10.1.0.1"), (fastpath(), "10.2.0.1")] {
        let pod = node.pod(config["type"].as_str().unwrap());
        let result = succeeded(&node.add(&pod, "net1", &config));
        let before = snapshot::take(&node.host, &[&pod]);
        for _ in 0..2 {
            let text = failed(&node.add(&pod, "net1", &config), Code::AlreadyAttached);
            assert!(text.contains("net1"), "{text}");
        }
        assert_eq!(snapshot::take(&node.host, &[&pod]), before);
        succeeded(&node.check(&pod, "net1", &config, &result));
        let second = succeeded(&node.add(&pod, "net2", &config));
        assert_ne!(second["ips"][0]["address"], result["ips"][0]["address"]);
        assert_eq!(second["ips"][0]["gateway"], gateway);
        for ifname in ["net1", "net2"] {
            succeeded(&node.del(&pod, ifname, &config));
        }
        node.assert_clean(&[&pod]);
    }
}

#[test]
fn c044_every_supported_version_can_be_added_checked_and_deleted() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    for version in Version::ALL {
        let config = with(macvlan(), "cniVersion", json!(version.as_str()));
        let result = succeeded(&node.add(&pod, "net1", &config));
        assert_eq!(result["cniVersion"], version.as_str());
        assert_eq!(result["ips"][0].get("version").is_some(), version < Version::V1_0_0, "{result}");
        assert_eq!(result["interfaces"][0].get("mtu").is_some(), version >= Version::V1_1_0, "{result}");
        if version >= Version::V0_4_0 {
            succeeded(&node.check(&pod, "net1", &config, &result));
        }
        succeeded(&node.del(&pod, "net1", &config));
        node.assert_clean(&[&pod]);
    }
}

#[test]
fn c046_the_sandbox_is_the_path_as_the_runtime_wrote_it() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let winding = "/run/netns/../netns/./a";
    let environment = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", &*pod.container_id),
        ("CNI_NETNS", winding),
        ("CNI_IFNAME", "net1"),
        ("CNI_PATH", &*node.runtime.path),
    ];
    let outcome = node.runtime.execute(&environment, macvlan().to_string().as_bytes()).unwrap();
    assert_eq!(succeeded(&outcome)["interfaces"][0]["sandbox"], winding);
}

#[test]
fn c023_add_check_and_del_need_no_path_where_no_plugin_is_executed() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let netns = pod.netns.path().to_str().unwrap().to_owned();
    let call = |command: Command, config: &Value| {
        let environment = [
            ("CNI_COMMAND", command.as_str()),
            ("CNI_CONTAINERID", &pod.container_id),
            ("CNI_NETNS", &netns),
            ("CNI_IFNAME", "net1"),
        ];
        succeeded(&node.runtime.execute(&environment, config.to_string().as_bytes()).unwrap())
    };
    let result = call(Command::Add, &macvlan());
    call(Command::Check, &with(macvlan(), "prevResult", result));
    call(Command::Del, &macvlan());
    node.assert_clean(&[&pod]);
}

#[test]
fn c051_dns_of_config_or_ipam_is_passed_out_unchanged() {
    let Some(node) = Node::start() else { return };
    let dns = json!({"nameservers": ["10.1.0.53"], "domain": "lab", "search": ["a.lab", "b.lab"], "options": ["ndots:5"]});
    let pods = [node.pod("a"), node.pod("b")];
    let own = with(macvlan(), "dns", dns.clone());
    assert_eq!(succeeded(&node.add(&pods[0], "net1", &own))["dns"], dns);
    let resolv_conf = node.host.dir().join("resolv.conf");
    fs::write(&resolv_conf, "nameserver 10.1.0.53\ndomain lab\nsearch a.lab b.lab\noptions ndots:5\n")
        .unwrap();
    let mut of_ipam = macvlan();
    of_ipam["ipam"]["resolvConf"] = json!(resolv_conf);
    let result = succeeded(&node.add(&pods[1], "net1", &of_ipam));
    assert_eq!(
        (&result["dns"]["nameservers"], &result["dns"]["search"]),
        (&dns["nameservers"], &dns["search"])
    );
}

#[test]
fn c065_what_the_runtime_asks_for_is_honoured() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let asked = json!({"ips": ["10.1.0.77/24"], "mac": "02:00:00:00:00:77"});
    let config = with(macvlan(), "runtimeConfig", asked);
    let result = succeeded(&node.add(&pod, "net1", &config));
    assert_eq!(addresses(&pod.netns, "net1"), ["10.1.0.77/24"]);
    assert_eq!(link(&pod.netns, "net1").unwrap()["address"], "02:00:00:00:00:77");
    succeeded(&node.check(&pod, "net1", &config, &result));
    let ranges = json!({"ipRanges": [[{"subnet": "10.5.0.0/24"}]]});
    let mut config = with(fastpath(), "runtimeConfig", ranges);
    config["ipam"] = json!({"type": "host-local"});
    succeeded(&node.add(&pod, "net2", &config));
    assert_eq!(addresses(&pod.netns, "net2"), ["10.5.0.2/24"]);
}

#[test]
fn c066_ips_in_args_come_before_ip_in_cni_args() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("a");
    let netns = pod.netns.path().to_str().unwrap().to_owned();
    let environment = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", &*pod.container_id),
        ("CNI_NETNS", &netns),
        ("CNI_IFNAME", "net1"),
        ("CNI_ARGS", "IgnoreUnknown=1;IP=10.1.0.66"),
        ("CNI_PATH", &*node.runtime.path),
    ];
    let config = with(macvlan(), "args", json!({"cni": {"ips": ["10.1.0.65"]}}));
    let outcome = node.runtime.execute(&environment, config.to_string().as_bytes()).unwrap();
    assert_eq!(succeeded(&outcome)["ips"][0]["address"], "10.1.0.65/24");
    succeeded(&node.del(&pod, "net1", &config));
    let outcome = node.runtime.execute(&environment, macvlan().to_string().as_bytes()).unwrap();
    assert_eq!(succeeded(&outcome)["ips"][0]["address"], "10.1.0.66/24");
}

#[test]
fn c057_c079_an_add_that_fails_late_leaves_nothing_and_its_del_succeeds() {
    let Some(node) = Node::start() else { return };
    // The last step of each fails: the kernel refuses a next hop that no address reaches.
    for config in [macvlan(), fastpath()] {
        let pod = node.pod(config["type"].as_str().unwrap());
        let mut config = config;
        config["ipam"]["routes"] = json!([{"dst": "10.9.0.0/16", "gw": "172.31.0.1"}]);
        let text = failed(&node.add(&pod, "net1", &config), Code::Kernel);
        assert!(text.contains("172.31.0.1") && text.contains("net1"), "{text}");
        node.assert_clean(&[&pod]);
        succeeded(&node.del(&pod, "net1", &config));
        node.assert_clean(&[&pod]);
        config["ipam"]["routes"] = json!([]);
        succeeded(&node.add(&pod, "net1", &config));
        assert!(default_routes(&pod.netns).is_empty());
        succeeded(&node.del(&pod, "net1", &config));
    }
    node.assert_clean(&[]);
}

#[test]
fn c062_a_hundred_adds_at_once_get_distinct_addresses_and_names() {
    let Some(node) = Node::start() else { return };
    let configs = [macvlan(), fastpath()];
    let pods: Vec<Pod> = (0..50).map(|number| node.pod(&format!("p{number}"))).collect();
    let calls: Vec<(&Pod, &Value)> =
        pods.iter().flat_map(|pod| configs.iter().map(move |config| (pod, config))).collect();
    let runtime = &node.runtime;
    let at_once = |command: Command| -> Vec<Value> {
        std::thread::scope(|scope| {
            let running: Vec<_> = calls
                .iter()
                .map(|(pod, config)| {
                    let ifname = if config["type"] == "macvlan" { "net1" } else { "net2" };
                    scope.spawn(move || runtime.call(command, pod, ifname, config).unwrap())
                })
                .collect();
            running.into_iter().map(|call| succeeded(&call.join().unwrap())).collect()
        })
    };
    let results = at_once(Command::Add);
    let distinct = |pointer: &str| -> BTreeSet<String> {
        results.iter().filter_map(|result| result.pointer(pointer)).map(Value::to_string).collect()
    };
    assert_eq!(distinct("/ips/0/address").len(), calls.len());
    // Macvlans have one interface, fastpath has the host's end first.
    assert_eq!(distinct("/interfaces/0/mac").len(), calls.len());
    assert_eq!(distinct("/interfaces/0/name").len(), 1 + pods.len());
    assert_eq!((node.leases("lan").len(), node.leases("blue").len()), (50, 50));
    at_once(Command::Del);
    node.assert_clean(&pods.iter().collect::<Vec<_>>());
}
