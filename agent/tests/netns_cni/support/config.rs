//! Network configs.

use plexus_agent::lab::Pod;
use serde_json::{Value, json};

/// A macvlan on uplink1 with a default route; `10.1.0.0/24` holds its addresses.
pub(crate) fn macvlan() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "lan", "type": "macvlan", "master": "uplink1",
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.1.0.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    })
}

/// A fastpath network on VLAN 100 of uplink0; `10.2.0.0/24` holds its addresses.
pub(crate) fn fastpath() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "blue", "type": "fastpath", "uplink": "uplink0", "vlan": 100,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.2.0.0/24"}]]},
    })
}

/// The meta-plugin with this default network.
pub(crate) fn meta(default_network: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "plexus", "type": "plexus", "delegates": [default_network]})
}

/// The config with one key set.
pub(crate) fn with(mut config: Value, key: &str, value: Value) -> Value {
    config[key] = value;
    config
}

/// What a runtime passes to GC: the attachments that it still knows.
pub(crate) fn valid(config: Value, attachments: &[(&Pod, &str)]) -> Value {
    let listed: Vec<Value> = attachments
        .iter()
        .map(|(pod, ifname)| json!({"containerID": pod.container_id, "ifname": ifname}))
        .collect();
    with(config, "cni.dev/valid-attachments", json!(listed))
}
