//! The floor: what the kernel itself takes for a macvlan with an address, asked over two open netlink sockets.

use std::net::Ipv4Addr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::net::if_::if_nametoindex;
use plexus_agent::lab::NetNs;

use super::arm::{Arm, IFNAME};
use super::netlink::Netlink;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 2);
const PREFIX_LEN: u8 = 16;

/// Create in the pod's namespace, look up, address, up; delete. No process, no file, no checks.
pub(super) struct Floor {
    host: Netlink,
    pod: Netlink,
    parent: u32,
    netns: NetNs,
}

impl Floor {
    pub(super) fn new(parent: &str, netns: NetNs) -> Result<Self> {
        let parent = if_nametoindex(parent).with_context(|| format!("no interface {parent}"))?;
        let pod = netns.within(Netlink::open)??;
        Ok(Self { host: Netlink::open()?, pod, parent, netns })
    }

    fn index(&mut self) -> Result<u32> {
        let mut wanted = LinkMessage::default();
        wanted.attributes.push(LinkAttribute::IfName(IFNAME.into()));
        match self.pod.call("look the macvlan up", RouteNetlinkMessage::GetLink(wanted), 0)? {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link.header.index),
            other => anyhow::bail!("the kernel answered the look-up of {IFNAME} with {other:?}"),
        }
    }

    fn create(&mut self) -> Result<()> {
        let mut link = LinkMessage::default();
        link.attributes = vec![
            LinkAttribute::IfName(IFNAME.into()),
            LinkAttribute::Link(self.parent),
            LinkAttribute::NetNsFd(self.netns.fd().as_raw_fd()),
            LinkAttribute::LinkInfo(vec![
                LinkInfo::Kind(InfoKind::MacVlan),
                LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)])),
            ]),
        ];
        self.host.call("create a macvlan", RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL)?;
        let index = self.index()?;
        let mut address = AddressMessage::default();
        address.header.family = AddressFamily::Inet;
        address.header.prefix_len = PREFIX_LEN;
        address.header.index = index;
        address.attributes =
            vec![AddressAttribute::Address(ADDRESS.into()), AddressAttribute::Local(ADDRESS.into())];
        let request = RouteNetlinkMessage::NewAddress(address);
        self.pod.call("add an address", request, NLM_F_CREATE | NLM_F_EXCL)?;
        let mut up = LinkMessage::default();
        up.header.index = index;
        up.header.flags = LinkFlags::Up;
        up.header.change_mask = LinkFlags::Up;
        self.pod.call("set the macvlan up", RouteNetlinkMessage::SetLink(up), 0)?;
        Ok(())
    }
}

impl Arm for Floor {
    fn name(&self) -> &'static str {
        "floor"
    }

    fn add(&mut self) -> Result<Duration> {
        let started = Instant::now();
        self.create()?;
        Ok(started.elapsed())
    }

    fn del(&mut self) -> Result<Duration> {
        let started = Instant::now();
        let mut link = LinkMessage::default();
        link.attributes.push(LinkAttribute::IfName(IFNAME.into()));
        self.pod.call("delete the macvlan", RouteNetlinkMessage::DelLink(link), 0)?;
        Ok(started.elapsed())
    }
}
