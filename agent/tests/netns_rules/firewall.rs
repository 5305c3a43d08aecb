//! Pods on a host whose policy is to forward nothing.

use plexus_agent::lab::{NetNs, require_binary_or_skip};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::rig::{Rig, chain, nft, portmap};
use crate::server::{seen_as, tcp};

/// A host that iptables lets forward nothing.
fn closed_host(test: &str) -> Option<Rig> {
    let rig = Rig::start()?;
    if !require_binary_or_skip(test, "iptables-nft", "iptables") {
        return None;
    }
    for program in ["iptables-nft", "ip6tables-nft"] {
        run(rig.host.netns(), program, &["-P", "FORWARD", "DROP"]);
    }
    Some(rig)
}

fn run(netns: &NetNs, program: &str, arguments: &[&str]) -> String {
    netns.run(program, arguments).unwrap().stdout
}

fn config(keys: &Value) -> Value {
    let mut firewall = keys.clone();
    firewall["type"] = json!("firewall");
    let asked_for = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80}]});
    chain("br-a", 7, &[portmap(json!({})), firewall], &asked_for)
}

#[test]
fn a_pod_passes_a_host_that_forwards_nothing() {
    let Some(rig) = closed_host("a_pod_passes_a_host_that_forwards_nothing") else { return };
    let (a, b) = (rig.pod("a"), rig.pod("b"));
    let plain = chain("br-b", 8, &[], &json!({}));
    rig.add(&b, &plain);
    tcp(&rig.outside, "[::]:90");
    assert_eq!(seen_as(&b.netns, "192.0.2.2:90"), None, "the host forwards nothing");
    let config = config(&json!({"backend": "iptables"}));
    let result = rig.add(&a, &config);
    tcp(&a.netns, "[::]:80");
    assert!(seen_as(&a.netns, "192.0.2.2:90").is_some(), "what the pod begins");
    assert!(seen_as(&a.netns, "[fd02::2]:90").is_some());
    assert!(seen_as(&rig.outside, "192.0.2.1:8080").is_some(), "what somebody mapped to it");
    assert_eq!(seen_as(&rig.outside, "10.7.0.2:80"), None, "what nobody asked for");
    assert_eq!(seen_as(&b.netns, "192.0.2.2:90"), None, "the others are as before");
    rig.check(&a, &config, &result).success().unwrap();

    // iptables still handles its table, and finds ours.
    let rules = run(rig.host.netns(), "iptables-nft", &["-S"]);
    assert!(rules.contains("-A FORWARD -j PLEXUS-FORWARD") && rules.contains("-P FORWARD DROP"), "{rules}");
    run(rig.host.netns(), "iptables-nft", &["-A", "FORWARD", "-s", "198.51.100.1", "-j", "ACCEPT"]);

    rig.del(&a, &config);
    let rules = run(rig.host.netns(), "iptables-nft", &["-S"]);
    assert!(
        !rules.contains("PLEXUS") && rules.contains("-P FORWARD DROP") && rules.contains("198.51.100.1"),
        "{rules}"
    );
    assert!(!nft(&["list", "tables"]).contains("plexus"));
    rig.del(&b, &plain);
}

#[test]
fn the_administrators_chain_is_asked_first() {
    let Some(rig) = closed_host("the_administrators_chain_is_asked_first") else { return };
    let config = config(&json!({"backend": "iptables", "iptablesAdminChainName": "OURS"}));
    let pod = rig.pod("a");
    rig.add(&pod, &config);
    tcp(&rig.outside, "0.0.0.0:90");
    assert!(seen_as(&pod.netns, "192.0.2.2:90").is_some());
    run(rig.host.netns(), "iptables-nft", &["-A", "OURS", "-p", "tcp", "--dport", "90", "-j", "DROP"]);
    assert_eq!(seen_as(&pod.netns, "192.0.2.2:90"), None);
    rig.del(&pod, &config);
    let rules = run(rig.host.netns(), "iptables-nft", &["-S"]);
    assert!(
        rules.contains("-A OURS") && !rules.contains("PLEXUS"),
        "what the administrator wrote stays: {rules}"
    );
}

#[test]
fn a_host_without_a_filter_of_its_own_is_left_as_it_was() {
    let Some(rig) = Rig::start() else { return };
    let (a, b) = (rig.pod("a"), rig.pod("b"));
    let config = config(&json!({"backend": "iptables"}));
    rig.add(&a, &config);
    // A policy that comes later finds the pod's rules there.
    nft(&["add chain ip filter FORWARD { policy drop; }"]);
    tcp(&rig.outside, "0.0.0.0:90");
    assert!(seen_as(&a.netns, "192.0.2.2:90").is_some());
    nft(&["add chain ip filter FORWARD { policy accept; }"]);
    let other = chain("br-b", 8, &[json!({"type": "firewall", "backend": "iptables"})], &json!({}));
    rig.add(&b, &other);
    rig.del(&a, &config);
    assert!(nft(&["list", "tables"]).contains("table inet plexus-firewall"), "the other pod keeps its rules");
    rig.del(&b, &other);
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn c090_check_finds_firewall_rules_that_somebody_took() {
    let Some(rig) = Rig::start() else { return };
    let (pod, config) = (rig.pod("a"), config(&json!({"backend": "iptables", "ingressPolicy": "isolated"})));
    let result = rig.add(&pod, &config);
    rig.check(&pod, &config, &result).success().unwrap();
    for step in ["flush chain ip filter FORWARD", "flush map bridge plexus-firewall ports"] {
        nft(&[step]);
        let found = rig.check(&pod, &config, &result);
        assert_eq!(found.error_code().unwrap(), u64::from(Code::CheckFailed.number()), "{step}");
        rig.del(&pod, &config);
        rig.add(&pod, &config);
        rig.check(&pod, &config, &result).success().unwrap();
    }
}
