//! Every object of every flavour against Kubernetes' schema, and the committed files against the chart.

use plexus_deploy::checkout::{chart_dir, flavours, manifests_dir, yaml_files};
use plexus_deploy::manifest::{kind, objects};
use plexus_deploy::{render, schema};

use crate::support::{committed, helm};

#[test]
fn helm_lint_finds_nothing() {
    let Some(helm) = helm() else { return };
    helm.lint(&chart_dir()).unwrap();
}

#[test]
fn the_committed_manifests_are_what_the_chart_renders_to() {
    let Some(helm) = helm() else { return };
    let manifests = render::manifests(&helm).unwrap();
    assert_eq!(manifests.len(), flavours().unwrap().len() + 3);
    for manifest in &manifests {
        let path = manifests_dir().join(&manifest.name);
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == manifest.text, "{} is old: run `cargo xtask manifests`", path.display());
    }
    assert_eq!(
        yaml_files(&manifests_dir()).unwrap().len(),
        manifests.len(),
        "a file of a flavour that is gone"
    );
}

#[test]
fn the_dashboard_of_the_chart_is_the_dashboard() {
    let ours = std::fs::read_to_string(chart_dir().join("dashboards/plexus.json"));
    let original = std::fs::read_to_string(chart_dir().join("../../dashboards/plexus.json"));
    assert_eq!(ours.ok(), original.ok());
}

#[test]
fn every_object_of_every_flavour_follows_its_schema() {
    for (name, _, objects) in committed() {
        assert!(!objects.is_empty(), "{name} is empty");
        for object in objects {
            schema::check(&object).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}

#[test]
fn every_flavour_is_complete_but_for_the_crd() {
    for (name, _, objects) in committed() {
        let kinds: Vec<_> = objects.iter().map(kind).collect();
        match name.as_str() {
            "crd.yaml" => assert_eq!(kinds, ["CustomResourceDefinition"]),
            "whereabouts-crds.yaml" => assert_eq!(kinds, ["CustomResourceDefinition"; 3]),
            "rbac.yaml" => assert_eq!(
                kinds,
                ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
            ),
            _ => {
                let expected = [
                    "ServiceAccount",
                    "ClusterRole",
                    "ClusterRoleBinding",
                    "Role",
                    "RoleBinding",
                    "DaemonSet",
                ];
                assert!(expected.iter().all(|kind| kinds.contains(kind)), "{name} has {kinds:?}");
                assert!(!kinds.contains(&"CustomResourceDefinition"), "{name} would take the CRD away");
            }
        }
    }
}

#[test]
fn the_crd_has_the_name_group_and_fields_of_the_de_facto_standard() {
    let text = std::fs::read_to_string(manifests_dir().join("crd.yaml")).unwrap();
    let crd = &objects(&text).unwrap()[0];
    assert_eq!(crd["metadata"]["name"], "network-attachment-definitions.k8s.cni.cncf.io");
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    assert_eq!(crd["spec"]["names"]["shortNames"], serde_json::json!(["nad", "net-attach-def"]));
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["name"], "v1");
    let config = "/schema/openAPIV3Schema/properties/spec/properties/config/type";
    assert_eq!(version.pointer(config).unwrap(), "string");
}

#[test]
fn the_paths_of_each_flavour_are_those_of_its_runtime() {
    // Configs, then plugins. Sources: docs.k3s.io/networking/multus-ipams; RKE2's, CRI-O's and containerd's defaults; the
    // manifests of OpenShift's cluster-network-operator; MicroK8s' containerd-template.toml.
    let expected = [
        ("plexus.yaml", "/etc/cni/net.d", "/opt/cni/bin"),
        ("plexus-crio.yaml", "/etc/cni/net.d", "/opt/cni/bin"),
        ("plexus-eks.yaml", "/etc/cni/net.d", "/opt/cni/bin"),
        ("plexus-kind.yaml", "/etc/cni/net.d", "/opt/cni/bin"),
        ("plexus-rke2.yaml", "/etc/cni/net.d", "/opt/cni/bin"),
        ("plexus-k3s.yaml", "/var/lib/rancher/k3s/agent/etc/cni/net.d", "/var/lib/rancher/k3s/data/cni"),
        (
            "plexus-k3s-before-october-2024.yaml",
            "/var/lib/rancher/k3s/agent/etc/cni/net.d",
            "/var/lib/rancher/k3s/data/current/bin",
        ),
        (
            "plexus-microk8s.yaml",
            "/var/snap/microk8s/current/args/cni-network",
            "/var/snap/microk8s/current/opt/cni/bin",
        ),
        ("plexus-openshift.yaml", "/etc/kubernetes/cni/net.d", "/var/lib/cni/bin"),
    ];
    let sets = crate::support::daemon_sets();
    assert_eq!(sets.len(), expected.len());
    for (file, conf_dir, bin_dir) in expected {
        let (_, set) = sets.iter().find(|(name, _)| name == file).unwrap();
        let volumes = crate::support::pod_spec(set)["volumes"].as_array().unwrap();
        let path = |name: &str| {
            volumes.iter().find(|volume| volume["name"] == name).unwrap()["hostPath"]["path"].clone()
        };
        assert_eq!((path("cni-conf"), path("cni-bin")), (conf_dir.into(), bin_dir.into()), "{file}");
    }
}
