//! `ingressPolicy`: who may come over which bridge.

use plexus_agent::lab::{NetNs, Pod};
use plexus_cni::Code;
use serde_json::{Value, json};

use crate::rig::{Rig, chain, nft};
use crate::server::{seen_as, tcp};

/// A pod on a bridge under a policy, which serves at port 80.
fn pod(rig: &Rig, name: &str, bridge: &str, subnet: u8, policy: &str) -> (Pod, String, Value) {
    let firewall = json!({"type": "firewall", "backend": "iptables", "ingressPolicy": policy});
    let config = chain(bridge, subnet, &[firewall], &json!({}));
    let pod = rig.pod(name);
    let result = rig.add(&pod, &config);
    rig.check(&pod, &config, &result).success().unwrap();
    tcp(&pod.netns, "0.0.0.0:80");
    let address = result["ips"][0]["address"].as_str().unwrap().split_once('/').unwrap().0;
    (pod, format!("{address}:80"), config)
}

fn reaches(from: &NetNs, to: &str) -> bool {
    seen_as(from, to).is_some()
}

#[test]
fn same_bridge_keeps_bridges_apart_and_lets_the_outside_in() {
    let Some(rig) = Rig::start() else { return };
    let (a, at_a, config_a) = pod(&rig, "a", "br-a", 7, "same-bridge");
    let (b, at_b, config_b) = pod(&rig, "b", "br-a", 7, "same-bridge");
    let (c, at_c, config_c) = pod(&rig, "c", "br-c", 8, "same-bridge");
    let (d, at_d, config_d) = pod(&rig, "d", "br-d", 9, "open");
    assert!(reaches(&a.netns, &at_b) && reaches(&b.netns, &at_a));
    assert!(!reaches(&a.netns, &at_c) && !reaches(&c.netns, &at_a));
    assert!(reaches(&rig.outside, &at_a) && reaches(&rig.outside, &at_c));
    assert!(reaches(&d.netns, &at_a) && reaches(&a.netns, &at_d), "a bridge without policy is outside");
    rig.del(&a, &config_a);
    assert!(!reaches(&b.netns, &at_c), "the bridge keeps its policy with its last pod");
    rig.del(&b, &config_b);
    assert!(!nft(&["list", "ruleset"]).contains("br-a"), "and then loses it");
    rig.del(&c, &config_c);
    rig.del(&d, &config_d);
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn isolated_keeps_neighbours_apart_too() {
    let Some(rig) = Rig::start() else { return };
    let (a, at_a, config_a) = pod(&rig, "a", "br-a", 7, "isolated");
    let (b, at_b, config_b) = pod(&rig, "b", "br-a", 7, "isolated");
    let (c, at_c, config_c) = pod(&rig, "c", "br-c", 8, "same-bridge");
    assert!(!reaches(&a.netns, &at_b) && !reaches(&b.netns, &at_a));
    assert!(!reaches(&a.netns, &at_c) && !reaches(&c.netns, &at_a));
    assert!(reaches(&rig.outside, &at_a) && reaches(rig.host.netns(), &at_a));
    tcp(&rig.outside, "0.0.0.0:90");
    assert!(reaches(&a.netns, "192.0.2.2:90"));
    for (pod, config) in [(&a, &config_a), (&b, &config_b), (&c, &config_c)] {
        rig.del(pod, config);
    }
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn a_policy_without_a_bridge_is_refused() {
    let Some(rig) = Rig::start() else { return };
    let firewall = json!({"type": "firewall", "backend": "iptables", "ingressPolicy": "same-bridge"});
    let mut config = chain("br-a", 7, &[firewall], &json!({}));
    config["delegates"][0]["plugins"][0] = json!({
        "type": "macvlan", "master": "uplink0", "ipam": {"type": "host-local", "subnet": "10.7.0.0/24"},
    });
    let (code, text) = rig.refused(&rig.pod("a"), &config);
    assert_eq!(code, u64::from(Code::InvalidConfig.number()));
    assert!(text.contains("ingressPolicy") && text.contains("bridge"), "{text}");
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}
