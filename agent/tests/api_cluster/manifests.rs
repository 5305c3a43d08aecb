//! Manifests that people apply: the API server takes them, and keeps every field.

use plexus_agent::lab::apiserver::require_assets_or_skip;
use plexus_agent::lab::{Host, KubeApi, require_root_or_skip};
use serde_json::Value;

/// Where `wanted` is not part of `seen`, as a path; a field that the server does not know is dropped silently.
fn missing(wanted: &Value, seen: &Value, path: &str) -> Vec<String> {
    match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => wanted
            .iter()
            .flat_map(|(key, value)| {
                missing(value, seen.get(key).unwrap_or(&Value::Null), &format!("{path}.{key}"))
            })
            .collect(),
        (Value::Array(wanted), Value::Array(seen)) if wanted.len() == seen.len() => wanted
            .iter()
            .zip(seen)
            .enumerate()
            .flat_map(|(index, (wanted, seen))| missing(wanted, seen, &format!("{path}[{index}]")))
            .collect(),
        _ if wanted == seen => Vec::new(),
        _ => vec![format!("{path}: {wanted} became {seen}")],
    }
}

#[test]
fn the_pods_of_the_packet_benchmark_are_taken_with_every_field() {
    let name = "the_pods_of_the_packet_benchmark_are_taken_with_every_field";
    if !require_root_or_skip(name) {
        return;
    }
    let Some(assets) = require_assets_or_skip(name) else { return };
    let host = Host::enter().unwrap();
    let api = KubeApi::start(&host, &assets).unwrap();
    let applied = api.admin.apply_file("bench/two-pods.yaml").unwrap();
    let kinds: Vec<_> = applied.iter().map(|(manifest, _)| manifest["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["NetworkAttachmentDefinition", "ConfigMap", "Service", "Pod", "Job"]);
    for (manifest, object) in &applied {
        let lost = missing(manifest, object, manifest["kind"].as_str().unwrap());
        assert!(lost.is_empty(), "{lost:#?}");
    }
}

#[test]
fn a_field_that_is_dropped_or_changed_is_found() {
    let wanted = serde_json::json!({"a": {"b": [1, {"c": "x"}]}, "d": true});
    assert_eq!(missing(&wanted, &wanted, ""), Vec::<String>::new());
    let seen = serde_json::json!({"a": {"b": [1, {}]}, "d": true, "more": 1});
    assert_eq!(missing(&wanted, &seen, ""), [".a.b[1].c: \"x\" became null"]);
}
