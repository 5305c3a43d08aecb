//! Whether anybody in a network's chain can honour what the selection asks for: what nobody can is refused, not lost.

use serde_json::{Value, json};

use crate::authorize::AuthorizedNad;
use crate::error::{CniError, Code};
use crate::selection::NetworkSelectionElement;

/// Plugins of the standard set that know no requested hardware address.
const DEAF_TO_MAC: &[&str] = &[
    "ipvlan",
    "vlan",
    "ptp",
    "host-device",
    "dummy",
    "loopback",
    "bandwidth",
    "portmap",
    "firewall",
    "sbr",
    "vrf",
    "route-override",
];

/// Refuses fields of `element` that no plugin of the network can honour (C065).
pub(super) fn check(element: &NetworkSelectionElement, nad: &AuthorizedNad) -> Result<(), CniError> {
    let network = nad.network();
    let declares = |name: &str| network.plugins.iter().any(|plugin| plugin.has_capability(name));
    let needs_capability = [
        ("infiniband-guid", "infinibandGUID", element.infiniband_guid.as_ref().map(|guid| json!(guid))),
        (
            "deviceID",
            "deviceID",
            // A network that needs a device gets it in its config.
            element.device_id.as_ref().filter(|_| nad.resource().is_none()).map(|id| json!(id)),
        ),
        ("bandwidth", "bandwidth", element.bandwidth.as_ref().map(|limits| json!(limits))),
        (
            "portMappings",
            "portMappings",
            Some(json!(element.port_mappings)).filter(|_| !element.port_mappings.is_empty()),
        ),
    ];
    for (field, capability, value) in needs_capability {
        if let Some(value) = value.filter(|_| !declares(capability)) {
            return Err(refuse(element, field, &value)
                .because(format!("no plugin of the network declares it; add \"capabilities\": {{\"{capability}\": true}} to the plugin that shall honour it")));
        }
    }
    let has_ipam = network.plugins.iter().any(|plugin| plugin.ipam_type().is_some());
    if !element.ips.is_empty() && !has_ipam && !declares("ips") {
        return Err(refuse(element, "ips", &json!(element.ips)).because(
            "the network has no address management (\"ipam\") and no plugin declares the capability \"ips\"",
        ));
    }
    let is_deaf = network.plugins.iter().all(|plugin| DEAF_TO_MAC.contains(&plugin.plugin_type()));
    if let Some(mac) = element.mac.as_ref().filter(|_| is_deaf && !declares("mac")) {
        return Err(refuse(element, "mac", &json!(mac)).because(
            "no plugin of the network sets hardware addresses; chain \"tuning\" with the capability \"mac\"",
        ));
    }
    Ok(())
}

/// The refusal, with key and value (C014).
fn refuse(element: &NetworkSelectionElement, field: &str, value: &Value) -> CniError {
    CniError::new(
        Code::UnsupportedField,
        format!("network {}/{}: field {field:?} {value} cannot be honoured", element.namespace, element.name),
    )
}
