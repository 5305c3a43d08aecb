//! IPv6 duplicate address detection.

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::address::{address_of, message};
use super::{Netlink, NetlinkError};

/// How far detection has come for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DadState {
    /// It is still under way; the address is not used yet.
    pub is_tentative: bool,
    /// Another node has the address.
    pub is_duplicate: bool,
}

impl Netlink {
    /// Gives a link an IPv6 address that is used only after nobody else on the link claimed it.
    pub fn add_address_with_dad(&self, index: u32, address: IpNet) -> Result<(), NetlinkError> {
        let what = || format!("add address {address} to link {index}");
        self.acknowledged(
            what,
            RouteNetlinkMessage::NewAddress(message(index, address)),
            NLM_F_CREATE | NLM_F_EXCL,
        )
    }

    /// The IPv6 addresses of a link, link-local ones included, each with its state.
    pub fn dad_states(&self, index: u32) -> Result<Vec<(IpNet, DadState)>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet6;
        let what = || format!("list the IPv6 addresses of link {index}");
        let answers = self.request(what, RouteNetlinkMessage::GetAddress(message), NLM_F_DUMP)?;
        Ok(answers
            .into_iter()
            .filter_map(|answer| Some((address_of(&answer, index)?, state_of(&answer))))
            .collect())
    }
}

fn state_of(answer: &RouteNetlinkMessage) -> DadState {
    let mut state = DadState { is_tentative: false, is_duplicate: false };
    if let RouteNetlinkMessage::NewAddress(message) = answer {
        for attribute in &message.attributes {
            if let AddressAttribute::Flags(flags) = attribute {
                state.is_tentative |= flags.contains(AddressFlags::Tentative);
                state.is_duplicate |= flags.contains(AddressFlags::Dadfailed);
            }
        }
    }
    state
}
