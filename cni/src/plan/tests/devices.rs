//! Plans for networks that need devices.

use super::*;
use crate::annotation::RESOURCE_NAME;

/// A pod with these devices, and networks `a`, `b` (administrator's `kube-system/d`, too) of resource `v/vf`.
fn known(held: &[&str]) -> Known {
    let chain =
        json!({"plugins": [{"type": "sriov", "capabilities": {"deviceID": true}}, {"type": "tuning"}]});
    let mut known =
        Known::default().nad("pod-ns", "a", &chain).nad("pod-ns", "b", &json!({"type": "host-device"}));
    known = known.nad("kube-system", "d", &chain);
    for nad in known.nads.values_mut() {
        nad.annotations.insert(RESOURCE_NAME.into(), "v/vf".into());
    }
    let mut devices = PodDevices::default();
    for id in held {
        devices.insert("v/vf", id);
    }
    Known { devices: Some(devices), ..known }
}

fn ids(attachments: &[PlannedAttachment]) -> Vec<&str> {
    attachments.iter().map(|one| one.device.as_ref().map_or("-", |device| &*device.id)).collect()
}

#[test]
fn networks_take_the_pods_devices_in_order_those_of_all_pods_first() {
    let known = known(&["0000:03:02.2", "0000:03:02.0", "0000:03:02.1", "0000:03:02.3"]);
    let attachments = plan_for(&json!({"defaultNetworks": ["d"]}), "b,a", &known).unwrap();
    assert_eq!(ids(&attachments), ["-", "0000:03:02.0", "0000:03:02.1", "0000:03:02.2"]);
}

#[test]
fn a_device_reaches_every_plugin_of_the_list_and_the_runtime_config() {
    let attachments = plan_for(&json!({}), "a", &known(&["0000:03:02.0"])).unwrap();
    let network = &attachments[1].network;
    for plugin in &network.plugins {
        assert_eq!(
            (&plugin.0["deviceID"], &plugin.0["pciBusID"]),
            (&json!("0000:03:02.0"), &json!("0000:03:02.0"))
        );
    }
    let granted = |at: usize| network.plugins[at].request(network, &attachments[1].runtime_config, None);
    assert_eq!(granted(0)["runtimeConfig"], json!({"deviceID": "0000:03:02.0"}));
    assert!(!granted(1).contains_key("runtimeConfig"));
}

#[test]
fn the_kubelets_device_goes_before_the_selections() {
    let attachments =
        plan_for(&json!({}), r#"[{"name":"a","deviceID":"0000:ff:00.0"}]"#, &known(&["x"])).unwrap();
    assert_eq!(
        (ids(&attachments), &attachments[1].runtime_config["deviceID"]),
        (vec!["-", "x"], &json!("x"))
    );
    let error = plan_for(&json!({}), r#"[{"name":"a","deviceID":"0000:ff:00.0"}]"#, &known(&[])).unwrap_err();
    assert_eq!(error.code, Code::DeviceUnavailable, "a pod does not choose a device that it was not given");
}

#[test]
fn without_a_kubelet_the_selections_device_takes_its_place() {
    let known = Known { devices: None, ..known(&[]) };
    let attachments = plan_for(&json!({}), r#"[{"name":"b","deviceID":"0000:ff:00.0"}]"#, &known).unwrap();
    assert_eq!(attachments[1].network.plugins[0].0["deviceID"], "0000:ff:00.0");
    assert_eq!(plan_for(&json!({}), "b", &known).unwrap_err().code, Code::DeviceUnavailable);
}

#[test]
fn too_few_devices_are_an_error_that_names_pod_network_interface_and_resource() {
    let error = plan_for(&json!({}), "a,b@data0", &known(&["x"])).unwrap_err();
    assert_eq!(error.code, Code::DeviceUnavailable);
    for part in ["pod-ns/p", "pod-ns/b", "data0", "v/vf", "has 1 (x)"] {
        assert!(error.to_string().contains(part), "{part} is not in {error}");
    }
}

#[test]
fn only_an_add_asks_for_devices() {
    let known = known(&[]);
    let meta = meta(&json!({"defaultNetworks": ["d"]}));
    let status = CniCall { command: Command::Status, ..call("") };
    let attachments = plan(&meta, None, &known, &status).unwrap().attachments;
    assert_eq!(ids(&attachments), ["-", "-"]);
    let error = plan(&meta, None, &known, &call("")).unwrap_err();
    assert!(error.to_string().contains("kube-system/d") && error.details.contains("names none"), "{error}");
}
