//! Links: find, create, change, delete.

mod change;
mod create;
mod ipvlan;
mod macvlan;
mod names;

use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoIpVlan, InfoMacVlan, InfoVlan, InfoVrf, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo,
    LinkMessage,
};
use nix::errno::Errno;
use nix::net::if_::{if_indextoname, if_nametoindex};

use super::{Netlink, NetlinkError};

pub use change::MovePlan;
pub use create::LinkPlan;
pub use ipvlan::IpvlanMode;
pub use macvlan::MacvlanMode;

/// A link as the kernel reports it.
#[allow(clippy::struct_excessive_bools, reason = "independent flags, as the kernel has them")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// The ipvlan mode, for an ipvlan.
    pub ipvlan_mode: Option<IpvlanMode>,
    /// The VLAN's id, for a VLAN device.
    pub vlan: Option<u16>,
    /// The hardware address that the device was built with, where it has one.
    pub permanent_mac: Option<[u8; 6]>,
    /// The routing table of a VRF.
    pub vrf_table: Option<u32>,
    /// Promiscuous mode was asked for.
    pub is_promiscuous: bool,
    /// All multicast frames are received.
    pub is_all_multicast: bool,
    /// Length of the transmit queue, in packets.
    pub tx_queue_len: u32,
    /// It is a loopback device.
    pub is_loopback: bool,
    /// Alias: a text for people and tools.
    pub alias: Option<String>,
    /// Further names by which it is found.
    pub alt_names: Vec<String>,
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

    /// Whether the namespace of this thread has a link of this index; as quick as [`Netlink::host_index`].
    pub fn has_host_index(index: u32) -> bool {
        // nix takes the null of "there is none" for an empty name.
        if_indextoname(index).is_ok_and(|name| !name.is_empty())
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

    /// Deletes the link with this index; one that is gone already is a success.
    pub fn delete_link(&self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        match self.acknowledged(|| format!("delete link {index}"), RouteNetlinkMessage::DelLink(message), 0) {
            Err(error) if error.errno == Errno::ENODEV => Ok(()),
            outcome => outcome,
        }
    }
}

impl Link {
    /// Whether it is an end of a pair, whose other end is its parent.
    pub fn is_paired(&self) -> bool {
        matches!(&*self.kind, "veth" | "netkit")
    }

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
            ipvlan_mode: None,
            vlan: None,
            permanent_mac: None,
            vrf_table: None,
            is_promiscuous: message.header.flags.contains(LinkFlags::Promisc),
            is_all_multicast: message.header.flags.contains(LinkFlags::Allmulti),
            tx_queue_len: 0,
            is_loopback: message.header.flags.contains(LinkFlags::Loopback),
            alias: None,
            alt_names: Vec::new(),
        };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Address(bytes) => link.mac = bytes.try_into().unwrap_or_default(),
                LinkAttribute::PermAddress(bytes) => link.permanent_mac = bytes.try_into().ok(),
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::TxQueueLen(packets) => link.tx_queue_len = packets,
                LinkAttribute::Controller(index) => link.controller = Some(index),
                LinkAttribute::Link(index) => link.parent = Some(index),
                LinkAttribute::LinkInfo(infos) => link.read_infos(infos),
                LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
                LinkAttribute::PropList(properties) => link.alt_names = names::alternative(properties),
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
                LinkInfo::Data(InfoData::IpVlan(data)) => {
                    self.ipvlan_mode = data.into_iter().find_map(|info| match info {
                        InfoIpVlan::Mode(mode) => IpvlanMode::from_kernel(mode),
                        _ => None,
                    });
                }
                LinkInfo::Data(InfoData::Vlan(data)) => {
                    self.vlan = data.into_iter().find_map(|info| match info {
                        InfoVlan::Id(id) => Some(id),
                        _ => None,
                    });
                }
                LinkInfo::Data(InfoData::Vrf(data)) => {
                    self.vrf_table = data.into_iter().find_map(|info| match info {
                        InfoVrf::TableId(table) => Some(table),
                        _ => None,
                    });
                }
                _ => {}
            }
        }
    }
}
