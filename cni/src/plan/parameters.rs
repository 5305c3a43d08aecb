//! The parameters of one attachment: `runtimeConfig`, `CNI_ARGS` and `args.cni`.

use serde_json::{Value, json};

use crate::args::CniArgs;
use crate::config::NetworkConfigList;
use crate::devices::Device;
use crate::error::{CniError, Code};
use crate::json::Object;
use crate::pod::Pod;
use crate::selection::NetworkSelectionElement;

/// Capabilities that name one address or one device: what the runtime says of them is meant for the default network
/// alone, since no two interfaces can share them.
const ONE_OF_A_KIND: &[&str] = &["ips", "mac", "infinibandGUID", "deviceID", "CNIDeviceInfoFile"];
/// The same in `CNI_ARGS`.
const ONE_OF_A_KIND_ARGS: &[&str] = &["IP", "MAC", "GATEWAY"];
/// Keys of `CNI_ARGS` that every plugin of a pod gets first, in this order.
const POD_ARGS: &[&str] =
    &["IgnoreUnknown", "K8S_POD_NAMESPACE", "K8S_POD_NAME", "K8S_POD_INFRA_CONTAINER_ID", "K8S_POD_UID"];

/// The default network gets the runtime's as it is; for others the selection overrides it. A device that was given to
/// the network goes before one that the selection names.
pub(super) fn runtime_config(
    runtimes: &Object,
    selection: Option<&NetworkSelectionElement>,
    device: Option<&Device>,
    is_default: bool,
) -> Object {
    let mut merged = runtimes.clone();
    if !is_default {
        merged.retain(|key, _| !ONE_OF_A_KIND.contains(&key.as_str()));
    }
    if let Some(device) = device {
        merged.insert("deviceID".into(), json!(device.id));
    }
    let Some(element) = selection else { return merged };
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            merged.insert(key.to_owned(), value);
        }
    };
    put("ips", Some(json!(element.ips)).filter(|_| !element.ips.is_empty()));
    put("mac", element.mac.as_ref().map(|mac| json!(mac)));
    put("infinibandGUID", element.infiniband_guid.as_ref().map(|guid| json!(guid)));
    put("portMappings", Some(json!(element.port_mappings)).filter(|_| !element.port_mappings.is_empty()));
    put("bandwidth", element.bandwidth.as_ref().map(|limits| json!(limits)));
    put("deviceID", element.device_id.as_ref().filter(|_| device.is_none()).map(|id| json!(id)));
    merged
}

/// `CNI_ARGS` for the plugins of one attachment, in Multus' order.
pub(super) fn cni_args(
    runtimes: &CniArgs,
    pod: Option<&Pod>,
    container_id: &str,
    selection: Option<&NetworkSelectionElement>,
    is_default: bool,
) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() && pairs.iter().all(|(known, _)| known != key) {
            pairs.push((key.to_owned(), value.to_owned()));
        }
    };
    if let Some(pod) = pod {
        add("IgnoreUnknown", "true");
        add("K8S_POD_NAMESPACE", &pod.namespace);
        add("K8S_POD_NAME", &pod.name);
        add("K8S_POD_INFRA_CONTAINER_ID", container_id);
        add("K8S_POD_UID", runtimes.get("K8S_POD_UID").unwrap_or(&pod.uid));
    }
    if let Some(element) = selection {
        add("IP", &element.ips.join(","));
        add("MAC", element.mac.as_deref().unwrap_or_default());
    }
    for (key, value) in runtimes.pairs() {
        let is_others = !is_default && ONE_OF_A_KIND_ARGS.contains(&key.as_str());
        let is_pods = pod.is_some() && POD_ARGS.contains(&key.as_str());
        if !is_others && !is_pods {
            add(key, value);
        }
    }
    pairs
}

/// Puts the device into every plugin of the network, under both keys that plugins know it by.
pub(super) fn put_device(network: &mut NetworkConfigList, device: &Device) {
    for plugin in &mut network.plugins {
        for key in ["deviceID", "pciBusID"] {
            plugin.0.insert(key.to_owned(), json!(device.id));
        }
    }
}

/// Puts the selection's `cni-args` into `args.cni` of every plugin; they win over what the config says there.
pub(super) fn merge_cni_args(network: &mut NetworkConfigList, pairs: &Object) -> Result<(), CniError> {
    for plugin in &mut network.plugins {
        let plugin_type = plugin.plugin_type().to_owned();
        let wrong = |key: &str| {
            CniError::new(
                Code::InvalidConfig,
                format!("network {:?}, plugin {plugin_type}: key {key:?} must be an object", network.name),
            )
            .because("the selection's \"cni-args\" are merged into it")
        };
        let args = plugin.0.entry("args").or_insert_with(|| json!({}));
        let cni =
            args.as_object_mut().ok_or_else(|| wrong("args"))?.entry("cni").or_insert_with(|| json!({}));
        cni.as_object_mut().ok_or_else(|| wrong("args.cni"))?.extend(pairs.clone());
    }
    Ok(())
}
