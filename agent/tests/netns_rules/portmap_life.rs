//! Port mappings that collide, are lost, are left over, or die half-way.

use std::fs;

use plexus_cni::Code;
use plexus_cni::env::Command;
use serde_json::{Value, json};

use crate::rig::{Rig, chain, nft, portmap};
use crate::server::{seen_as, tcp};

fn config(bridge: &str, subnet: u8) -> Value {
    let asked_for = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80}]});
    chain(bridge, subnet, &[portmap(json!({}))], &asked_for)
}

/// A call for portmap alone.
fn single(keys: Value) -> Value {
    let mut plugin = portmap(keys);
    plugin["cniVersion"] = json!("1.1.0");
    plugin["name"] = json!("blue");
    plugin
}

/// The same for a container with this address, which gets this port of the host.
fn asking(address: &str, port: u16) -> Value {
    let previous = json!({"cniVersion": "1.1.0", "ips": [{"address": address}]});
    let asked_for = json!({"portMappings": [{"hostPort": port, "containerPort": 80}]});
    single(json!({"prevResult": previous, "runtimeConfig": asked_for}))
}

fn lose_records(rig: &mut Rig) {
    rig.plexusd.kill().unwrap();
    fs::remove_dir_all(rig.host.state_dir().join("records")).unwrap();
    rig.plexusd.restart().unwrap();
}

#[test]
fn a_port_that_another_pod_has_is_refused_and_its_holder_is_named() {
    let Some(rig) = Rig::start() else { return };
    let (a, b) = (rig.pod("a"), rig.pod("b"));
    rig.add(&a, &config("br-a", 7));
    let (code, text) = rig.refused(&b, &config("br-b", 8));
    assert_eq!(code, u64::from(Code::AddressUnavailable.number()));
    assert!(text.contains("8080") && text.contains("pod default/a, interface eth0"), "{text}");
    tcp(&a.netns, "0.0.0.0:80");
    assert!(seen_as(&rig.outside, "192.0.2.1:8080").is_some(), "the first one keeps it");
    rig.del(&b, &config("br-b", 8));
    assert!(seen_as(&rig.outside, "192.0.2.1:8080").is_some());
    rig.del(&a, &config("br-a", 7));
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn a_port_for_which_the_pod_has_no_address_is_refused() {
    let Some(rig) = Rig::start() else { return };
    let mut config = config("br-a", 7);
    config["delegates"][0]["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.7.0.0/24"}]]);
    config["runtimeConfig"]["portMappings"][0]["hostIP"] = json!("fd02::1");
    let pod = rig.pod("a");
    let (code, text) = rig.refused(&pod, &config);
    assert_eq!(code, u64::from(Code::InvalidConfig.number()));
    assert!(text.contains("fd02::1") && text.contains("family"), "{text}");
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn c090_check_finds_port_rules_that_somebody_changed() {
    let Some(rig) = Rig::start() else { return };
    let (pod, config) = (rig.pod("a"), config("br-a", 7));
    let result = rig.add(&pod, &config);
    nft(&["delete", "element", "inet", "plexus-hostport", "any4", "{ tcp . 8080 }"]);
    let found = rig.check(&pod, &config, &result);
    assert_eq!(found.error_code().unwrap(), u64::from(Code::CheckFailed.number()), "{}", found.stdout);
    rig.del(&pod, &config);
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn c077_port_rules_go_without_a_record_and_leave_others_alone() {
    let Some(mut rig) = Rig::start() else { return };
    let (a, b) = (rig.pod("a"), rig.pod("b"));
    rig.add(&a, &asking("10.7.0.9/24", 8080));
    rig.add(&b, &asking("10.7.0.10/24", 8081));
    lose_records(&mut rig);
    rig.del(&a, &single(json!({})));
    let rules = nft(&["list", "ruleset"]);
    assert!(!rules.contains("8080") && rules.contains("8081"), "{rules}");

    // GC of another network leaves them, GC of this one keeps what is listed.
    let gc = |name: &str, valid: Value| {
        let mut config = single(json!({"cni.dev/valid-attachments": valid}));
        config["name"] = json!(name);
        let environment = [("CNI_COMMAND", Command::Gc.as_str()), ("CNI_PATH", &rig.runtime.path)];
        rig.runtime.execute(&environment, config.to_string().as_bytes()).unwrap().success().unwrap();
    };
    gc("red", json!([]));
    gc("blue", json!([{"containerID": b.container_id, "ifname": "eth0"}]));
    assert!(nft(&["list", "ruleset"]).contains("8081"));
    gc("blue", json!([]));
    assert_eq!(rig.leftovers(), Vec::<String>::new());
}

#[test]
fn a_leftover_gives_its_port_up() {
    let Some(mut rig) = Rig::start() else { return };
    let (a, b) = (rig.pod("a"), rig.pod("b"));
    rig.add(&a, &asking("10.8.0.2/24", 8080));
    lose_records(&mut rig);
    rig.add(&b, &config("br-b", 8));
    tcp(&b.netns, "0.0.0.0:80");
    assert!(seen_as(&rig.outside, "192.0.2.1:8080").is_some());
}

#[test]
fn c057_c161_sigkill_at_each_step_of_port_mapping_and_firewall_leaves_nothing() {
    let Some(mut rig) = Rig::start() else { return };
    let asked_for = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80}]});
    let firewall = json!({"type": "firewall", "backend": "iptables", "ingressPolicy": "isolated"});
    let config = chain("br-a", 7, &[portmap(json!({})), firewall], &asked_for);
    let pod = rig.pod("a");
    for at in 1..200 {
        let restart = |rig: &mut Rig, at: Option<u32>| {
            let mut setup = rig.plexusd.setup().clone();
            setup.variables =
                at.map(|at| ("PLEXUS_FAULT_AFTER".to_owned(), at.to_string())).into_iter().collect();
            rig.plexusd = setup.start().unwrap();
        };
        rig.plexusd.kill().unwrap();
        restart(&mut rig, Some(at));
        let mut hasty = rig.runtime.clone();
        hasty.deadline = std::time::Duration::from_secs(20);
        let added = std::thread::scope(|scope| {
            let adding = scope.spawn(|| hasty.add(&pod, "eth0", &config));
            // The shim asks again until its deadline; a new plexusd without faults then undoes and serves it.
            let died = loop {
                if adding.is_finished() {
                    // The shim may hear of plexusd's death before its parent does.
                    break rig.plexusd.wait_until_ended(500).is_ok();
                }
                if rig.plexusd.wait_until_ended(20).is_ok() {
                    break true;
                }
            };
            if died {
                restart(&mut rig, None);
            }
            adding.join().unwrap().unwrap();
            !died
        });
        rig.del(&pod, &config);
        assert_eq!(rig.leftovers(), Vec::<String>::new(), "after step {at}");
        if added {
            assert!(at > 15, "an ADD has only {at} steps");
            return;
        }
    }
    panic!("an ADD has more than 200 steps");
}
