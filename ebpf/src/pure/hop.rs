//! What a router needs of a packet.

use plexus_abi::Address;

use super::{
    ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet},
    frame::Frame,
};

/// First byte of an IPv4 header without options.
const V4_PLAIN: u8 = 0x45;
/// Next header of IPv6 that every router must look at.
const HOP_BY_HOP: u8 = 0;

/// A packet on its way through a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Where the IP header starts.
    pub offset: u32,
    /// TTL or hop limit.
    pub hops: u8,
    /// IPv4: the protocol, which shares a word of the checksum with the TTL. IPv6: the next header.
    pub protocol: u8,
    /// Whether this is IPv4.
    pub is_v4: bool,
    /// Whether the kernel's stack must see it: its last hop, which asks for an ICMP error, or options for routers.
    pub is_for_stack: bool,
}

impl Hop {
    /// Reads the IP header behind an Ethernet header; nothing if it is cut off, or neither IPv4 nor IPv6.
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &F, ethernet: &Ethernet) -> Option<Self> {
        match ethernet.ethertype {
            ETHERTYPE_IPV4 => Self::v4(frame, ethernet.payload),
            ETHERTYPE_IPV6 => Self::v6(frame, ethernet.payload),
            _ => None,
        }
    }

    #[inline(always)]
    fn v4<F: Frame + ?Sized>(frame: &F, offset: u32) -> Option<Self> {
        let header = frame.read::<20>(offset)?;
        if header[0] >> 4 != 4 {
            return None;
        }
        Some(Self {
            source: Address::v4([header[12], header[13], header[14], header[15]]),
            destination: Address::v4([header[16], header[17], header[18], header[19]]),
            offset,
            hops: header[8],
            protocol: header[9],
            is_v4: true,
            is_for_stack: header[8] <= 1 || header[0] != V4_PLAIN,
        })
    }

    #[inline(always)]
    fn v6<F: Frame + ?Sized>(frame: &F, offset: u32) -> Option<Self> {
        let [first, _, _, _, _, _, next, hops] = frame.read::<8>(offset)?;
        if first >> 4 != 6 {
            return None;
        }
        Some(Self {
            source: Address::v6(frame.read::<16>(offset + 8)?),
            destination: Address::v6(frame.read::<16>(offset + 24)?),
            offset,
            hops,
            protocol: next,
            is_v4: false,
            is_for_stack: hops <= 1 || next == HOP_BY_HOP,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(ethertype: u16, packet: &[u8]) -> Option<Hop> {
        let mut frame = vec![2; 12];
        frame.extend(ethertype.to_be_bytes());
        frame.extend(packet);
        Hop::parse(frame.as_slice(), &Ethernet::parse(frame.as_slice())?)
    }

    #[test]
    fn the_last_hop_and_options_are_for_the_stack() {
        let mut packet = [0; 20];
        (packet[0], packet[8], packet[19]) = (0x45, 64, 9);
        let hop = parse(ETHERTYPE_IPV4, &packet).expect("whole");
        assert!(!hop.is_for_stack && hop.destination == Address::v4([0, 0, 0, 9]), "{hop:?}");
        packet[8] = 1;
        assert!(parse(ETHERTYPE_IPV4, &packet).expect("whole").is_for_stack);
        (packet[0], packet[8]) = (0x46, 64);
        assert!(parse(ETHERTYPE_IPV4, &packet).expect("whole").is_for_stack);
        let mut packet = [0; 40];
        (packet[0], packet[6], packet[7]) = (0x60, 17, 64);
        assert!(!parse(ETHERTYPE_IPV6, &packet).expect("whole").is_for_stack);
        packet[6] = HOP_BY_HOP;
        assert!(parse(ETHERTYPE_IPV6, &packet).expect("whole").is_for_stack);
    }

    #[test]
    fn what_is_cut_off_or_no_ip_is_not_routed() {
        assert_eq!(parse(ETHERTYPE_IPV4, &[0x45; 19]), None);
        assert_eq!(parse(ETHERTYPE_IPV6, &[0x60; 39]), None);
        assert_eq!(parse(ETHERTYPE_IPV4, &[0x65; 20]), None);
        assert_eq!(parse(0x0806, &[0x45; 40]), None);
    }
}
