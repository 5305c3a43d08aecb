//! Routes as the kernel holds them: read whole, put into another table, put back.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use nix::errno::Errno;
use plexus_cni::result::Route;

use super::route::{address, ip, message};
use super::{Netlink, NetlinkError};

/// `RT_TABLE_MAIN`, linux/rtnetlink.h.
pub const TABLE_MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// A unicast route over one link, with its metrics, scope and origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    /// Destination.
    pub dst: IpNet,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// The link that it leaves by.
    pub link: u32,
    /// Table.
    pub table: u32,
    /// The source address that the kernel prefers for it.
    pub source: Option<IpAddr>,
    /// The kernel made it for an address; it comes and goes with that.
    pub is_of_address: bool,
    message: RouteMessage,
}

impl KernelRoute {
    /// A route over `link`, to be put into its table (without one the main table).
    pub fn new(link: u32, route: &Route) -> Self {
        let message = message(link, route);
        let (dst, gateway, table) = (route.dst.trunc(), route.gw, route.table.unwrap_or(TABLE_MAIN));
        Self { dst, gateway, link, table, source: None, is_of_address: false, message }.in_table(table)
    }

    /// The same route in another table.
    #[must_use]
    pub fn in_table(mut self, table: u32) -> Self {
        self.table = table;
        self.message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        self.message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::Table(_)));
        self.message.attributes.push(RouteAttribute::Table(table));
        self
    }

    /// The same route, for which the kernel prefers this source address.
    #[must_use]
    pub fn with_source(mut self, source: IpAddr) -> Self {
        self.source = Some(source);
        self.message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::PrefSource(_)));
        self.message.attributes.push(RouteAttribute::PrefSource(address(source)));
        self
    }

    /// Reads an answer; routes of several next hops and of other types than unicast are not of one link.
    fn from_answer(mut message: RouteMessage, any: IpAddr) -> Option<Self> {
        if message.header.kind != RouteType::Unicast {
            return None;
        }
        let length = message.header.destination_prefix_length;
        let (mut dst, mut gateway, mut link) = (IpNet::new(any, length).ok()?, None, None);
        let (mut table, mut source) = (message.header.table.into(), None);
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(found) => dst = IpNet::new(ip(found)?, length).ok()?,
                RouteAttribute::Gateway(found) => gateway = ip(found),
                RouteAttribute::Oif(found) => link = Some(*found),
                RouteAttribute::Table(found) => table = *found,
                RouteAttribute::PrefSource(found) => source = ip(found),
                _ => {}
            }
        }
        // What the kernel reports and does not take back: its state of the next hop, ages.
        message.header.flags &= RouteFlags::Onlink;
        message.attributes.retain(|attribute| {
            !matches!(
                attribute,
                RouteAttribute::CacheInfo(_) | RouteAttribute::Expires(_) | RouteAttribute::Other(_)
            )
        });
        let is_of_address = message.header.protocol == RouteProtocol::Kernel;
        Some(Self { dst, gateway, link: link?, table, source, is_of_address, message })
    }

    fn describe(&self, verb: &str) -> String {
        let via = self.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        format!("{verb} route {}{via} on link {} in table {}", self.dst, self.link, self.table)
    }
}

impl Netlink {
    /// The unicast routes of a table that leave by link `index`.
    pub fn routes_in_table(&self, index: u32, table: u32) -> Result<Vec<KernelRoute>, NetlinkError> {
        let mut routes =
            self.unicast_routes(|| format!("list the routes of link {index} in table {table}"))?;
        routes.retain(|route| route.link == index && route.table == table);
        Ok(routes)
    }

    /// The tables that have unicast routes.
    pub fn route_tables(&self) -> Result<BTreeSet<u32>, NetlinkError> {
        let routes = self.unicast_routes(|| "list the routing tables".into())?;
        Ok(routes.into_iter().map(|route| route.table).collect())
    }

    fn unicast_routes(&self, what: impl Fn() -> String) -> Result<Vec<KernelRoute>, NetlinkError> {
        let mut routes = Vec::new();
        for any in [IpAddr::from([0_u8; 4]), IpAddr::from([0_u8; 16])] {
            let answers = self.dump_routes(any, &what)?;
            routes.extend(answers.into_iter().filter_map(|answer| KernelRoute::from_answer(answer, any)));
        }
        Ok(routes)
    }

    /// Puts a route into its table; one that is there already is a success.
    pub fn put_route(&self, route: &KernelRoute) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(route.message.clone());
        match self.acknowledged(|| route.describe("put"), message, NLM_F_CREATE) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            outcome => outcome,
        }
    }

    /// Takes a route out of its table; one that is gone already is a success.
    pub fn take_route(&self, route: &KernelRoute) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelRoute(route.message.clone());
        match self.acknowledged(|| route.describe("take"), message, 0) {
            Err(error) if matches!(error.errno, Errno::ESRCH | Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}
