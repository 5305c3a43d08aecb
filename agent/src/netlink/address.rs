//! Addresses of links.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Gives a link an address; one that it has already is a success.
    ///
    /// IPv6 addresses skip duplicate address detection: IPAM gave them to nobody else, and a second of DAD would be a
    /// second of every pod's start.
    pub fn add_address(&self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        let mut message = message(index, address);
        match address {
            IpNet::V4(v4) if v4.prefix_len() < 31 => {
                message
                    .attributes
                    .push(AddressAttribute::Broadcast(Ipv4Addr::from(u32::from(v4.broadcast()))));
            }
            IpNet::V4(_) => {}
            IpNet::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
        }
        let message = RouteNetlinkMessage::NewAddress(message);
        let what = || format!("add address {address} to link {index}");
        match self.acknowledged(what, message, NLM_F_CREATE | NLM_F_EXCL) {
            Err(error) if error.errno == Errno::EEXIST => Ok(()),
            outcome => outcome,
        }
    }

    /// Takes an address from a link; one that it has not is a success.
    pub fn delete_address(&self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = address.prefix_len();
        message.header.family = family(address.addr());
        message.attributes.push(AddressAttribute::Local(address.addr()));
        let what = || format!("delete address {address} of link {index}");
        match self.acknowledged(what, RouteNetlinkMessage::DelAddress(message), 0) {
            Err(error) if error.errno == Errno::EADDRNOTAVAIL => Ok(()),
            outcome => outcome,
        }
    }

    /// The addresses of a link, link-local ones included.
    pub fn addresses(&self, index: u32) -> Result<Vec<IpNet>, NetlinkError> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.request(|| format!("list the addresses of link {index}"), message, NLM_F_DUMP)?;
        Ok(answers.into_iter().filter_map(|answer| address_of(&answer, index)).collect())
    }
}

pub(super) fn address_of(answer: &RouteNetlinkMessage, index: u32) -> Option<IpNet> {
    let RouteNetlinkMessage::NewAddress(message) = answer else { return None };
    if message.header.index != index {
        return None;
    }
    // IFA_LOCAL is the own address; IPv6 has only IFA_ADDRESS.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    });
    IpNet::new(address?, message.header.prefix_len).ok()
}

/// A link's own address, as requests name it.
pub(super) fn message(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.header.family = family(address.addr());
    message.attributes.push(AddressAttribute::Local(address.addr()));
    message.attributes.push(AddressAttribute::Address(address.addr()));
    message
}

pub(super) fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
