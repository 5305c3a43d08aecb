//! Changes to a link that exists.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoBridgePort, InfoPortData,
    InfoPortKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use crate::netlink::{Netlink, NetlinkError};

/// Where a link goes.
#[derive(Clone, Copy, Debug)]
pub struct MovePlan<'a> {
    /// The namespace.
    pub netns: BorrowedFd<'a>,
    /// Name there.
    pub name: &'a str,
    /// Index there; `None` keeps the present one where it is free (Linux 5.13: `IFLA_NEW_IFINDEX`).
    pub index: Option<u32>,
}

impl Netlink {
    /// Sets the link up.
    pub fn set_up(&self, index: u32) -> Result<(), NetlinkError> {
        self.set_flag(index, LinkFlags::Up, true, || format!("set link {index} up"))
    }

    /// Sets the link down.
    pub fn set_down(&self, index: u32) -> Result<(), NetlinkError> {
        self.set_flag(index, LinkFlags::Up, false, || format!("set link {index} down"))
    }

    fn set_flag(
        &self,
        index: u32,
        flag: LinkFlags,
        is_on: bool,
        what: impl FnOnce() -> String,
    ) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.flags = if is_on { flag } else { LinkFlags::empty() };
        message.header.change_mask = flag;
        self.change(index, message, what)
    }

    /// Gives the link another name; it must be down on kernels before 6.2.
    pub fn rename(&self, index: u32, name: &str) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.change(index, message, || format!("rename link {index} to {name}"))
    }

    /// Moves the link to another namespace, under its name and index there at once; it arrives down, without addresses.
    pub fn move_to(&self, index: u32, plan: &MovePlan<'_>) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::NetNsFd(plan.netns.as_raw_fd()));
        message.attributes.push(LinkAttribute::IfName(plan.name.to_owned()));
        message.attributes.extend(plan.index.map(|index| LinkAttribute::NewIfIndex(index.cast_signed())));
        self.change(index, message, || {
            format!("move link {index} to another network namespace as {}", plan.name)
        })
    }

    /// Sets the MTU, in bytes.
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.change(index, message, || format!("set the MTU of link {index} to {mtu}"))
    }

    /// Sets the length of the transmit queue, in packets.
    pub fn set_tx_queue_len(&self, index: u32, packets: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::TxQueueLen(packets));
        self.change(index, message, || format!("set the transmit queue of link {index} to {packets} packets"))
    }

    /// Makes a link a port of a bridge or a member of a VRF; 0 makes it neither.
    pub fn set_controller(&self, index: u32, controller: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Controller(controller));
        self.change(index, message, || format!("make link {index} a port of link {controller}"))
    }

    /// Changes the hardware address.
    pub fn set_mac(&self, index: u32, mac: [u8; 6]) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        self.change(index, message, || format!("set the hardware address of link {index}"))
    }

    /// Sets promiscuous mode.
    pub fn set_promiscuous(&self, index: u32, is_on: bool) -> Result<(), NetlinkError> {
        self.set_flag(index, LinkFlags::Promisc, is_on, || format!("set promiscuous mode of link {index}"))
    }

    /// Sets whether all multicast frames are received.
    pub fn set_all_multicast(&self, index: u32, is_on: bool) -> Result<(), NetlinkError> {
        self.set_flag(index, LinkFlags::Allmulti, is_on, || format!("set all-multicast mode of link {index}"))
    }

    /// Sets what a bridge does with this port: send frames back where they came from, keep ports apart.
    pub fn set_bridge_port(&self, index: u32, hairpin: bool, isolated: bool) -> Result<(), NetlinkError> {
        let data = InfoPortData::BridgePort(vec![
            InfoBridgePort::HairpinMode(hairpin),
            InfoBridgePort::Isolated(isolated),
        ]);
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(data),
        ]));
        message.header.index = index;
        let what = || format!("set the bridge port options of link {index}");
        // RTM_SETLINK would ignore the port's data (rtnl_changelink, net/core/rtnetlink.c).
        self.acknowledged(what, RouteNetlinkMessage::NewLink(message), 0)
    }

    /// Makes the link announce its IPv4 addresses when it comes up (`arp_notify`), through netlink: no sysctl file has
    /// to be written inside the pod.
    pub fn set_arp_notify(&self, index: u32) -> Result<(), NetlinkError> {
        let mut devconf = InetDevConf::default();
        devconf.arp_notify = 1;
        let inet = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(devconf)]);
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![inet]));
        self.change(index, message, || format!("set arp_notify of link {index}"))
    }

    /// Keeps the link from making itself an IPv6 link-local address and speaking with it: the host's end of a pod's
    /// veth is no station of the network.
    pub fn disable_link_local(&self, index: u32) -> Result<(), NetlinkError> {
        let inet6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![inet6]));
        self.change(index, message, || format!("disable link-local addresses of link {index}"))
    }

    pub(in crate::netlink) fn change(
        &self,
        index: u32,
        mut message: LinkMessage,
        what: impl FnOnce() -> String,
    ) -> Result<(), NetlinkError> {
        message.header.index = index;
        self.acknowledged(what, RouteNetlinkMessage::SetLink(message), 0)
    }
}
