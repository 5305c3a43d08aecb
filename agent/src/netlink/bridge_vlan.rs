//! VLANs of a bridge's ports (`bridge vlan`).

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::link::{
    AfSpecBridge, BridgeVlanInfo, BridgeVlanInfoFlags, LinkAttribute, LinkExtentMask, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Puts a port into a VLAN: untagged and for its untagged frames, or tagged.
    pub fn join_bridge_vlan(&self, port: u32, vlan: u16, untagged: bool) -> Result<(), NetlinkError> {
        let untagged_flags = BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged;
        let flags = if untagged { untagged_flags } else { BridgeVlanInfoFlags::empty() };
        let message = message(port, vlan, flags);
        let what = || format!("put port {port} into VLAN {vlan} of its bridge");
        self.acknowledged(what, RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Takes a port out of a VLAN.
    pub fn leave_bridge_vlan(&self, port: u32, vlan: u16) -> Result<(), NetlinkError> {
        let message = message(port, vlan, BridgeVlanInfoFlags::empty());
        let what = || format!("take port {port} out of VLAN {vlan} of its bridge");
        self.acknowledged(what, RouteNetlinkMessage::DelLink(message), 0)
    }

    /// The VLANs that a port is in.
    pub fn bridge_vlans(&self, port: u32) -> Result<Vec<u16>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.interface_family = AddressFamily::Bridge;
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::Brvlan]));
        let what = || format!("list the VLANs of port {port}");
        let answers = self.request(what, RouteNetlinkMessage::GetLink(message), NLM_F_DUMP)?;
        Ok(answers.into_iter().flat_map(|answer| vlans_of(answer, port)).collect())
    }
}

fn message(port: u32, vlan: u16, flags: BridgeVlanInfoFlags) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = port;
    let info = BridgeVlanInfo { flags, vid: vlan };
    message.attributes.push(LinkAttribute::AfSpecBridge(vec![AfSpecBridge::VlanInfo(info)]));
    message
}

fn vlans_of(answer: RouteNetlinkMessage, port: u32) -> Vec<u16> {
    let RouteNetlinkMessage::NewLink(message) = answer else { return Vec::new() };
    if message.header.index != port {
        return Vec::new();
    }
    let mut vlans = Vec::new();
    for attribute in message.attributes {
        if let LinkAttribute::AfSpecBridge(entries) = attribute {
            vlans.extend(entries.into_iter().filter_map(|entry| match entry {
                AfSpecBridge::VlanInfo(info) => Some(info.vid),
                _ => None,
            }));
        }
    }
    vlans
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    #[test]
    fn an_access_vlan_has_the_bytes_of_the_kernels_header() {
        let message = message(7, 100, BridgeVlanInfoFlags::Pvid | BridgeVlanInfoFlags::Untagged);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        // struct ifinfomsg: AF_BRIDGE and the port's index; linux/if_bridge.h: IFLA_BRIDGE_VLAN_INFO.
        assert_eq!((bytes[0], &bytes[4..8]), (7, &7_u32.to_ne_bytes()[..]));
        let [vlan_info, pvid_untagged, vlan] = [2_u16, 0b110, 100].map(u16::to_ne_bytes);
        let length = 8_u16.to_ne_bytes();
        assert_eq!(bytes[20..], [length, vlan_info, pvid_untagged, vlan].concat());
    }
}
