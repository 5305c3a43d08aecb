//! Networks: NetworkAttachmentDefinitions and CNI files.

use serde_json::Value;

use super::finding::{Finding, Severity};
use super::object::Object;
use super::{Plugins, Severity::Error};
use crate::config::{NetworkConfigList, PluginConfig};
use crate::error::CniError;
use crate::meta::META_TYPES;
use crate::nad::NetworkAttachmentDefinition;
use crate::version::Version;

/// Plugins of the usual sets, which are executed.
const USUAL: &[&str] = &[
    "ipvlan",
    "vlan",
    "ptp",
    "host-device",
    "tap",
    "dummy",
    "loopback",
    "tuning",
    "sbr",
    "vrf",
    "portmap",
    "firewall",
    "route-override",
    "sriov",
    "ib-sriov",
    "rdma",
    "ovs",
    "accelerated-bridge",
    "bond",
    "whereabouts",
    "dhcp",
    "flannel",
    "calico",
    "calico-ipam",
    "cilium-cni",
    "aws-cni",
    "ovn-k8s-cni-overlay",
    "kube-ovn",
    "userspace",
];
/// Keys that every plugin's config may have.
const COMMON: &[&str] = &[
    "cniVersion",
    "cniVersions",
    "name",
    "type",
    "capabilities",
    "args",
    "ipam",
    "dns",
    "prevResult",
    "runtimeConfig",
    "plexus",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "plugins",
];

/// A NetworkAttachmentDefinition.
pub(super) fn definition(object: &Object<'_>, plugins: &dyn Plugins, findings: &mut Vec<Finding>) {
    let nad: NetworkAttachmentDefinition = match serde_json::from_value(object.value.clone()) {
        Ok(nad) => nad,
        Err(error) => {
            let what = "it is no NetworkAttachmentDefinition";
            findings.push(object.finding(Error, "", what, &error.to_string(), "correct the manifest"));
            return;
        }
    };
    let version = object.value.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    if version != NetworkAttachmentDefinition::API_VERSION {
        let what = format!("apiVersion {version:?} is not {:?}", NetworkAttachmentDefinition::API_VERSION);
        let action = "correct it: kubectl refuses another";
        findings.push(object.finding(
            Error,
            "/apiVersion",
            &what,
            "that is the only version there is",
            action,
        ));
    }
    let Some(text) = nad.config else {
        findings.push(object.finding(
            Severity::Note,
            "/spec",
            "it has no config",
            "the CNI file with that network's name in confDir of each node is meant",
            "put that file on every node, or the config into \"spec.config\"",
        ));
        return;
    };
    match serde_json::from_str::<Value>(&text) {
        Ok(value) => network(&object.embed("/spec/config", &text, value), Some(&nad.name), plugins, findings),
        Err(error) => findings.push(object.broken_text("/spec/config", &text, &error)),
    }
}

/// A CNI conf or conflist.
pub(super) fn file(object: &Object<'_>, plugins: &dyn Plugins, findings: &mut Vec<Finding>) {
    network(object, None, plugins, findings);
}

/// A network's config; `name` stands in where it has none.
pub(super) fn network(
    object: &Object<'_>,
    name: Option<&str>,
    plugins: &dyn Plugins,
    findings: &mut Vec<Finding>,
) {
    let Value::Object(document) = &object.value else {
        findings.push(object.finding(
            Error,
            "",
            "the config is no JSON object",
            "a network is one",
            "put it in braces",
        ));
        return;
    };
    if document.get("cniVersion").is_none_or(Value::is_null) {
        findings.push(object.finding(
            if name.is_some() { Severity::Warning } else { Error },
            "",
            "key \"cniVersion\" is missing",
            "a NetworkAttachmentDefinition then takes that of the runtime's config; a file is refused",
            "add \"cniVersion\": \"1.0.0\"",
        ));
    }
    let list = NetworkConfigList::from_object(document.clone(), name, name.map(|_| Version::V1_0_0));
    let list = match list {
        Ok(list) => list,
        Err(error) => {
            findings.push(object.error("", &error, "correct the key that is named"));
            return;
        }
    };
    for (index, plugin) in list.plugins.iter().enumerate() {
        let prefix =
            if document.contains_key("plugins") { format!("/plugins/{index}") } else { String::new() };
        check_plugin(object, &prefix, &list, plugin, plugins, findings);
    }
    bandwidth(object, &list, plugins, findings);
}

fn check_plugin(
    object: &Object<'_>,
    prefix: &str,
    list: &NetworkConfigList,
    plugin: &PluginConfig,
    plugins: &dyn Plugins,
    findings: &mut Vec<Finding>,
) {
    let plugin_type = plugin.plugin_type();
    let at = |key: &str| format!("{prefix}/{key}");
    if META_TYPES.contains(&plugin_type) {
        let what = format!("type {plugin_type:?} calls the meta-plugin again");
        findings.push(object.finding(Error, &at("type"), &what, "it would wait for itself", "name a plugin"));
        return;
    }
    if !plugins.is_native(plugin_type) || plugin.wants_exec() {
        findings.push(executed(object, &at("type"), plugin_type, "plugin"));
        return;
    }
    if let Err(error) = plugins.validate(&list.name, plugin) {
        findings.push(refused(object, prefix, &error));
    }
    let known = plugins.keys(plugin_type);
    let is_known = |key: &str| COMMON.contains(&key) || known.contains(&key) || key.starts_with("cni.dev/");
    for key in plugin.0.keys().filter(|key| !is_known(key)) {
        let what = format!("key {key:?} is not read");
        let why = format!("the built-in plugin {plugin_type} does not know it");
        findings.push(object.finding(
            Severity::Warning,
            &at(key),
            &what,
            &why,
            "correct its spelling or remove it",
        ));
    }
    if let Some(ipam) = plugin.ipam_type().filter(|ipam| !plugins.is_native_ipam(ipam)) {
        findings.push(executed(object, &at("ipam/type"), ipam, "address management"));
    }
}

fn refused(object: &Object<'_>, prefix: &str, error: &CniError) -> Finding {
    object.error(prefix, error, "correct it: every pod that selects this network is refused")
}

fn executed(object: &Object<'_>, pointer: &str, plugin_type: &str, what: &str) -> Finding {
    let text = format!("{what} {plugin_type:?} is executed");
    let action = format!("see that {plugin_type} is in the plugin directory of every node");
    if USUAL.contains(&plugin_type) {
        return object.finding(Severity::Note, pointer, &text, "Plexus does not have it built in", &action);
    }
    let why = "it is neither built in nor one of the usual plugins";
    object.finding(Severity::Warning, pointer, &text, why, &format!("check the name, and {action}"))
}

/// Where limits work here and not with Multus.
fn bandwidth(
    object: &Object<'_>,
    list: &NetworkConfigList,
    plugins: &dyn Plugins,
    findings: &mut Vec<Finding>,
) {
    let is_main = |plugin: &&PluginConfig| {
        matches!(plugin.plugin_type(), "macvlan" | "ipvlan" | "vlan" | "tap" | "dummy" | "fastpath")
    };
    let limits = list.plugins.iter().position(|plugin| plugin.plugin_type() == "bandwidth");
    if let (Some(main), Some(index)) = (list.plugins.iter().find(is_main), limits)
        && plugins.is_native("bandwidth")
    {
        let what = format!("here Plexus limits a {}", main.plugin_type());
        findings.push(object.finding(
            Severity::Note,
            &format!("/plugins/{index}"),
            &what,
            "the standard bandwidth plugin knows veth pairs only, and would fail; packets above the rate are dropped, not queued",
            "nothing is to be done",
        ));
    }
}
