//! values.yaml, its schema, and the flavours.

use std::fs;

use plexus_deploy::checkout::{chart_dir, deploy_dir, flavours};
use plexus_deploy::manifest::objects;
use serde_json::Value;

/// A key that Helm may add to the values of any chart.
const HELMS_OWN: &str = "global";

fn yaml(path: &std::path::Path) -> (String, Value) {
    let text = fs::read_to_string(path).unwrap();
    let value = objects(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())).remove(0);
    (text, value)
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(chart_dir().join("values.schema.json")).unwrap()).unwrap()
}

/// Every key of a closed object has a default, and every default a place in the schema.
fn compare(path: &str, schema: &Value, value: &Value) {
    let Some(properties) =
        schema["properties"].as_object().filter(|_| schema["additionalProperties"] == false)
    else {
        return;
    };
    // Objects of Kubernetes that are empty or partly given by default.
    let is_kubernetes_own =
        schema["description"].as_str().is_some_and(|text| text.starts_with("As Kubernetes"));
    for (key, property) in properties {
        let path = format!("{path}.{key}");
        match value.get(key) {
            Some(value) => compare(&path, property, value),
            None => assert!(
                is_kubernetes_own || key == HELMS_OWN || path.ends_with(".maxSurge"),
                "{path} has no default"
            ),
        }
    }
    for key in value.as_object().into_iter().flat_map(|object| object.keys()) {
        assert!(properties.contains_key(key), "{path}.{key} stands in values.yaml, but not in its schema");
    }
}

#[test]
fn schema_and_defaults_have_the_same_keys() {
    let (_, values) = yaml(&chart_dir().join("values.yaml"));
    let schema = schema();
    assert_eq!(schema["additionalProperties"], false);
    compare("", &schema, &values);
}

#[test]
fn a_flavour_says_what_it_is_and_sets_only_keys_that_exist() {
    let (_, values) = yaml(&chart_dir().join("values.yaml"));
    for path in flavours().unwrap() {
        let (text, flavour) = yaml(&path);
        assert!(text.starts_with("# "), "{} has no comment", path.display());
        for (section, keys) in flavour.as_object().unwrap() {
            let known = values.get(section).unwrap_or_else(|| panic!("{}: {section}", path.display()));
            let is_closed = known.as_object().is_some_and(|known| !known.is_empty());
            for key in keys.as_object().into_iter().flat_map(|keys| keys.keys()).filter(|_| is_closed) {
                assert!(known.get(key).is_some(), "{}: {section}.{key}", path.display());
            }
        }
    }
}

#[test]
fn every_flavour_stands_in_the_documentation() {
    let page = fs::read_to_string(deploy_dir().join("../docs/deploy.md")).unwrap();
    for path in flavours().unwrap() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(page.contains(&format!("| `{name}` ")), "{name}");
    }
}

#[test]
fn the_chart_has_the_version_of_the_workspace() {
    let (_, chart) = yaml(&chart_dir().join("Chart.yaml"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
}
