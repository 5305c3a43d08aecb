//! Whether the pod of the API server is the one that the runtime means.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use plexus_agent::lab::DaemonSetup;
use serde_json::json;

use crate::node::{Node, macvlan, meta};

/// `PodNotFound`
const POD_NOT_FOUND: u64 = 102;

#[test]
fn a_pod_of_the_same_name_with_another_uid_is_not_attached() {
    let Some(node) = Node::start() else { return };
    let mut pod = node.pod("p", "");
    pod.uid = "0d1f6b5e-0000-4000-8000-000000000000".into();
    let outcome = node.add(&pod, &meta());
    assert_eq!(outcome.error_code().unwrap(), POD_NOT_FOUND, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("default/p") && outcome.stdout.contains("UID"), "{}", outcome.stdout);
    node.assert_nothing_attached(&pod);
}

#[test]
fn a_static_pod_goes_by_the_hash_of_its_definition() {
    let Some(node) = Node::start() else { return };
    node.network("mv1", &macvlan("mv1", 211));
    let hash = "8d1b1f2c3d4e5f60718293a4b5c6d7e8";
    let mirror = json!({
        "k8s.v1.cni.cncf.io/networks": "mv1",
        "kubernetes.io/config.source": "file", "kubernetes.io/config.hash": hash, "kubernetes.io/config.mirror": hash,
    });
    let mut pod = node.annotated_pod("static", &mirror);
    pod.uid = hash.into();
    node.added(&pod, &meta());
    let status = node.status("static");
    assert!(status.contains("default/mv1"), "the mirror shows it: {status}");
}

#[test]
fn a_pod_that_has_ended_is_not_attached() {
    let Some(node) = Node::start() else { return };
    let pod = node.pod("done", "");
    node.api
        .admin
        .patch(
            "/api/v1/namespaces/default/pods",
            "done",
            "status",
            &json!({"status": {"phase": "Succeeded"}}),
        )
        .unwrap();
    // Else the watch may not have brought it yet, and the pod is attached, as it was still running.
    std::thread::sleep(Duration::from_secs(1));
    let outcome = node.add(&pod, &meta());
    assert_eq!(outcome.error_code().unwrap(), POD_NOT_FOUND, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("ended"), "{}", outcome.stdout);
}

/// Puts a plugin into its chain that takes its time, and then passes on what was before it.
fn with_slow_plugin(setup: &mut DaemonSetup) {
    let dir = setup.log.parent().unwrap().join("plugins");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("slow");
    let pass_on = r#"printf '%s' "$config" | sed 's/.*"prevResult":\({.*}\)}$/\1/'"#;
    fs::write(
        &path,
        format!("#!/bin/sh\nconfig=$(cat)\n[ \"$CNI_COMMAND\" = ADD ] || exit 0\nsleep 3\n{pass_on}\n"),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    setup.bin_dir = format!("{}:{}", dir.display(), setup.bin_dir);
}

#[test]
fn a_pod_that_is_deleted_during_its_add_is_an_error_and_leaves_nothing() {
    let Some(node) = Node::start_with(|_, setup| with_slow_plugin(setup)) else { return };
    let mut plugin = macvlan("slow", 211);
    plugin.as_object_mut().unwrap().retain(|key, _| key != "cniVersion" && key != "name");
    node.network(
        "slow",
        &json!({"cniVersion": "1.0.0", "name": "slow", "plugins": [plugin, {"type": "slow"}]}),
    );
    let pod = node.pod("short", "slow");
    let outcome = std::thread::scope(|scope| {
        // The administrator speaks from a thread of its own runtime, so any thread will do.
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            node.api.admin.delete("/api/v1/namespaces/default/pods", "short").unwrap();
        });
        node.runtime.add(&pod, "eth0", &meta()).unwrap()
    });
    assert_eq!(outcome.error_code().unwrap(), POD_NOT_FOUND, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("default/short"), "{}", outcome.stdout);
    node.assert_nothing_attached(&pod);
}
