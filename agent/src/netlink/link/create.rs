//! New links, each directly in its final namespace.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoIpVlan, InfoKind, InfoMacVlan, InfoNetkit, InfoVeth, InfoVlan, InfoVrf,
    LinkAttribute, LinkInfo, LinkMessage, NetkitMode, NetkitPolicy, VlanFlags,
};

use nix::errno::Errno;

use super::{IpvlanMode, MacvlanMode};
use crate::netlink::{Netlink, NetlinkError};

/// What every new link is told, whatever its kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkPlan<'a> {
    /// Name in the target namespace.
    pub name: &'a str,
    /// Index in the target namespace; `None` lets the kernel choose.
    pub index: Option<u32>,
    /// Hardware address; `None` lets the kernel choose.
    pub mac: Option<[u8; 6]>,
    /// MTU in bytes; `None` keeps the kind's default.
    pub mtu: Option<u32>,
    /// The namespace it is created in; `None` is the socket's.
    pub netns: Option<BorrowedFd<'a>>,
}

impl LinkPlan<'_> {
    fn message(&self, kind: InfoKind, data: Option<InfoData>) -> LinkMessage {
        let mut message = self.bare();
        let mut info = vec![LinkInfo::Kind(kind)];
        info.extend(data.map(LinkInfo::Data));
        message.attributes.push(LinkAttribute::LinkInfo(info));
        message
    }

    fn bare(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = self.index.unwrap_or_default();
        message.attributes.push(LinkAttribute::IfName(self.name.to_owned()));
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        message.attributes.extend(self.netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
        message
    }
}

impl Netlink {
    /// Creates a macvlan on `parent` directly in its final namespace.
    pub fn add_macvlan(
        &self,
        plan: &LinkPlan<'_>,
        parent: u32,
        mode: MacvlanMode,
        broadcast_queue_len: Option<u32>,
    ) -> Result<(), NetlinkError> {
        let mut data = vec![InfoMacVlan::Mode(mode.into())];
        data.extend(broadcast_queue_len.map(InfoMacVlan::BcQueueLen));
        let mut message = plan.message(InfoKind::MacVlan, Some(InfoData::MacVlan(data)));
        message.attributes.push(LinkAttribute::Link(parent));
        self.create(message, || format!("create macvlan {} on link {parent}", plan.name))
    }

    /// Creates an ipvlan on `parent` directly in its final namespace; the mode becomes that of all children of the parent.
    pub fn add_ipvlan(&self, plan: &LinkPlan<'_>, parent: u32, mode: IpvlanMode) -> Result<(), NetlinkError> {
        let data = InfoData::IpVlan(vec![InfoIpVlan::Mode(mode.into())]);
        let mut message = plan.message(InfoKind::IpVlan, Some(data));
        message.attributes.push(LinkAttribute::Link(parent));
        self.create(message, || format!("create ipvlan {} on link {parent}", plan.name))
    }

    /// Creates an 802.1Q VLAN device on `parent` directly in its final namespace; a parent has each VLAN once, whatever
    /// the namespace. Its carrier follows the parent's, but it stays up when the parent is set down: going down would cost it
    /// routes and IPv6 addresses, which nobody would set again.
    pub fn add_vlan(&self, plan: &LinkPlan<'_>, parent: u32, id: u16) -> Result<(), NetlinkError> {
        let loose = VlanFlags::LooseBinding;
        let data = InfoData::Vlan(vec![InfoVlan::Id(id), InfoVlan::Flags((loose, loose))]);
        let mut message = plan.message(InfoKind::Vlan, Some(data));
        message.attributes.push(LinkAttribute::Link(parent));
        self.create(message, || format!("create {} in VLAN {id} of link {parent}", plan.name))
    }

    /// Creates a dummy, which sends nothing anywhere, directly in its final namespace.
    pub fn add_dummy(&self, plan: &LinkPlan<'_>) -> Result<(), NetlinkError> {
        self.create(plan.message(InfoKind::Dummy, None), || format!("create dummy {}", plan.name))
    }

    /// Creates a veth pair, each end directly in its final namespace.
    pub fn add_veth(&self, host: &LinkPlan<'_>, peer: &LinkPlan<'_>) -> Result<(), NetlinkError> {
        let data = InfoData::Veth(InfoVeth::Peer(peer.bare()));
        let message = host.message(InfoKind::Veth, Some(data));
        self.create(message, || format!("create the veth pair {} and {}", host.name, peer.name))
    }

    /// Creates a netkit pair that carries frames (L2), each end directly in its final namespace; `host` is its primary end,
    /// from which programs are attached. Until a program is there, nothing passes that `peer` sends.
    pub fn add_netkit(&self, host: &LinkPlan<'_>, peer: &LinkPlan<'_>) -> Result<(), NetlinkError> {
        let data = InfoData::Netkit(vec![
            InfoNetkit::Mode(NetkitMode::L2),
            InfoNetkit::Policy(NetkitPolicy::Pass),
            InfoNetkit::PeerPolicy(NetkitPolicy::Drop),
            InfoNetkit::Peer(peer.bare()),
        ]);
        let message = host.message(InfoKind::Netkit, Some(data));
        self.create(message, || format!("create the netkit pair {} and {}", host.name, peer.name))
    }

    /// Whether the kernel has netkit whose ends can be given hardware addresses (`CONFIG_NETKIT`, Linux 6.10); loads its
    /// module where it is one. Nothing is made.
    pub fn has_netkit(&self) -> bool {
        // Such a netkit refuses a group as its address before it makes anything (`netkit_validate`). An older one takes no
        // address at all, and a kernel without netkit does not know the kind: both say EOPNOTSUPP.
        let plan = LinkPlan { name: "plxprobe", mac: Some([0xff; 6]), ..LinkPlan::default() };
        let message = RouteNetlinkMessage::NewLink(plan.message(InfoKind::Netkit, None));
        let answer = self.request(|| "ask for netkit".into(), message, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
        answer.is_err_and(|error| error.errno == Errno::EADDRNOTAVAIL)
    }

    /// Creates a bridge.
    pub fn add_bridge(&self, plan: &LinkPlan<'_>, vlan_filtering: bool) -> Result<(), NetlinkError> {
        let data = vlan_filtering.then(|| InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]));
        self.create(plan.message(InfoKind::Bridge, data), || format!("create bridge {}", plan.name))
    }

    /// Creates a VRF with this routing table, in the socket's namespace or the plan's.
    pub fn add_vrf(&self, plan: &LinkPlan<'_>, table: u32) -> Result<(), NetlinkError> {
        let data = InfoData::Vrf(vec![InfoVrf::TableId(table)]);
        self.create(plan.message(InfoKind::Vrf, Some(data)), || {
            format!("create VRF {} with table {table}", plan.name)
        })
    }

    fn create(&self, message: LinkMessage, what: impl FnOnce() -> String) -> Result<(), NetlinkError> {
        self.acknowledged(what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }
}
