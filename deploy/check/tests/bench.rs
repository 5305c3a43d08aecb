//! The pods of the packet benchmark: every object against its schema, and what they must agree on.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;

use plexus_cni::config::NetworkConfigList;
use plexus_deploy::checkout::{deploy_dir, yaml_files};
use plexus_deploy::manifest::{kind, objects};
use plexus_deploy::schema;
use serde_json::Value;

fn all() -> Vec<Value> {
    let text = fs::read_to_string(deploy_dir().join("bench/two-pods.yaml")).unwrap();
    assert!(text.starts_with("# "));
    objects(&text).unwrap()
}

fn one<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    objects.iter().find(|object| kind(object) == wanted).unwrap()
}

#[test]
fn every_object_follows_its_schema_and_names_its_namespace() {
    assert_eq!(yaml_files(&deploy_dir().join("bench")).unwrap().len(), 1);
    for object in all() {
        schema::check(&object).unwrap();
        assert!(object["metadata"]["namespace"].is_string());
    }
}

#[test]
fn both_pods_are_on_the_network_and_the_service_leads_to_the_receiver() {
    let objects = all();
    let nad = one(&objects, "NetworkAttachmentDefinition");
    let name = &nad["metadata"]["name"];
    NetworkConfigList::parse(nad["spec"]["config"].as_str().unwrap(), name.as_str(), None).unwrap();
    let (receiver, sender) = (one(&objects, "Pod"), &one(&objects, "Job")["spec"]["template"]);
    for pod in [receiver, sender] {
        assert_eq!(&pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"], name);
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["securityContext"]["capabilities"]["add"][0], "NET_RAW");
    }
    let service = one(&objects, "Service");
    assert_eq!(service["spec"]["selector"], receiver["metadata"]["labels"]);
    // What the kubelet calls the variable with the service's address.
    let variable = service["metadata"]["name"].as_str().unwrap().to_uppercase().replace('-', "_");
    let wanted = format!("$({variable}_SERVICE_HOST):{}", service["spec"]["ports"][0]["port"]);
    let arguments = sender["spec"]["containers"][0]["args"].as_array().unwrap();
    assert!(arguments.iter().any(|argument| argument == wanted.as_str()), "{wanted}");
    assert_eq!(
        sender["spec"]["volumes"][0]["configMap"]["name"],
        one(&objects, "ConfigMap")["metadata"]["name"]
    );
}
