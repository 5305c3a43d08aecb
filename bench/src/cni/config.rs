//! Network configs of the arms: the same macvlan with host-local, in the form that each plugin wants.

use std::path::Path;

use plexus_agent::lab::Host;
use serde_json::{Value, json};

use super::stage::PARENT;

/// Spoken by the reference plugins of Debian 12, so by every arm.
const CNI_VERSION: &str = "1.0.0";

/// A macvlan with host-local in `10.NUMBER.0.0/16`.
pub(super) fn macvlan(name: &str, number: u8) -> Value {
    json!({
        "cniVersion": CNI_VERSION,
        "name": name,
        "type": "macvlan",
        "master": PARENT,
        "mode": "bridge",
        "ipam": {"type": "host-local", "subnet": format!("10.{number}.0.0/16")},
    })
}

/// Plexus as the meta plugin with this default network.
pub(super) fn meta(host: &Host, delegate: &Value) -> Value {
    json!({
        "cniVersion": CNI_VERSION,
        "name": "bench-meta",
        "type": "plexus",
        "socket": host.socket(),
        "stateDir": host.state_dir(),
        "delegates": [delegate],
    })
}

/// Multus' thin plugin with this default network and without an API server.
pub(super) fn multus(bin_dir: &Path, host: &Host, delegate: &Value) -> Value {
    json!({
        "cniVersion": CNI_VERSION,
        "name": "bench-multus",
        "type": "multus",
        "binDir": bin_dir,
        "cniDir": host.dir().join("multus"),
        "delegates": [delegate],
    })
}
