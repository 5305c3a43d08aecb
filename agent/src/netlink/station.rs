//! Stations: further hardware addresses that a device receives for.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Makes a device receive frames for `mac` (`bridge fdb add MAC dev LINK self`): a NIC adds a unicast filter, one
    /// without filters becomes promiscuous (`dev_uc_add`, net/core/dev_addr_lists.c).
    pub fn add_station(&self, link: u32, mac: [u8; 6]) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewNeighbour(message(link, mac));
        match self.acknowledged(|| describe("add", link, mac), message, NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            outcome => outcome,
        }
    }

    /// Undoes [`Netlink::add_station`]; a station or device that is gone is a success.
    pub fn delete_station(&self, link: u32, mac: [u8; 6]) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelNeighbour(message(link, mac));
        match self.acknowledged(|| describe("delete", link, mac), message, 0) {
            Err(error) if matches!(error.errno, Errno::ENOENT | Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }
}

fn describe(verb: &str, link: u32, mac: [u8; 6]) -> String {
    format!("{verb} station {mac:02x?} of link {link}")
}

fn message(link: u32, mac: [u8; 6]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = link;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Own;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    message
}
