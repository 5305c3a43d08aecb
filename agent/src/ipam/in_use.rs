//! The networks whose addresses come from one IPAM plugin, as far as pods of this node use them.

use std::collections::BTreeMap;

use plexus_cni::json::Object;
use serde_json::Value;

use crate::record::Attachment;

/// The plugin configs with this `ipam.type`, each network's once: by network and IPAM section.
pub fn networks<'a>(
    attachments: impl Iterator<Item = &'a Attachment>,
    ipam_type: &str,
) -> BTreeMap<(String, String), &'a Object> {
    let mut networks = BTreeMap::new();
    for attachment in attachments {
        for (ipam, plugin) in plugins(attachment, ipam_type) {
            networks.insert((attachment.network.clone(), ipam.to_string()), plugin);
        }
    }
    networks
}

/// The plugins of an attachment with this `ipam.type`: IPAM section and whole config.
pub fn plugins<'a>(
    attachment: &'a Attachment,
    ipam_type: &str,
) -> impl Iterator<Item = (&'a Value, &'a Object)> {
    let chain = attachment.config.get("plugins").and_then(Value::as_array);
    let single = chain.is_none().then_some(&attachment.config);
    let plugins = chain.into_iter().flatten().filter_map(Value::as_object).chain(single);
    let with_ipam = plugins.filter_map(|plugin| Some((plugin.get("ipam")?, plugin)));
    with_ipam.filter(move |(ipam, _)| ipam.get("type").and_then(Value::as_str) == Some(ipam_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(network: &str, config: &Value) -> Attachment {
        serde_json::from_value(serde_json::json!({
            "owner": {"meta": {"ifname": "eth0"}}, "network": network, "nad": null, "ifname": "net1",
            "isDefault": false, "config": config, "cniVersion": "1.0.0", "runtimeConfig": {}, "args": "",
            "path": [], "portId": 3, "ownsPort": true, "result": null, "port": null, "status": [],
        }))
        .unwrap()
    }

    #[test]
    fn each_network_with_host_local_is_found_once_in_chains_and_single_configs() {
        let pool =
            serde_json::json!({"type": "macvlan", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}});
        let chain = serde_json::json!({"plugins": [pool, {"type": "bandwidth"}]});
        let fixed = serde_json::json!({"type": "macvlan", "ipam": {"type": "static"}});
        let all = [
            attachment("a", &pool),
            attachment("a", &pool),
            attachment("b", &chain),
            attachment("c", &fixed),
        ];
        let found = networks(all.iter(), "host-local");
        assert_eq!(found.keys().map(|(network, _)| &**network).collect::<Vec<_>>(), ["a", "b"]);
    }
}
