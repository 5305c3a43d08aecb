//! Ports of the host that lead to a pod: from outside, from the host, from the pod itself.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::rig::{Rig, chain, nft, portmap};
use crate::server::{asked, client, seen_as, tcp, udp};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mappings(list: Value) -> Value {
    json!({"portMappings": list})
}

#[test]
fn a_port_of_the_host_leads_to_the_pod_from_everywhere() {
    let Some(rig) = Rig::start() else { return };
    let asked_for = mappings(json!([{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]));
    let config = chain("br-a", 7, &[portmap(json!({}))], &asked_for);
    let (a, b) = (rig.pod("a"), rig.pod("b"));
    let result = rig.add(&a, &config);
    rig.add(&b, &chain("br-a", 7, &[portmap(json!({}))], &json!({})));
    tcp(&a.netns, "[::]:80");

    let outside = |to: &str| seen_as(&rig.outside, to);
    assert_eq!(outside("192.0.2.1:8080"), Some(ip("::ffff:192.0.2.2")), "the pod sees who it is");
    assert_eq!(outside("[fd02::1]:8080"), Some(ip("fd02::2")));
    assert_eq!(outside("192.0.2.1:8081"), None);
    for to in ["192.0.2.1:8080", "192.0.2.3:8080", "127.0.0.1:8080", "10.7.0.1:8080", "[fd02::1]:8080"] {
        assert!(seen_as(rig.host.netns(), to).is_some(), "from the host to {to}");
    }
    for (from, who) in [(&a.netns, "itself"), (&b.netns, "its neighbour")] {
        for to in ["192.0.2.1:8080", "[fd02::1]:8080"] {
            assert!(seen_as(from, to).is_some(), "from {who} to {to}");
        }
    }
    rig.check(&a, &config, &result).success().unwrap();
    rig.del(&a, &config);
    assert_eq!(outside("192.0.2.1:8080"), None);
    rig.del(&b, &config);
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn a_pod_gets_no_way_to_what_the_host_serves_at_127_0_0_1() {
    let Some(rig) = Rig::start() else { return };
    let asked_for = mappings(json!([{"hostPort": 8080, "containerPort": 80}]));
    let config = chain("br-a", 7, &[portmap(json!({}))], &asked_for);
    let pod = rig.pod("a");
    rig.add(&pod, &config);
    let switch = std::fs::read_to_string("/proc/sys/net/ipv4/conf/br-a/route_localnet").unwrap();
    assert_eq!(switch.trim(), "1");
    tcp(rig.host.netns(), "127.0.0.1:9090");
    pod.netns.run("sysctl", &["-qw", "net.ipv4.conf.eth0.route_localnet=1"]).unwrap();
    pod.netns.ip(&["addr", "del", "127.0.0.1/8", "dev", "lo"]).unwrap();
    pod.netns.ip(&["route", "add", "127.0.0.1", "via", "10.7.0.1"]).unwrap();
    assert_eq!(seen_as(&pod.netns, "127.0.0.1:9090"), None);
    nft(&["flush", "chain", "inet", "plexus-hostport", "localhost"]);
    assert!(seen_as(&pod.netns, "127.0.0.1:9090").is_some(), "the rule is what keeps it out");
}

#[test]
fn a_port_may_be_limited_to_one_address_of_the_host() {
    let Some(rig) = Rig::start() else { return };
    let asked_for = mappings(json!([
        {"hostPort": 8080, "containerPort": 80, "hostIP": "192.0.2.1"},
        {"hostPort": 8080, "containerPort": 81, "hostIP": "fd02::1"},
        {"hostPort": 8081, "containerPort": 80, "hostIP": "0.0.0.0"},
        {"hostPort": 8082, "containerPort": 80, "hostIP": "::"},
    ]));
    let (a, b) = (rig.pod("a"), rig.pod("b"));
    rig.add(&a, &chain("br-a", 7, &[portmap(json!({}))], &asked_for));
    // The rest of the host's addresses is free for another pod.
    let everywhere = mappings(json!([{"hostPort": 8080, "containerPort": 90}]));
    rig.add(&b, &chain("br-a", 7, &[portmap(json!({}))], &everywhere));
    for (netns, at) in [(&a.netns, "[::]:80"), (&a.netns, "[::]:81")] {
        tcp(netns, at);
    }
    let is_served = |to: &str| seen_as(&rig.outside, to).is_some();
    assert!(is_served("192.0.2.1:8080") && is_served("[fd02::1]:8080"));
    assert!(!is_served("192.0.2.3:8080"), "the other pod listens to nothing yet");
    assert!(is_served("192.0.2.1:8081") && is_served("192.0.2.3:8081") && !is_served("[fd02::1]:8081"));
    assert!(is_served("[fd02::1]:8082") && !is_served("192.0.2.1:8082"));
    tcp(&b.netns, "[::]:90");
    assert!(is_served("192.0.2.3:8080"));
}

#[test]
fn source_addresses_are_translated_as_the_config_says() {
    let Some(rig) = Rig::start() else { return };
    let (a, b, c) = (rig.pod("a"), rig.pod("b"), rig.pod("c"));
    let port = |port: u16| mappings(json!([{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]));
    rig.add(&a, &chain("br-a", 7, &[portmap(json!({"masqAll": true, "markMasqBit": 5}))], &port(8001)));
    rig.add(&b, &chain("br-b", 8, &[portmap(json!({"snat": false}))], &port(8002)));
    let limited = portmap(json!({"conditionsV4": ["-d", "192.0.2.3"]}));
    let mut executed = chain("br-a", 7, &[limited], &port(8003));
    executed["delegates"][0]["cniVersion"] = json!("1.0.0");
    rig.add(&c, &executed);
    for pod in [&a, &b, &c] {
        tcp(&pod.netns, "0.0.0.0:80");
    }
    assert_eq!(seen_as(&rig.outside, "192.0.2.1:8001"), Some(ip("10.7.0.1")));
    assert_eq!(seen_as(&rig.outside, "192.0.2.1:8002"), Some(ip("192.0.2.2")));
    assert_eq!(seen_as(rig.host.netns(), "127.0.0.1:8002"), None, "its answers would not find back");
    assert!(!nft(&["list", "ruleset"]).contains("port-sandbox-of-default-c"), "that is for the binary");
    assert!(seen_as(&rig.outside, "192.0.2.3:8003").is_some());
    assert_eq!(seen_as(&rig.outside, "192.0.2.1:8003"), None);
    rig.del(&c, &executed);
}

#[test]
fn udp_senders_that_never_pause_come_to_the_new_pod() {
    let Some(rig) = Rig::start() else { return };
    let asked_for = mappings(json!([{"hostPort": 5353, "containerPort": 53, "protocol": "udp"}]));
    let config = chain("br-a", 7, &[portmap(json!({}))], &asked_for);
    udp(rig.host.netns(), "192.0.2.1:5353", "the host");
    let sender = client(&rig.outside, "192.0.2.2:4444");
    let who = || asked(&sender, "192.0.2.1:5353");
    assert_eq!(who().as_deref(), Some("the host"));
    for name in ["first", "second"] {
        let pod = rig.pod(name);
        rig.add(&pod, &config);
        udp(&pod.netns, "0.0.0.0:53", name);
        assert_eq!(who().as_deref(), Some(name), "the old connection is forgotten");
        rig.del(&pod, &config);
    }
}

#[test]
fn sctp_and_many_ports_are_translated_too() {
    let Some(rig) = Rig::start() else { return };
    let mut list: Vec<Value> =
        (0..200).map(|at| json!({"hostPort": 20_000 + at, "containerPort": 1000 + at})).collect();
    list.push(json!({"hostPort": 20_000, "containerPort": 1, "protocol": "sctp"}));
    let config = chain("br-a", 7, &[portmap(json!({}))], &mappings(json!(list)));
    let pod = rig.pod("a");
    let result = rig.add(&pod, &config);
    tcp(&pod.netns, "[::]:1199");
    assert!(seen_as(&rig.outside, "192.0.2.1:20199").is_some());
    assert!(nft(&["list", "map", "inet", "plexus-hostport", "any4"]).contains("sctp . 20000"));
    rig.check(&pod, &config, &result).success().unwrap();
    rig.del(&pod, &config);
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}
