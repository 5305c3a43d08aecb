//! Reading the settings of a virtual function.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkMessage, LinkVfInfo, VfInfo, VfLinkState as KernelLinkState,
    VfVlan as KernelVlan, VfVlanInfo, VlanProtocol as KernelProtocol,
};

use super::{VfLinkState, VfState, VfVlan, VlanProtocol};
use crate::netlink::{Netlink, NetlinkError};

/// Room for an answer about 256 virtual functions; the kernel's attribute has 64 KiB at most.
const ANSWER_BYTES: usize = 128 << 10;

impl Netlink {
    /// The settings of virtual function `vf` of link `pf`; `None` where the link has no such function.
    pub fn vf_state(&self, pf: u32, vf: u32) -> Result<Option<VfState>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = pf;
        let mask = vec![LinkExtentMask::Vf, LinkExtentMask::SkipStats];
        message.attributes.push(LinkAttribute::ExtMask(mask));
        self.exchange.reserve(ANSWER_BYTES);
        let what = || format!("read virtual function {vf} of link {pf}");
        let answers = self.request(what, RouteNetlinkMessage::GetLink(message), 0)?;
        Ok(answers.into_iter().find_map(|answer| read(answer, vf)))
    }
}

fn read(answer: RouteNetlinkMessage, vf: u32) -> Option<VfState> {
    let RouteNetlinkMessage::NewLink(message) = answer else { return None };
    let infos = message.attributes.into_iter().find_map(|attribute| match attribute {
        LinkAttribute::VfInfoList(infos) => Some(infos),
        _ => None,
    });
    let is_meant = |LinkVfInfo(info): &LinkVfInfo| {
        info.iter().any(|one| matches!(one, VfInfo::Mac(mac) if mac.vf_id == vf))
    };
    infos?.into_iter().find(is_meant).map(state)
}

fn state(LinkVfInfo(info): LinkVfInfo) -> VfState {
    let mut state = VfState::default();
    for one in info {
        match one {
            VfInfo::Mac(mac) => state.mac.copy_from_slice(&mac.mac[..6]),
            // Kernels before 4.9 have only this one; the list that follows says more.
            VfInfo::Vlan(vlan) => {
                state.vlan = VfVlan { id: id(vlan.vlan_id), qos: qos(vlan.qos), ..state.vlan }
            }
            VfInfo::VlanList(list) => {
                let first = list.into_iter().find_map(|entry| match entry {
                    KernelVlan::Info(info) => Some(info),
                    _ => None,
                });
                state.vlan = first.map_or(state.vlan, |info| vlan(&info));
            }
            VfInfo::Rate(rate) => {
                (state.rates.min_mbps, state.rates.max_mbps) = (rate.min_tx_rate, rate.max_tx_rate);
            }
            VfInfo::SpoofCheck(check) => state.spoof_check = check.enabled,
            VfInfo::Trust(trust) => state.trust = trust.enabled,
            VfInfo::LinkState(link) => {
                state.link_state = match link.state {
                    KernelLinkState::Enable => VfLinkState::Enable,
                    KernelLinkState::Disable => VfLinkState::Disable,
                    _ => VfLinkState::Auto,
                }
            }
            _ => {}
        }
    }
    state
}

fn vlan(info: &VfVlanInfo) -> VfVlan {
    let protocol = match info.protocol {
        KernelProtocol::Ieee8021Ad => VlanProtocol::Dot1ad,
        _ => VlanProtocol::Dot1q,
    };
    VfVlan { id: id(info.vlan_id), qos: qos(info.qos), protocol }
}

fn id(id: u32) -> u16 {
    u16::try_from(id).unwrap_or_default()
}

fn qos(qos: u32) -> u8 {
    u8::try_from(qos).unwrap_or_default()
}
