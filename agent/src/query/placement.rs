//! Why the programs of a port stand where they stand.

use super::plugin_types;
use crate::record::{Attachment, LinkKind, PortKind};

/// The reason for an attachment's port, by the main plugin of its chain.
pub(super) fn of(attachment: &Attachment) -> Option<&'static str> {
    let kind = attachment.port.as_ref().map(|port| &port.kind);
    if let Some(PortKind::Fastpath { link, .. }) = kind
        && link.kind == LinkKind::Netkit
    {
        return Some("in the netkit pair, where they run while the pod sends; out of the pod's reach");
    }
    plugin_types(attachment).iter().find_map(|plugin| reason(plugin))
}

fn reason(main_plugin: &str) -> Option<&'static str> {
    Some(match main_plugin {
        "fastpath" => {
            "at the veth's host end, out of the pod's reach; XDP on a pod's veth would switch GSO off"
        }
        "bridge" | "ptp" => "at the veth's host end, out of the pod's reach; XDP there would switch GSO off",
        "macvlan" => {
            "in the pod: siblings of one parent talk past its native XDP; XDP on a macvlan is generic only"
        }
        "ipvlan" => {
            "in the pod: siblings of one parent talk past the parent altogether; XDP on an ipvlan is generic only"
        }
        "sriov" | "host-device" => {
            "in the pod, on the device itself: no other place of the host sees its packets"
        }
        "vlan" | "dummy" | "tap" => "in the pod, on the device itself; XDP on this kind is generic only",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_port_has_a_reason() {
        for main_plugin in
            ["fastpath", "bridge", "ptp", "macvlan", "ipvlan", "sriov", "host-device", "vlan", "dummy", "tap"]
        {
            assert!(reason(main_plugin).is_some(), "{main_plugin}");
        }
        assert_eq!(reason("bandwidth"), None);
    }
}
