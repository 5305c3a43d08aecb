//! Routes.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope,
    RouteType,
};
use nix::errno::Errno;
use plexus_cni::result::Route;

use super::address::family;
use super::{Link, Netlink, NetlinkError};

impl Netlink {
    /// Adds a route over a link; one that exists already is a success. To a destination that another link leads to it
    /// is put in front, as the reference plugins do it (`netlink.RouteAddEcmp`: NLM_F_CREATE without NLM_F_EXCL).
    pub fn add_route(&self, index: u32, route: &Route) -> Result<(), NetlinkError> {
        let what = || describe("add", index, route);
        match self.acknowledged(what, RouteNetlinkMessage::NewRoute(message(index, route)), NLM_F_CREATE) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            outcome => outcome,
        }
    }

    /// Deletes a route over a link; one that is gone already is a success.
    pub fn delete_route(&self, index: u32, route: &Route) -> Result<(), NetlinkError> {
        let what = || describe("delete", index, route);
        match self.acknowledged(what, RouteNetlinkMessage::DelRoute(message(index, route)), 0) {
            Err(error) if matches!(error.errno, Errno::ESRCH | Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }

    /// The link that the IPv4 default route leaves by, or else the IPv6 one.
    pub fn default_route_link(&self) -> Result<Option<Link>, NetlinkError> {
        for any in [IpAddr::from([0_u8; 4]), IpAddr::from([0_u8; 16])] {
            let answers = self.dump_routes(any, || "list the default routes".into())?;
            let link = answers
                .into_iter()
                .filter(|message| message.header.destination_prefix_length == 0)
                .find_map(|message| {
                    message.attributes.into_iter().find_map(|attribute| match attribute {
                        RouteAttribute::Oif(link) => Some(link),
                        _ => None,
                    })
                });
            if let Some(link) = link {
                return self.link_by_index(link);
            }
        }
        Ok(None)
    }

    /// The link by which the kernel would send to `address`, if it knows a way.
    pub fn link_towards(&self, address: IpAddr) -> Result<Option<Link>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(address);
        message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
        message.attributes.push(RouteAttribute::Destination(self::address(address)));
        let what = || format!("look up the route to {address}");
        let answers = match self.request(what, RouteNetlinkMessage::GetRoute(message), 0) {
            Err(error) if matches!(error.errno, Errno::ENETUNREACH | Errno::EHOSTUNREACH) => return Ok(None),
            outcome => outcome?,
        };
        let attributes = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(message) => Some(message.attributes),
            _ => None,
        });
        let link = attributes.flatten().find_map(|attribute| match attribute {
            RouteAttribute::Oif(link) => Some(link),
            _ => None,
        });
        link.map_or(Ok(None), |link| self.link_by_index(link))
    }

    pub(super) fn dump_routes(
        &self,
        any: IpAddr,
        what: impl FnOnce() -> String,
    ) -> Result<Vec<RouteMessage>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(any);
        let answers = self.request(what, RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewRoute(message) => Some(message),
                _ => None,
            })
            .collect())
    }

    /// The routes of the namespace that leave by link `index`: destination, next hop, metric and table.
    pub fn routes(&self, index: u32) -> Result<Vec<Route>, NetlinkError> {
        let mut routes = Vec::new();
        for any in [IpAddr::from([0_u8; 4]), IpAddr::from([0_u8; 16])] {
            let answers = self.dump_routes(any, || format!("list the routes of link {index}"))?;
            let leaving = answers.into_iter().filter_map(|message| route_of(message, any));
            routes.extend(leaving.filter(|(link, _)| *link == index).map(|(_, route)| route));
        }
        Ok(routes)
    }
}

fn describe(verb: &str, index: u32, route: &Route) -> String {
    let via = route.gw.map(|gw| format!(" via {gw}")).unwrap_or_default();
    format!("{verb} route {}{via} on link {index}", route.dst)
}

pub(super) fn message(index: u32, route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(route.dst.addr());
    message.header.destination_prefix_length = route.dst.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.kind = RouteType::Unicast;
    message.header.scope = match (route.scope, route.gw) {
        (Some(scope), _) => RouteScope::from(scope),
        (None, Some(_)) => RouteScope::Universe,
        (None, None) => RouteScope::Link,
    };
    let attributes = &mut message.attributes;
    attributes.push(RouteAttribute::Destination(address(route.dst.trunc().addr())));
    attributes.push(RouteAttribute::Oif(index));
    attributes.extend(route.gw.map(|gw| RouteAttribute::Gateway(address(gw))));
    attributes.extend(route.priority.map(RouteAttribute::Priority));
    attributes.extend(route.table.map(RouteAttribute::Table));
    let mut metrics = Vec::new();
    metrics.extend(route.mtu.map(RouteMetric::Mtu));
    metrics.extend(route.advmss.map(RouteMetric::Advmss));
    if !metrics.is_empty() {
        attributes.push(RouteAttribute::Metrics(metrics));
    }
    message
}

pub(super) fn address(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}

fn route_of(message: RouteMessage, any: IpAddr) -> Option<(u32, Route)> {
    let mut route = Route::new(IpNet::new(any, message.header.destination_prefix_length).ok()?, None);
    let mut link = None;
    route.table = Some(message.header.table.into());
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Oif(oif) => link = Some(oif),
            RouteAttribute::Destination(dst) => {
                route.dst = IpNet::new(ip(&dst)?, message.header.destination_prefix_length).ok()?;
            }
            RouteAttribute::Gateway(gw) => route.gw = ip(&gw),
            RouteAttribute::Priority(priority) => route.priority = Some(priority),
            RouteAttribute::Table(table) => route.table = Some(table),
            _ => {}
        }
    }
    Some((link?, route))
}

pub(super) fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}
