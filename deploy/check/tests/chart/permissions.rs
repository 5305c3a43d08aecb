//! Least privilege: rights on the API, capabilities, and what of the node is reachable.

use std::collections::BTreeSet;

use plexus_deploy::manifest::kind;
use serde_json::Value;

use crate::support::{committed, container, daemon_sets, pod_spec, texts};

/// Group, resource and verbs; all that plexusd may ask of the API server in every namespace.
const RIGHTS: [(&str, &str, &[&str]); 7] = [
    ("", "events", &["create", "patch"]),
    ("", "nodes", &["get"]),
    ("", "pods", &["get", "list", "watch"]),
    ("", "pods/status", &["patch"]),
    ("k8s.cni.cncf.io", "network-attachment-definitions", &["get", "list", "watch"]),
    ("resource.k8s.io", "resourceclaims", &["get", "list"]),
    ("resource.k8s.io", "resourceslices", &["get", "list"]),
];

/// As [`RIGHTS`], in the namespace of whereabouts' objects alone.
const POOL_RIGHTS: [(&str, &str, &[&str]); 4] = [
    ("coordination.k8s.io", "leases", &["get", "create", "update"]),
    ("whereabouts.cni.cncf.io", "ippools", &["get", "list", "create", "patch"]),
    ("whereabouts.cni.cncf.io", "nodeslicepools", &["get", "list", "create", "patch"]),
    ("whereabouts.cni.cncf.io", "overlappingrangeipreservations", &["get", "list", "create", "delete"]),
];

fn expected(rights: &[(&str, &str, &[&str])]) -> BTreeSet<(String, String, Vec<String>)> {
    let owned = |verbs: &[&str]| verbs.iter().map(|&verb| verb.to_owned()).collect();
    rights.iter().map(|(group, of, verbs)| ((*group).to_owned(), (*of).to_owned(), owned(verbs))).collect()
}

fn rights(role: &Value) -> BTreeSet<(String, String, Vec<String>)> {
    let mut rights = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let keys: Vec<_> = rule.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["apiGroups", "resources", "verbs"]);
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                let verbs = texts(&rule["verbs"]).into_iter().map(str::to_owned).collect();
                rights.insert((group.to_owned(), resource.to_owned(), verbs));
            }
        }
    }
    rights
}

#[test]
fn the_role_grants_exactly_what_plexusd_asks_for() {
    for (kind_of_role, rights_of_role) in
        [("ClusterRole", expected(&RIGHTS)), ("Role", expected(&POOL_RIGHTS))]
    {
        let mut roles = 0;
        for (name, _, objects) in committed() {
            for role in objects.iter().filter(|object| kind(object) == kind_of_role) {
                assert_eq!(rights(role), rights_of_role, "{name}");
                roles += 1;
            }
        }
        assert_eq!(roles, daemon_sets().len() + 1);
    }
}

#[test]
fn the_pools_rights_are_given_where_plexusd_looks_for_them() {
    for (name, _, objects) in committed() {
        let Some(set) = objects.iter().find(|object| kind(object) == "DaemonSet") else { continue };
        let namespace = if name == "plexus-openshift.yaml" { "openshift-multus" } else { "kube-system" };
        for of in ["Role", "RoleBinding"] {
            let object = objects.iter().find(|object| kind(object) == of).unwrap();
            assert_eq!(object["metadata"]["namespace"], namespace, "{name}: {of}");
        }
        let flag = format!("--whereabouts-namespace={namespace}");
        assert!(texts(&container(set, "plexusd")["args"]).contains(&flag.as_str()), "{name}");
    }
}

#[test]
fn the_binding_gives_the_role_to_the_account_of_the_pods_alone() {
    for (name, _, objects) in committed() {
        let Some(set) = objects.iter().find(|object| kind(object) == "DaemonSet") else { continue };
        let account = objects.iter().find(|object| kind(object) == "ServiceAccount").unwrap();
        for of in ["ClusterRoleBinding", "RoleBinding"] {
            let binding = objects.iter().find(|object| kind(object) == of).unwrap();
            let subjects = binding["subjects"].as_array().unwrap();
            assert_eq!(subjects.len(), 1, "{name}");
            assert_eq!(subjects[0]["name"], account["metadata"]["name"]);
            assert_eq!(subjects[0]["namespace"], account["metadata"]["namespace"]);
        }
        assert_eq!(pod_spec(set)["serviceAccountName"], account["metadata"]["name"]);
        assert_eq!(set["metadata"]["namespace"], account["metadata"]["namespace"]);
    }
}

#[test]
fn no_flavour_is_privileged_but_for_mounting_bpffs_on_kind() {
    for (name, set) in daemon_sets() {
        let spec = pod_spec(&set);
        assert_eq!(spec["hostNetwork"], true, "{name}");
        for key in ["hostPID", "hostIPC"] {
            assert!(spec.get(key).is_none(), "{name} has {key}");
        }
        let containers =
            ["initContainers", "containers"].iter().flat_map(|list| spec[list].as_array().unwrap());
        for container in containers {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
            if container["name"] == "mount-bpffs" {
                assert_eq!(name, "plexus-kind.yaml");
                continue;
            }
            assert_ne!(security["privileged"], true, "{name}");
            assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(texts(&security["capabilities"]["drop"]), ["ALL"], "{name}");
        }
        let capabilities = |of: &str| &container(&set, of)["securityContext"]["capabilities"]["add"];
        assert_eq!(texts(capabilities("plexusd")), ["NET_ADMIN", "BPF", "PERFMON"], "{name}");
        assert!(capabilities("install").is_null(), "{name}");
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
    }
}

#[test]
fn only_the_init_container_can_write_where_the_runtimes_plugins_are() {
    for (name, set) in daemon_sets() {
        let mounts = |of: &str| -> Vec<String> {
            let mounts = container(&set, of)["volumeMounts"].as_array().unwrap();
            mounts.iter().map(|mount| mount["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(mounts("install"), ["cni-bin"], "{name}");
        assert!(!mounts("plexusd").contains(&"cni-bin".to_owned()), "{name}");
        for mount in container(&set, "plexusd")["volumeMounts"].as_array().unwrap() {
            let must_be_read_only = ["netns", "dev-net", "pod-resources", "device-plugins"];
            if must_be_read_only.contains(&mount["name"].as_str().unwrap()) {
                assert_eq!(mount["readOnly"], true, "{name}: {mount}");
            }
        }
    }
}

#[test]
fn openshifts_constraints_allow_what_the_daemon_set_uses_and_no_more() {
    let (_, _, objects) =
        committed().into_iter().find(|(name, _, _)| name == "plexus-openshift.yaml").unwrap();
    let scc = objects.iter().find(|object| kind(object) == "SecurityContextConstraints").unwrap();
    let set = objects.iter().find(|object| kind(object) == "DaemonSet").unwrap();
    let used = &container(set, "plexusd")["securityContext"]["capabilities"]["add"];
    assert_eq!(scc["allowedCapabilities"], *used);
    assert_eq!(scc["allowPrivilegedContainer"], false);
    assert_eq!(scc["allowHostPID"], false);
    assert_eq!(texts(&scc["users"]), ["system:serviceaccount:kube-system:plexus"]);
}

#[test]
fn memory_is_reserved_in_full_and_the_pods_are_evicted_last() {
    for (name, set) in daemon_sets() {
        let resources = &container(&set, "plexusd")["resources"];
        assert!(resources["limits"]["memory"].is_string(), "{name}");
        assert_eq!(resources["limits"]["memory"], resources["requests"]["memory"], "{name}");
        assert_eq!(pod_spec(&set)["priorityClassName"], "system-node-critical", "{name}");
        assert_eq!(pod_spec(&set)["tolerations"], serde_json::json!([{"operator": "Exists"}]), "{name}");
    }
}
