//! The examples: every object against its schema, every network config as the planner reads it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use plexus_cni::annotation::NETWORKS;
use plexus_cni::config::NetworkConfigList;
use plexus_cni::nad::NetworkAttachmentDefinition;
use plexus_cni::selection::parse_selection;
use plexus_deploy::checkout::{deploy_dir, yaml_files};
use plexus_deploy::manifest::{kind, objects, title};
use plexus_deploy::schema;
use serde_json::Value;

fn scenarios() -> PathBuf {
    deploy_dir().join("examples/scenarios")
}

/// Every file of Kubernetes objects, path and objects.
fn files() -> Vec<(String, String, Vec<Value>)> {
    let mut paths = yaml_files(&scenarios()).unwrap();
    assert!(paths.len() >= 7);
    paths.extend(["networks.yaml", "pods.yaml"].map(|name| deploy_dir().join("examples").join(name)));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let objects = objects(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.display().to_string(), text, objects)
    };
    paths.into_iter().map(read).collect()
}

fn networks(objects: &[Value]) -> Vec<NetworkAttachmentDefinition> {
    let nads = objects.iter().filter(|object| kind(object) == NetworkAttachmentDefinition::KIND);
    nads.map(|nad| serde_json::from_value(nad.clone()).unwrap()).collect()
}

/// The pods of a file, templates included: namespace, annotations, containers.
fn pods(objects: &[Value]) -> Vec<(&str, &Value, &Value)> {
    let mut pods = Vec::new();
    for object in objects {
        let pod = match kind(object) {
            "Pod" => object,
            "Deployment" => &object["spec"]["template"],
            _ => continue,
        };
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        pods.push((namespace, &pod["metadata"]["annotations"], &pod["spec"]["containers"]));
    }
    pods
}

#[test]
fn every_example_says_what_it_is_and_follows_its_schema() {
    for (path, text, objects) in files() {
        assert!(text.starts_with("# "), "{path} has no comment at its top");
        for object in objects {
            schema::check(&object).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
}

#[test]
fn every_network_config_is_one_that_the_planner_reads() {
    for (path, _, objects) in files() {
        for nad in networks(&objects) {
            let config = nad.config.as_deref().unwrap_or_else(|| panic!("{path}: {} is empty", nad.name));
            let list = NetworkConfigList::parse(config, Some(&nad.name), None)
                .unwrap_or_else(|error| panic!("{path}: {}: {error}", nad.name));
            assert_eq!(list.name, nad.name, "{path}: a name of its own confuses people");
        }
    }
}

#[test]
fn every_pod_selects_networks_of_its_own_file() {
    for (path, _, objects) in files().into_iter().filter(|(path, _, _)| path.contains("scenarios")) {
        let known: BTreeSet<_> =
            networks(&objects).into_iter().map(|nad| (nad.namespace, nad.name)).collect();
        let pods = pods(&objects);
        assert!(!pods.is_empty(), "{path} uses none of its networks");
        for (namespace, annotations, _) in pods {
            let elements = parse_selection(NETWORKS, annotations[NETWORKS].as_str().unwrap(), namespace)
                .unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(!elements.is_empty(), "{path}");
            for element in elements {
                let network = (element.namespace.clone(), element.name.clone());
                assert!(known.contains(&network), "{path}: {network:?} is not there");
            }
        }
    }
}

#[test]
fn a_pod_requests_a_device_for_each_network_that_needs_one() {
    let text = fs::read_to_string(scenarios().join("sriov.yaml")).unwrap();
    let objects = objects(&text).unwrap();
    let networks = networks(&objects);
    let resource = networks[0].resource_name().unwrap();
    for (namespace, annotations, containers) in pods(&objects) {
        let elements = parse_selection(NETWORKS, annotations[NETWORKS].as_str().unwrap(), namespace).unwrap();
        let resources = &containers[0]["resources"];
        assert_eq!(resources["requests"][resource], elements.len().to_string().as_str());
        assert_eq!(resources["requests"], resources["limits"]);
    }
}

#[test]
fn every_scenario_stands_in_the_readme() {
    let readme = fs::read_to_string(deploy_dir().join("examples/README.md")).unwrap();
    for path in yaml_files(&scenarios()).unwrap() {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(&format!("`{name}`")), "{name}");
    }
    let namespaced = files().into_iter().flat_map(|(_, _, objects)| objects);
    for object in namespaced {
        assert!(object["metadata"]["namespace"].is_string(), "{} has no namespace", title(&object));
    }
}
