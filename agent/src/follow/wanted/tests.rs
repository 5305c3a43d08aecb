//! Which differences reach a running attachment, and whose word counts.

use plexus_cni::Code;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::record::Source;

/// A running attachment `net1` of network default/blue, whose chain is fastpath and this plugin.
fn attachment(bandwidth: &Value) -> Attachment {
    serde_json::from_value(json!({
        "owner": {"meta": {"ifname": "eth0"}}, "network": "blue", "nad": "default/blue", "ifname": "net1",
        "isDefault": false, "config": network(bandwidth), "cniVersion": "1.0.0", "runtimeConfig": {}, "args": "",
        "path": [], "portId": 3, "ownsPort": true, "port": null, "status": [], "result": {},
    }))
    .unwrap()
}

fn network(bandwidth: &Value) -> Value {
    json!({"cniVersion": "1.0.0", "name": "blue", "plugins": [{"type": "fastpath"}, bandwidth]})
}

fn limit(egress_bps: u64) -> Value {
    json!({"type": "bandwidth", "capabilities": {"bandwidth": true}, "egressRate": egress_bps})
}

fn pod(annotations: &[(&str, &str)]) -> Pod {
    let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Pod {
        namespace: "default".into(),
        name: "p".into(),
        annotations: annotations.collect(),
        ..Pod::default()
    }
}

fn networks(element: &Value) -> Pod {
    pod(&[("k8s.v1.cni.cncf.io/networks", &json!([element]).to_string())])
}

/// As `attachment`, selected by the first element.
fn selected(bandwidth: &Value) -> Attachment {
    Attachment { source: Source { element: Some(0), runtime_limits: None }, ..attachment(bandwidth) }
}

fn plugin(attachment: &Attachment, index: usize) -> &Value {
    &attachment.config["plugins"][index]
}

#[test]
fn the_same_config_is_no_difference() {
    let config = network(&limit(1_000_000)).to_string();
    assert_eq!(wanted(&attachment(&limit(1_000_000)), Some(&config), Some(&pod(&[]))).unwrap(), None);
    assert_eq!(wanted(&attachment(&limit(1_000_000)), None, None).unwrap(), None);
}

#[test]
fn a_new_rate_is_taken_and_a_key_that_went_goes() {
    let mut new = network(&json!({"type": "bandwidth", "ingressRate": 7_000_000}));
    new["plugins"][0]["mtu"] = json!(9000);
    let wanted = wanted(&attachment(&limit(1_000_000)), Some(&new.to_string()), None).unwrap().unwrap();
    assert_eq!(*plugin(&wanted, 1), json!({"type": "bandwidth", "ingressRate": 7_000_000}));
    assert_eq!(*plugin(&wanted, 0), json!({"type": "fastpath"}), "what is not live is left for new pods");
}

#[test]
fn a_plugin_finds_its_counterpart_beside_others_and_stays_without_one() {
    let new = json!({"cniVersion": "1.0.0", "name": "blue", "plugins": [{"type": "fastpath"}, {"type": "tuning"}, limit(5_000)]});
    let taken = wanted(&attachment(&limit(1_000_000)), Some(&new.to_string()), None).unwrap().unwrap();
    assert_eq!(*plugin(&taken, 1), limit(5_000));
    let gone = json!({"cniVersion": "1.0.0", "name": "blue", "type": "fastpath"});
    assert_eq!(wanted(&attachment(&limit(1_000_000)), Some(&gone.to_string()), None).unwrap(), None);
}

#[test]
fn a_config_with_a_mistake_anywhere_is_refused_as_a_whole() {
    let before = attachment(&limit(1_000_000));
    for wrong in [
        network(&limit(3)),
        network(&json!({"type": "bandwidth", "egressRate": 5_000, "plexus": {"unknown": true}})),
        json!({"name": "blue", "plugins": [{"type": "fastpath", "vlan": 5000}, limit(5_000)]}),
        json!({"name": "blue"}),
        json!([]),
    ] {
        assert!(wanted(&before, Some(&wrong.to_string()), None).is_err(), "{wrong}");
    }
    assert!(wanted(&before, Some("{"), None).is_err());
}

#[test]
fn an_interface_that_is_not_ours_does_not_follow() {
    let foreign = Attachment { port_id: None, ..attachment(&limit(1_000_000)) };
    assert_eq!(wanted(&foreign, Some(&network(&limit(2_000_000)).to_string()), None).unwrap(), None);
    let executed = json!({"type": "bandwidth", "egressRate": 5_000, "plexus": {"exec": true}});
    let before = attachment(&limit(1_000_000));
    assert_eq!(wanted(&before, Some(&network(&executed).to_string()), None).unwrap(), None);
}

#[test]
fn the_elements_limits_are_followed_by_name_and_by_place() {
    let limits = json!({"egressRate": 4_000_000});
    for element in [
        json!({"name": "blue", "bandwidth": limits}),
        json!({"name": "blue", "interface": "net1", "bandwidth": limits}),
    ] {
        let wanted = wanted(&selected(&limit(1_000_000)), None, Some(&networks(&element))).unwrap().unwrap();
        assert_eq!(wanted.runtime_config["bandwidth"], limits, "{element}");
    }
    for others in [
        json!({"name": "red", "bandwidth": limits}),
        json!({"name": "blue", "namespace": "other", "bandwidth": limits}),
        json!({"name": "blue", "interface": "net2", "bandwidth": limits}),
    ] {
        assert_eq!(
            wanted(&selected(&limit(1_000_000)), None, Some(&networks(&others))).unwrap(),
            None,
            "{others}"
        );
    }
    let unselected = attachment(&limit(1_000_000));
    let element = networks(&json!({"name": "blue", "bandwidth": limits}));
    assert_eq!(wanted(&unselected, None, Some(&element)).unwrap(), None);
}

#[test]
fn an_element_that_asks_no_more_gives_way_to_the_runtime_and_then_to_the_network() {
    let mut before = selected(&limit(1_000_000));
    before.runtime_config.insert("bandwidth".into(), json!({"egressRate": 4_000_000}));
    let silent = networks(&json!({"name": "blue"}));
    let now = wanted(&before, None, Some(&silent)).unwrap().unwrap();
    assert!(now.runtime_config.get("bandwidth").is_none());
    before.source.runtime_limits = Some(json!({"egressRate": 9_000}));
    let now = wanted(&before, None, Some(&silent)).unwrap().unwrap();
    assert_eq!(now.runtime_config["bandwidth"], json!({"egressRate": 9_000}));
}

#[test]
fn the_runtimes_limits_follow_the_pods_annotations() {
    let mut before = attachment(&limit(1_000_000));
    (before.is_default, before.ifname) = (true, "eth0".into());
    let passed = json!({"ingressRate": 10_000_000, "ingressBurst": u32::MAX});
    before.runtime_config.insert("bandwidth".into(), passed);
    let key = "kubernetes.io/ingress-bandwidth";
    assert_eq!(wanted(&before, None, Some(&pod(&[(key, "10M")]))).unwrap(), None, "as the runtime passed it");
    let both = pod(&[(key, "20M"), ("kubernetes.io/egress-bandwidth", "1Mi")]);
    let now = wanted(&before, None, Some(&both)).unwrap().unwrap();
    assert_eq!(now.runtime_config["bandwidth"], json!({"ingressRate": 20_000_000, "egressRate": 1_048_576}));
    let none = wanted(&before, None, Some(&pod(&[]))).unwrap().unwrap();
    assert!(none.runtime_config.get("bandwidth").is_none());
    assert!(wanted(&before, None, Some(&pod(&[(key, "fast")]))).is_err());
    // A runtime that did not read the annotations keeps its word.
    before.source.runtime_limits = before.runtime_config.get("bandwidth").cloned();
    assert_eq!(wanted(&before, None, Some(&pod(&[]))).unwrap(), None);
}

#[test]
fn limits_that_no_plugin_honours_are_refused_from_an_element_and_ignored_from_the_runtime() {
    let plain = json!({"type": "bandwidth", "egressRate": 5_000});
    let element = networks(&json!({"name": "blue", "bandwidth": {"egressRate": 6_000}}));
    let error = wanted(&selected(&plain), None, Some(&element)).unwrap_err();
    assert_eq!(error.code, Code::UnsupportedField);
    let annotated = pod(&[("kubernetes.io/egress-bandwidth", "1M")]);
    assert_eq!(wanted(&selected(&plain), None, Some(&annotated)).unwrap(), None);
}

proptest! {
    #[test]
    fn what_is_wanted_needs_no_second_change(old in 1_000_u64..1 << 38, new in 1_000_u64..1 << 38, element in proptest::option::of(1_000_u64..1 << 38)) {
        let asked = element.map_or(json!({"name": "blue"}), |rate| json!({"name": "blue", "bandwidth": {"egressRate": rate}}));
        let (config, pod) = (network(&limit(new)).to_string(), networks(&asked));
        let before = selected(&limit(old));
        let now = wanted(&before, Some(&config), Some(&pod)).unwrap().unwrap_or(before);
        prop_assert_eq!(wanted(&now, Some(&config), Some(&pod)).unwrap(), None);
    }
}
