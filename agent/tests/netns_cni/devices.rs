//! Devices of a kubelet: which network gets which, what its plugins see, and what network-status says of them.

use std::fs;
use std::path::PathBuf;

use plexus_agent::lab::{Outcome, Pod};
use plexus_cni::Code;
use plexus_cni::env::Command;
use plexus_cni::wire::Query;
use serde_json::{Value, json};

use crate::meta::{default_only, network_status};
use crate::mock_kubelet::Kubelet;
use crate::support::crash;
use crate::support::plugin::Script;
use crate::support::{Node, failed, succeeded, wait, with};

const RESOURCE: &str = "v.com/vf";

/// Makes nothing, and describes its device unless the device plugin did.
const DESCRIBES: &str = r#"[ "$CNI_COMMAND" = ADD ] || exit 0
file=$(printf '%s' "$config" | sed -n 's/.*"CNIDeviceInfoFile":"\([^"]*\)".*/\1/p')
[ -z "$file" ] || mkdir -p "$(dirname "$file")"
[ -z "$file" ] || [ -e "$file" ] || printf '{"type":"vhost-user","version":"1.1.0","vhost-user":{"mode":"client","path":"/s"}}' > "$file"
printf '{"cniVersion":"1.1.0"}'"#;

/// A node with a kubelet, networks `vf` (of the resource) and `plain` (without), and their plugin.
struct DeviceNode {
    kubelet: Kubelet,
    plugin: Script,
    node: Node,
}

impl DeviceNode {
    fn start() -> Option<Self> {
        let node = Node::start_with(|setup| {
            let dir = setup.state_dir.parent().unwrap();
            for (flag, name) in [
                ("--pod-resources-socket", "kubelet.sock"),
                ("--kubelet-checkpoint", "checkpoint"),
                ("--device-info-dir", "devinfo"),
            ] {
                setup.arguments.extend([flag.into(), dir.join(name).display().to_string()]);
            }
        })?;
        let plugin = node.plugin("describing", DESCRIBES);
        let started = Self { kubelet: Kubelet::start(&node.host.dir().join("kubelet.sock")), plugin, node };
        started.network("vf", json!({"k8s.v1.cni.cncf.io/resourceName": RESOURCE}));
        started.network("plain", json!({}));
        Some(started)
    }

    fn network(&self, name: &str, annotations: Value) {
        let plugins = json!([
            {"type": "describing", "capabilities": {"deviceID": true, "CNIDeviceInfoFile": true}}, {"type": "describing"},
        ]);
        let config = json!({"cniVersion": "1.1.0", "name": name, "plugins": plugins});
        let manifest = json!({
            "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
            "metadata": {"namespace": "default", "name": name, "annotations": annotations},
            "spec": {"config": config.to_string()},
        });
        fs::write(self.node.host.manifests_dir().join(format!("{name}.json")), manifest.to_string()).unwrap();
    }

    fn devinfo(&self, below: &str) -> PathBuf {
        self.node.host.dir().join("devinfo").join(below)
    }

    /// Waits until manifests are followed, and adds.
    fn add_when_known(&self, pod: &Pod) -> Outcome {
        wait::until("the manifests are known", || {
            let outcome = self.node.add(pod, "eth0", &default_only());
            let unknown = u64::from(Code::NetworkNotFound.number());
            (!outcome.error_code().is_ok_and(|code| code == unknown)).then_some(outcome)
        })
    }

    fn add(&self, pod: &Pod) -> Value {
        succeeded(&self.add_when_known(pod))
    }
}

#[test]
fn a_network_of_a_resource_gets_its_device_and_status_describes_it_until_del() {
    let Some(host) = DeviceNode::start() else { return };
    for id in ["0000:03:02.1", "0000:03:02.0", "0000:03:02.2"] {
        host.kubelet.give("default/a", RESOURCE, id);
    }
    let described = json!({"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:02.0", "pf-pci-address": "0000:03:00.0"}});
    fs::create_dir_all(host.devinfo("dp")).unwrap();
    fs::write(host.devinfo("dp/v.com-vf-0000:03:02.0-device.json"), described.to_string()).unwrap();
    let pod = host.node.known_pod("a", "vf,plain,vf@data");
    let result = host.add(&pod);
    assert_eq!(host.kubelet.calls(), 1, "one list for the whole pod");

    let calls = host.plugin.calls();
    let file = |name: &str| host.devinfo("cni").join(name).display().to_string();
    let expected = [
        ("0000:03:02.0", Some(file("default-vf-sandbox-of-default-a_net1"))),
        ("0000:03:02.0", None),
        ("", Some(file("default-plain-sandbox-of-default-a_net2"))),
        ("", None),
        ("0000:03:02.1", Some(file("default-vf-sandbox-of-default-a_data"))),
        ("0000:03:02.1", None),
    ];
    assert_eq!(calls.len(), expected.len());
    for (call, (id, file)) in calls.iter().zip(expected) {
        for key in ["deviceID", "pciBusID"] {
            assert_eq!(call.config[key].as_str().unwrap_or_default(), id, "{}", call.config);
        }
        let granted = match (file, id) {
            (None, _) => Value::Null,
            (Some(file), "") => json!({"CNIDeviceInfoFile": file}),
            (Some(file), id) => json!({"deviceID": id, "CNIDeviceInfoFile": file}),
        };
        assert_eq!(call.config["runtimeConfig"], granted);
    }

    let own =
        json!({"type": "vhost-user", "version": "1.1.0", "vhost-user": {"mode": "client", "path": "/s"}});
    let status = network_status(&host.node);
    let infos: Vec<&Value> = (0..4).map(|at| &status[at]["device-info"]).collect();
    assert_eq!(infos, [&Value::Null, &described, &own, &own]);
    let explained = host.node.query(&Query::Explain { pod: "default/a".into() });
    assert!(explained.to_string().contains("has device 0000:03:02.0 of resource v.com/vf"), "{explained}");

    succeeded(&host.node.check(&pod, "eth0", &default_only(), &result));
    succeeded(&host.node.del(&pod, "eth0", &default_only()));
    assert_eq!(host.kubelet.calls(), 1, "DEL and CHECK ask nobody");
    assert_eq!(fs::read_dir(host.devinfo("cni")).unwrap().count(), 0);
    assert!(host.devinfo("dp/v.com-vf-0000:03:02.0-device.json").exists(), "it is the device plugin's");
    host.node.assert_clean(&[&pod]);
}

#[test]
fn pods_without_such_networks_and_other_verbs_ask_no_kubelet() {
    let Some(host) = DeviceNode::start() else { return };
    let pod = host.node.known_pod("a", "plain");
    host.add(&pod);
    let for_all = with(default_only(), "defaultNetworks", json!(["vf"]));
    succeeded(&host.node.ask(Command::Status, &with(for_all, "multusNamespace", json!("default"))));
    succeeded(&host.node.del(&pod, "eth0", &default_only()));
    assert_eq!(host.kubelet.calls(), 0);
}

#[test]
fn too_few_devices_are_an_error_with_names_and_nothing_is_attached() {
    let Some(host) = DeviceNode::start() else { return };
    host.kubelet.give("default/a", RESOURCE, "0000:03:02.0");
    let first = host.node.known_pod("first", "plain");
    host.add(&first);
    let pod = host.node.known_pod("a", "vf,vf");
    let text = failed(&host.node.add(&pod, "eth0", &default_only()), Code::DeviceUnavailable);
    for part in ["default/a", "default/vf", "net2", RESOURCE, "has 1 (0000:03:02.0)"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    succeeded(&host.node.del(&first, "eth0", &default_only()));
    host.node.assert_clean(&[&first, &pod]);
}

#[test]
fn a_failed_add_leaves_no_description_behind() {
    let Some(host) = DeviceNode::start() else { return };
    let refuses = DESCRIBES.replace(r#"printf '{"cniVersion":"1.1.0"}'"#, "exit 7");
    host.node.plugin("describing", &refuses);
    let pod = host.node.known_pod("a", "plain");
    let text = failed(&host.add_when_known(&pod), Code::DelegateFailed);
    assert!(text.contains("describing"), "{text}");
    assert_eq!(fs::read_dir(host.devinfo("cni")).unwrap().count(), 0);
    host.node.assert_clean(&[&pod]);
}

#[test]
fn the_checkpoint_and_the_selection_stand_in_for_a_kubelet() {
    let Some(DeviceNode { kubelet, plugin, node }) = DeviceNode::start() else { return };
    drop(kubelet);
    fs::remove_file(node.host.dir().join("kubelet.sock")).unwrap();
    let host = DeviceNode { kubelet: Kubelet::start(&node.host.dir().join("elsewhere.sock")), plugin, node };
    let pod = host.node.known_pod("a", r#"[{"name": "vf", "deviceID": "0000:03:02.7"}]"#);
    host.add(&pod);
    succeeded(&host.node.del(&pod, "eth0", &default_only()));
    let entry = json!({"PodUID": pod.uid, "ContainerName": "c", "ResourceName": RESOURCE, "DeviceIDs": {"0": ["0000:03:02.1"]}});
    let checkpoint = json!({"Data": {"PodDeviceEntries": [entry]}, "Checksum": 1});
    fs::write(host.node.host.dir().join("checkpoint"), checkpoint.to_string()).unwrap();
    host.add(&pod);
    let given: Vec<Value> = host.plugin.calls().iter().map(|call| call.config["deviceID"].clone()).collect();
    assert_eq!(given.first(), Some(&json!("0000:03:02.7")));
    assert_eq!(given.last(), Some(&json!("0000:03:02.1")));
    succeeded(&host.node.del(&pod, "eth0", &default_only()));
}

#[test]
fn sigkill_at_any_step_of_an_add_leaves_no_description_after_del() {
    let Some(mut host) = DeviceNode::start() else { return };
    host.kubelet.give("default/a", RESOURCE, "0000:03:02.0");
    fs::create_dir_all(host.devinfo("dp")).unwrap();
    let described = r#"{"type":"pci","version":"1.1.0"}"#;
    fs::write(host.devinfo("dp/v.com-vf-0000:03:02.0-device.json"), described).unwrap();
    let pod = host.node.known_pod("a", "vf");
    host.add(&pod);
    let mut was_seen = false;
    for at in 1..crash::STEPS_MAX {
        crash::start(&mut host.node, Some(at));
        succeeded(&host.node.del(&pod, "eth0", &default_only()));
        assert_eq!(fs::read_dir(host.devinfo("cni")).unwrap().count(), 0, "after step {}", at - 1);
        let mut adding = crash::begin(&host.node.runtime, &pod, &default_only());
        if !crash::dies(&mut host.node, &mut adding) {
            assert!(was_seen, "no step was between the description and the end");
            succeeded(&host.node.del(&pod, "eth0", &default_only()));
            return host.node.assert_clean(&[&pod]);
        }
        was_seen |= fs::read_dir(host.devinfo("cni")).unwrap().count() == 1;
        adding.kill().unwrap();
        adding.wait().unwrap();
    }
    panic!("an ADD has more than {} steps", crash::STEPS_MAX);
}
