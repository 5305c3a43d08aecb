//! Findings about documents in memory.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::lines::Lines;
use crate::{CniError, Code};

/// Plugins as they might be built in.
struct Few;

impl Plugins for Few {
    fn is_native(&self, plugin_type: &str) -> bool {
        ["macvlan", "bandwidth"].contains(&plugin_type)
    }

    fn is_native_ipam(&self, ipam_type: &str) -> bool {
        ipam_type == "host-local"
    }

    fn keys(&self, _plugin_type: &str) -> &'static [&'static str] {
        &["master", "mode", "ingressRate"]
    }

    fn validate(&self, network: &str, plugin: &PluginConfig) -> Result<(), CniError> {
        let wrong = plugin.0.get("mode").is_some_and(|mode| mode != "bridge");
        let error = || {
            CniError::new(
                Code::InvalidConfig,
                format!("network {network:?}: macvlan: key \"mode\" cannot be used"),
            )
        };
        if wrong { Err(error()) } else { Ok(()) }
    }
}

/// The findings for these JSON documents, as `severity object line: what`.
fn said(documents: &[Value]) -> Vec<String> {
    let document = |(index, value): (usize, &Value)| {
        let text = serde_json::to_string_pretty(value).unwrap();
        Document { file: format!("{index}.json"), lines: Lines::of_json(&text), text, value: value.clone() }
    };
    let documents: Vec<Document> = documents.iter().enumerate().map(document).collect();
    let line = |finding: &Finding| finding.line.map(|line| line.to_string()).unwrap_or_default();
    let text = |finding: Finding| {
        format!(
            "{:?} {} {}: {}: {}",
            finding.severity,
            finding.object,
            line(&finding),
            finding.what,
            finding.why
        )
    };
    check(&documents, &Few).into_iter().map(text).collect()
}

fn nad(name: &str, config: &Value) -> Value {
    let text = config.as_str().map_or_else(|| config.to_string(), str::to_owned);
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": "n"}, "spec": {"config": text},
    })
}

fn macvlan() -> Value {
    json!({"cniVersion": "1.0.0", "type": "macvlan", "master": "eth1", "ipam": {"type": "host-local"}})
}

fn pod(networks: &str) -> Value {
    json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n", "annotations": {"k8s.v1.cni.cncf.io/networks": networks}}})
}

/// Whether there is exactly one finding, with these parts.
#[track_caller]
fn only(documents: &[Value], parts: &[&str]) {
    let said = said(documents);
    assert_eq!(said.len(), 1, "{said:#?}");
    for part in parts {
        assert!(said[0].contains(part), "{part} is not in {said:?}");
    }
}

#[test]
fn good_manifests_have_no_findings() {
    assert_eq!(said(&[nad("a", &macvlan()), pod("a,n/a@data0")]), Vec::<String>::new());
    assert_eq!(
        said(&[
            json!({"kind": "Service", "metadata": {"name": "s"}}),
            json!({"kind": "Pod", "metadata": {"name": "p"}})
        ]),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_wrong_in_a_network_is_found_at_its_line() {
    only(&[nad("a", &json!("{\"type\": "))], &["Error", "NetworkAttachmentDefinition n/a", "no JSON", " 9:"]);
    let with = |key: &str, value: Value| {
        let mut config = macvlan();
        config[key] = value;
        nad("a", &config)
    };
    only(&[with("mode", json!("x"))], &["Error", "mode"]);
    only(&[with("masterr", json!("x"))], &["Warning", "masterr", "not read"]);
    only(&[with("cniVersion", Value::Null)], &["Warning", "cniVersion"]);
    only(&[with("cniVersion", json!("9.9.9"))], &["Error", "9.9.9"]);
    only(&[with("type", json!("ipvlan"))], &["Note", "ipvlan", "executed"]);
    only(&[with("type", json!("macvlna"))], &["Warning", "macvlna", "executed"]);
    only(&[with("type", json!("multus"))], &["Error", "calls the meta-plugin again"]);
    only(&[with("ipam", json!({"type": "whereabouts"}))], &["Note", "whereabouts"]);
    let chain = json!({"cniVersion": "1.0.0", "plugins": [{"type": "macvlan"}, {"type": "bandwidth", "ingressRate": 1}]});
    only(&[nad("a", &chain)], &["Note", "here Plexus limits a macvlan"]);
    only(
        &[json!({"kind": "NetworkAttachmentDefinition", "metadata": {"name": "../x"}})],
        &["Error", "metadata.name"],
    );
}

#[test]
fn what_a_pod_asks_for_is_checked_as_an_add_would() {
    let networks = [nad("a", &macvlan())];
    let of = |pod: Value| [networks.to_vec(), vec![pod]].concat();
    only(&of(pod("a,B")), &["Error", "Pod n/p", " 7:", "element 1"]);
    only(&of(pod("a,b")), &["Warning", "n/b", "not among the given files"]);
    only(&of(pod("a@x,a@x")), &["Error", "used twice", "n/a"]);
    only(&of(pod(r#"[{"name":"a","bandwidth":{"ingressRate":1}}]"#)), &["Error", "bandwidth", "net1"]);
    only(
        &of(pod(r#"[{"name":"a","default-route":["10.0.0.1"]}]"#)),
        &["Note", "default route of one family"],
    );
    let isolated = json!({"namespaceIsolation": true});
    let mut foreign = pod("n/a");
    foreign["metadata"]["namespace"] = json!("m");
    only(&[networks[0].clone(), foreign, isolated], &["Error", "m/p", "may not be used"]);
    let mut host = pod("a");
    host["spec"] = json!({"hostNetwork": true});
    only(&of(host), &["Warning", "host's network"]);
    let mut wrong = pod("a");
    wrong["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] = json!([{"name": "a"}]);
    only(&of(wrong), &["Error", "no text"]);
}

#[test]
fn templates_of_every_workload_are_looked_into() {
    for (kind, path) in [
        ("Deployment", "/spec/template"),
        ("StatefulSet", "/spec/template"),
        ("DaemonSet", "/spec/template"),
        ("Job", "/spec/template"),
        ("CronJob", "/spec/jobTemplate/spec/template"),
    ] {
        let template = json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "a@x,a@x"}}});
        let value =
            path.rsplit('/').filter(|key| !key.is_empty()).fold(template, |value, key| json!({key: value}));
        let mut workload = json!({"kind": kind, "metadata": {"name": "w", "namespace": "n"}});
        workload["spec"] = value["spec"].clone();
        only(&[nad("a", &macvlan()), workload], &["Error", kind, "used twice"]);
    }
    let template = json!({"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": r#"[{"name":"a","ips":["10.0.0.5"]}]"#}}});
    let deployment = json!({"kind": "Deployment", "metadata": {"name": "w", "namespace": "n"}, "spec": {"replicas": 2, "template": template}});
    only(&[nad("a", &macvlan()), deployment], &["Warning", "same address"]);
}

#[test]
fn lists_and_config_maps_are_looked_into() {
    let list = json!({"kind": "List", "items": [nad("a", &json!("{"))]});
    only(&[list], &["Error", "n/a", "no JSON"]);
    let daemon = "{\n  \"chrootDir\": \"/hostroot\",\n  \"metricsPort\": \"x\"\n}";
    let map = json!({"kind": "ConfigMap", "metadata": {"name": "multus-daemon-config"}, "data": {"daemon-config.json": daemon}});
    only(&[map], &["Error", "multus-daemon-config", "daemon-config.json", "metricsPort"]);
}

#[test]
fn multus_configs_say_what_differs() {
    let config = json!({"chrootDir": "/hostroot", "cniVersion": "0.3.1", "logLevel": "debug", "nmae": 1});
    let lines = said(&[config]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("Note Multus daemon config 2: key \"chrootDir\" does nothing"), "{lines:?}");
    assert!(
        lines[1].contains("otherwise") && lines[2].contains("Warning") && lines[2].contains("nmae"),
        "{lines:?}"
    );
    let meta = |delegate: Value| json!({"cniVersion": "1.0.0", "name": "m", "type": "multus-shim", "delegates": [delegate], "socket": "/s"});
    assert_eq!(said(&[meta(macvlan())]), Vec::<String>::new());
    let mut wrong = macvlan();
    wrong["mode"] = json!("x");
    only(&[meta(wrong)], &["Error", "mode", " 13:"]);
    only(&[json!({"cniVersion": "1.0.0", "name": "m", "type": "plexus"})], &["Error", "delegates"]);
    only(&[json!({"colour": "blue"})], &["Warning", "nothing that is checked"]);
}

proptest! {
    #[test]
    fn no_document_makes_the_check_panic(
        annotation in any::<String>(), config in "[{}\\[\\]\",:a-z0-9 \n]{0,60}", kind in "Pod|CronJob|List|ConfigMap|NetworkAttachmentDefinition",
    ) {
        let mut document = nad("a", &json!(config));
        document["kind"] = json!(kind);
        document["data"] = json!({"x.json": config});
        document["items"] = json!([pod(&annotation), 3, {"kind": kind}]);
        document["metadata"]["annotations"] = json!({"k8s.v1.cni.cncf.io/networks": annotation});
        said(&[document, serde_json::from_str(&config).unwrap_or_default()]);
    }
}
