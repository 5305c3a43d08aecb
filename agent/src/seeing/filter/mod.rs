//! Which frames of a capture are wanted.
//!
//! ```text
//! filter  = term { "or" term }
//! term    = factor { "and" factor }
//! factor  = "not" factor | "(" filter ")" | test
//! test    = protocol | [ "src" | "dst" ] ( "host" ADDRESS | "net" PREFIX | "port" NUMBER )
//! protocol = "tcp" | "udp" | "icmp" | "icmp6" | "arp" | "ip" | "ip6"
//! ```

mod parse;

use std::net::IpAddr;

use etherparse::{EtherType, IpNumber};
use ipnet::IpNet;

use super::packet::Packet;

/// A filter that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Either.
    Or(Box<Filter>, Box<Filter>),
    /// Both.
    And(Box<Filter>, Box<Filter>),
    /// The opposite.
    Not(Box<Filter>),
    /// What the packet is.
    Protocol(Protocol),
    /// An address within a prefix.
    Net(Side, IpNet),
    /// A port of TCP or UDP.
    Port(Side, u16),
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are their names")]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Icmp6,
    Arp,
    Ip,
    Ip6,
}

/// Which end of a packet is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
    /// One of both.
    Either,
}

/// Why a text is no filter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filter cannot be used: {0}; see `plexusctl capture --help`")]
pub struct FilterError(String);

impl Filter {
    /// Whether the packet is wanted. Of ARP sender and target count as hosts.
    pub fn wants(&self, packet: &Packet) -> bool {
        match self {
            Self::Or(one, other) => one.wants(packet) || other.wants(packet),
            Self::And(one, other) => one.wants(packet) && other.wants(packet),
            Self::Not(filter) => !filter.wants(packet),
            Self::Protocol(protocol) => protocol.is_of(packet),
            Self::Net(side, net) => {
                let contains = |ip: IpAddr| net.contains(&ip);
                side.holds(packet.source, packet.destination, contains)
            }
            Self::Port(side, port) => {
                side.holds(packet.source_port, packet.destination_port, |own| own == *port)
            }
        }
    }
}

impl Protocol {
    fn is_of(self, packet: &Packet) -> bool {
        let is_ip = |number: IpNumber| packet.protocol == Some(number.0);
        match self {
            Self::Tcp => is_ip(IpNumber::TCP),
            Self::Udp => is_ip(IpNumber::UDP),
            Self::Icmp => is_ip(IpNumber::ICMP),
            Self::Icmp6 => is_ip(IpNumber::IPV6_ICMP),
            Self::Arp => packet.ethertype == Some(EtherType::ARP.0),
            Self::Ip => packet.ethertype == Some(EtherType::IPV4.0),
            Self::Ip6 => packet.ethertype == Some(EtherType::IPV6.0),
        }
    }
}

impl Side {
    fn holds<T>(self, source: Option<T>, destination: Option<T>, test: impl Fn(T) -> bool) -> bool {
        let is_source = source.is_some_and(&test);
        let is_destination = destination.is_some_and(&test);
        match self {
            Self::Source => is_source,
            Self::Destination => is_destination,
            Self::Either => is_source || is_destination,
        }
    }
}

#[cfg(test)]
mod tests;
