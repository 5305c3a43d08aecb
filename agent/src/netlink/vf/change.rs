//! Changing a setting of a virtual function.

use netlink_packet_route::link::{
    LinkAttribute, LinkMessage, LinkVfInfo, VfInfo, VfInfoLinkState, VfInfoMac, VfInfoRate, VfInfoSpoofCheck,
    VfInfoTrust, VfInfoVlan, VfLinkState as KernelLinkState, VfVlan as KernelVlan, VfVlanInfo,
    VlanProtocol as KernelProtocol,
};

use super::{VfChange, VfLinkState, VfVlan, VlanProtocol};
use crate::netlink::{Netlink, NetlinkError};

impl Netlink {
    /// Sends one request about virtual function `vf` to link `pf`.
    pub fn change_vf(&self, pf: u32, vf: u32, change: VfChange) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::VfInfoList(vec![LinkVfInfo(vec![info(vf, change)])]));
        self.change(pf, message, || format!("set {} of virtual function {vf} of link {pf}", describe(change)))
    }
}

fn info(vf: u32, change: VfChange) -> VfInfo {
    match change {
        VfChange::Mac(mac) => VfInfo::Mac(VfInfoMac::new(vf, &mac)),
        // Every driver knows the older request; the list is for what it cannot say.
        VfChange::Vlan(VfVlan { id, qos, protocol: VlanProtocol::Dot1q }) => {
            VfInfo::Vlan(VfInfoVlan::new(vf, id.into(), qos.into()))
        }
        VfChange::Vlan(VfVlan { id, qos, protocol: VlanProtocol::Dot1ad }) => {
            let info = VfVlanInfo::new(vf, id.into(), qos.into(), KernelProtocol::Ieee8021Ad);
            VfInfo::VlanList(vec![KernelVlan::Info(info)])
        }
        VfChange::Rates(rates) => VfInfo::Rate(VfInfoRate::new(vf, rates.min_mbps, rates.max_mbps)),
        VfChange::SpoofCheck(is_on) => VfInfo::SpoofCheck(VfInfoSpoofCheck::new(vf, is_on)),
        VfChange::Trust(is_on) => VfInfo::Trust(VfInfoTrust::new(vf, is_on)),
        VfChange::LinkState(state) => {
            let state = match state {
                VfLinkState::Auto => KernelLinkState::Auto,
                VfLinkState::Enable => KernelLinkState::Enable,
                VfLinkState::Disable => KernelLinkState::Disable,
            };
            VfInfo::LinkState(VfInfoLinkState::new(vf, state))
        }
    }
}

/// What is set, with its value, for errors.
fn describe(change: VfChange) -> String {
    let switch = |is_on: bool| if is_on { "on" } else { "off" };
    match change {
        VfChange::Mac(mac) => {
            format!("hardware address {}", mac.map(|byte| format!("{byte:02x}")).join(":"))
        }
        VfChange::Vlan(vlan) => {
            let tag = if vlan.protocol == VlanProtocol::Dot1ad { "802.1ad" } else { "802.1q" };
            format!("VLAN {} with QoS {} ({tag})", vlan.id, vlan.qos)
        }
        VfChange::Rates(rates) => format!("rates {} to {} Mbit/s", rates.min_mbps, rates.max_mbps),
        VfChange::SpoofCheck(is_on) => format!("spoof check {}", switch(is_on)),
        VfChange::Trust(is_on) => format!("trust {}", switch(is_on)),
        VfChange::LinkState(state) => format!("link state {state:?}").to_lowercase(),
    }
}
