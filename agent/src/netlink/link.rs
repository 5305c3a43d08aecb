//! Links: find, create, change, delete.

use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoBridge, InfoBridgePort, InfoData,
    InfoKind, InfoMacVlan, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkExtentMask, LinkFlags,
    LinkInfo, LinkMessage, MacVlanMode,
};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;

use super::{Netlink, NetlinkError};

/// A link as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Index in its network namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// MTU in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub is_up: bool,
    /// Carrier and operational state allow traffic.
    pub is_running: bool,
    /// Kind, such as `macvlan`; empty for hardware.
    pub kind: String,
    /// Index of the bridge it is a port of.
    pub controller: Option<u32>,
    /// Index of the parent or peer.
    pub parent: Option<u32>,
    /// The macvlan mode, for a macvlan.
    pub macvlan_mode: Option<MacvlanMode>,
    /// Promiscuous mode was asked for.
    pub is_promiscuous: bool,
}

/// How siblings of one parent reach each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacvlanMode {
    /// Directly.
    #[default]
    Bridge,
    /// Not at all.
    Private,
    /// Through the switch that the parent is attached to.
    Vepa,
    /// There is one child, which takes the parent over.
    Passthru,
}

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
    /// The link called `name`, if there is one.
    pub fn link_by_name(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.link(message, || format!("look up link {name}"))
    }

    /// The index of the link called `name`, if there is one, of the namespace of this thread.
    ///
    /// An ioctl, a tenth of the time of the look-up that tells more.
    pub fn host_index(name: &str) -> Result<Option<u32>, NetlinkError> {
        match if_nametoindex(name) {
            Ok(index) => Ok(Some(index)),
            Err(Errno::ENODEV | Errno::ENXIO) => Ok(None),
            Err(errno) => Err(NetlinkError { what: format!("look up link {name}"), errno }),
        }
    }

    /// The link with this index, if there is one.
    pub fn link_by_index(&self, index: u32) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        self.link(message, || format!("look up link {index}"))
    }

    fn link(
        &self,
        mut message: LinkMessage,
        what: impl FnOnce() -> String,
    ) -> Result<Option<Link>, NetlinkError> {
        // Nobody here reads statistics, which are most of the kernel's work for an answer.
        message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        match self.request(what, RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(Link::from_answer)),
            // ERANGE: no link has a name of more than 15 bytes.
            Err(error) if matches!(error.errno, Errno::ENODEV | Errno::ENXIO | Errno::ERANGE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All links of the namespace.
    pub fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let message = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answers = self.request(|| "list links".into(), message, NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(Link::from_answer).collect())
    }

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

    /// Creates a veth pair, each end directly in its final namespace.
    pub fn add_veth(&self, host: &LinkPlan<'_>, peer: &LinkPlan<'_>) -> Result<(), NetlinkError> {
        let data = InfoData::Veth(InfoVeth::Peer(peer.bare()));
        let message = host.message(InfoKind::Veth, Some(data));
        self.create(message, || format!("create the veth pair {} and {}", host.name, peer.name))
    }

    /// Creates a bridge.
    pub fn add_bridge(&self, plan: &LinkPlan<'_>, vlan_filtering: bool) -> Result<(), NetlinkError> {
        let data = vlan_filtering.then(|| InfoData::Bridge(vec![InfoBridge::VlanFiltering(true)]));
        self.create(plan.message(InfoKind::Bridge, data), || format!("create bridge {}", plan.name))
    }

    fn create(&self, message: LinkMessage, what: impl FnOnce() -> String) -> Result<(), NetlinkError> {
        self.acknowledged(what, RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Deletes the link with this index; one that is gone already is a success.
    pub fn delete_link(&self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.acknowledged(|| format!("delete link {index}"), RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if error.errno == Errno::ENODEV => Ok(()),
            outcome => outcome,
        }
    }

    /// Sets the link up.
    pub fn set_up(&self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.change(index, message, || format!("set link {index} up"))
    }

    /// Makes a link a port of a bridge.
    pub fn set_controller(&self, index: u32, bridge: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Controller(bridge));
        self.change(index, message, || format!("make link {index} a port of bridge {bridge}"))
    }

    /// Changes the hardware address.
    pub fn set_mac(&self, index: u32, mac: [u8; 6]) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        self.change(index, message, || format!("set the hardware address of link {index}"))
    }

    /// Sets promiscuous mode.
    pub fn set_promiscuous(&self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Promisc;
        message.header.change_mask = LinkFlags::Promisc;
        self.change(index, message, || format!("set link {index} promiscuous"))
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

    fn change(
        &self,
        index: u32,
        mut message: LinkMessage,
        what: impl FnOnce() -> String,
    ) -> Result<(), NetlinkError> {
        message.header.index = index;
        self.acknowledged(what, RouteNetlinkMessage::SetLink(message), 0)
    }
}

impl Link {
    fn from_answer(answer: RouteNetlinkMessage) -> Option<Self> {
        let RouteNetlinkMessage::NewLink(message) = answer else { return None };
        let mut link = Link {
            index: message.header.index,
            name: String::new(),
            mac: [0; 6],
            mtu: 0,
            is_up: message.header.flags.contains(LinkFlags::Up),
            is_running: message.header.flags.contains(LinkFlags::Running),
            kind: String::new(),
            controller: None,
            parent: None,
            macvlan_mode: None,
            is_promiscuous: message.header.flags.contains(LinkFlags::Promisc),
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().unwrap_or_default(),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::Controller(index) => link.controller = Some(index),
                LinkAttribute::Link(index) => link.parent = Some(index),
                LinkAttribute::LinkInfo(infos) => link.read_infos(infos),
                _ => {}
            }
        }
        Some(link)
    }

    fn read_infos(&mut self, infos: Vec<LinkInfo>) {
        for info in infos {
            match info {
                LinkInfo::Kind(kind) => self.kind = kind.to_string(),
                LinkInfo::Data(InfoData::MacVlan(data)) => {
                    self.macvlan_mode = data.into_iter().find_map(|info| match info {
                        InfoMacVlan::Mode(mode) => MacvlanMode::from_kernel(mode),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
    }
}

impl MacvlanMode {
    fn from_kernel(mode: MacVlanMode) -> Option<Self> {
        match mode {
            MacVlanMode::Bridge => Some(Self::Bridge),
            MacVlanMode::Private => Some(Self::Private),
            MacVlanMode::Vepa => Some(Self::Vepa),
            MacVlanMode::Passthrough => Some(Self::Passthru),
            _ => None,
        }
    }
}

impl From<MacvlanMode> for MacVlanMode {
    fn from(mode: MacvlanMode) -> Self {
        match mode {
            MacvlanMode::Bridge => Self::Bridge,
            MacvlanMode::Private => Self::Private,
            MacvlanMode::Vepa => Self::Vepa,
            MacvlanMode::Passthru => Self::Passthrough,
        }
    }
}
