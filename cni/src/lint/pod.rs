//! Pods and templates of pods.

use serde_json::Value;

use super::finding::{Finding, Severity};
use super::known::Known;
use super::object::{Object, template};
use super::place::named_key;
use crate::annotation::{DEFAULT_NETWORK, NETWORKS};
use crate::env::Command;
use crate::lines::child;
use crate::plan::plan;
use crate::pod::Pod;
use crate::selection::{NetworkSelectionElement, parse_selection};
use crate::wire::{CniCall, WIRE_VERSION};

/// What the pod's annotations ask for.
pub(super) fn check(object: &Object<'_>, known: &Known, findings: &mut Vec<Finding>) {
    let kind = object.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let base = template(kind).unwrap_or_default();
    let annotations =
        object.value.pointer(&format!("{base}/metadata/annotations")).and_then(Value::as_object);
    let Some(annotations) = annotations else { return };
    let metadata = |key: &str| {
        object.value.pointer("/metadata").and_then(|found| found.get(key)).and_then(Value::as_str)
    };
    let mut pod = Pod {
        namespace: metadata("namespace").filter(|name| !name.is_empty()).unwrap_or("default").to_owned(),
        name: metadata("name").unwrap_or("(no name)").to_owned(),
        ..Pod::default()
    };
    for key in [DEFAULT_NETWORK, NETWORKS] {
        let Some(value) = annotations.get(key) else { continue };
        let pointer = child(&format!("{base}/metadata/annotations"), key);
        let Some(text) = value.as_str() else {
            let what = format!("annotation {key} is no text");
            let action = "put the JSON into quotes, or behind `|`";
            findings.push(object.finding(Severity::Error, &pointer, &what, "annotations are texts", action));
            continue;
        };
        pod.annotations.insert(key.to_owned(), text.to_owned());
        let multus_namespace = known.meta.as_ref().map_or("kube-system", |meta| &meta.multus_namespace);
        let namespace = if key == NETWORKS { &*pod.namespace } else { multus_namespace };
        match parse_selection(key, text, namespace) {
            Ok(elements) => said_of(object, &pointer, &elements, known, findings),
            Err(error) => {
                pod.annotations.remove(key);
                findings.push(object.error(
                    &pointer,
                    &error,
                    "correct the element; until then the pod does not start",
                ));
            }
        }
    }
    let is_host =
        object.value.pointer(&format!("{base}/spec/hostNetwork")).and_then(Value::as_bool).unwrap_or(false);
    if is_host && !pod.annotations.is_empty() {
        findings.push(object.finding(
            Severity::Warning,
            &format!("{base}/spec/hostNetwork"),
            "a pod in the host's network gets no networks of its own",
            "the runtime calls no plugin for it",
            "remove hostNetwork, or the annotation",
        ));
    }
    replicas(object, base, &pod, findings);
    planned(object, base, &pod, known, findings);
}

/// What can be said of single elements.
fn said_of(
    object: &Object<'_>,
    pointer: &str,
    elements: &[NetworkSelectionElement],
    known: &Known,
    findings: &mut Vec<Finding>,
) {
    for element in elements {
        let network = format!("{}/{}", element.namespace, element.name);
        if !known.is_given(&element.namespace, &element.name) {
            let severity = if known.has_networks() { Severity::Warning } else { Severity::Note };
            let what = format!("network {network} is not among the given files");
            let action = "see that it is in the cluster before the pod is, or give its file too";
            findings.push(object.finding(
                severity,
                pointer,
                &what,
                "so what the pod asks of it was not checked",
                action,
            ));
        }
        let families = element.default_route.as_deref().unwrap_or_default();
        if !families.is_empty() && families.iter().all(|one| one.is_ipv4() == families[0].is_ipv4()) {
            let what = format!("here Plexus moves the default route of one family to {network}");
            let why = "Multus removes those of both families from the other networks";
            findings.push(object.finding(
                Severity::Note,
                pointer,
                &what,
                why,
                "name a gateway of each family to move both",
            ));
        }
    }
}

/// Addresses that a template asks for are the same for each of its pods.
fn replicas(object: &Object<'_>, base: &str, pod: &Pod, findings: &mut Vec<Finding>) {
    let text = pod.annotation(NETWORKS).unwrap_or_default();
    let elements = parse_selection(NETWORKS, text, &pod.namespace).unwrap_or_default();
    let count = object.value.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    let is_daemon = object.value.get("kind").and_then(Value::as_str) == Some("DaemonSet");
    if base.is_empty() || (count < 2 && !is_daemon) {
        return;
    }
    for element in elements.iter().filter(|element| !element.ips.is_empty() || element.mac.is_some()) {
        let pointer = child(&format!("{base}/metadata/annotations"), NETWORKS);
        let what =
            format!("every pod asks network {}/{} for the same address", element.namespace, element.name);
        let action = "leave addresses to the network's address management";
        findings.push(object.finding(
            Severity::Warning,
            &pointer,
            &what,
            "the template has several pods",
            action,
        ));
    }
}

/// What an ADD of that pod would refuse: isolation, interface names, wishes that no plugin honours.
fn planned(object: &Object<'_>, base: &str, pod: &Pod, known: &Known, findings: &mut Vec<Finding>) {
    let Some(meta) = known.meta.as_ref().filter(|_| !pod.annotations.is_empty()) else { return };
    let call = CniCall {
        wire_version: WIRE_VERSION,
        serves_sysctls: false,
        // Devices are handed out in an ADD only, and there are none here.
        command: Command::Check,
        container_id: "check".into(),
        netns: None,
        ifname: "eth0".into(),
        args: String::new(),
        path: Vec::new(),
        config: String::new(),
    };
    if let Err(error) = plan(meta, Some(pod), known, &call) {
        let annotations = format!("{base}/metadata/annotations");
        let pointer = named_key(&object.lines(), &annotations, &error.msg);
        let pointer = if pointer == annotations { child(&annotations, NETWORKS) } else { pointer };
        let action = "correct it: the pod does not start";
        findings.push(object.finding(Severity::Error, &pointer, &error.msg, &error.details, action));
    }
}
