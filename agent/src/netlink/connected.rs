//! Routes that belong to an address: the kernel's own to its subnet, and ours that name it as the source.

use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{RouteAttribute, RouteProtocol, RouteScope};
use nix::errno::Errno;
use plexus_cni::result::Route;

use super::route::{address, message};
use super::{Netlink, NetlinkError};

impl Netlink {
    /// Adds a route over a link whose packets start with `source`; one that exists already is a success.
    pub fn add_route_from(&self, index: u32, route: &Route, source: IpAddr) -> Result<(), NetlinkError> {
        let mut message = message(index, route);
        message.attributes.push(RouteAttribute::PrefSource(address(source)));
        let what = || format!("add route {} from {source} on link {index}", route.dst);
        match self.acknowledged(what, RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            outcome => outcome,
        }
    }

    /// Deletes the route to an address' subnet that the kernel made with the address; one that is not there is a success.
    pub fn delete_connected_route(&self, index: u32, of: IpNet) -> Result<(), NetlinkError> {
        let mut message = message(index, &Route::new(of.trunc(), None));
        // Whatever made it, and whatever its scope is.
        message.header.protocol = RouteProtocol::Unspec;
        message.header.scope = RouteScope::NoWhere;
        let what = || format!("delete the route to {} on link {index}", of.trunc());
        match self.acknowledged(what, RouteNetlinkMessage::DelRoute(message), 0) {
            Err(error) if matches!(error.errno, Errno::ESRCH | Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}
