//! Where a packet wants to go.

use plexus_abi::Address;

use super::{
    ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet},
    frame::Frame,
};

/// Offset of the destination in an IPv4 header.
const V4_OFFSET: u32 = 16;
/// Offset of the destination in an IPv6 header.
const V6_OFFSET: u32 = 24;

/// An address that routes apply to, in the form in which tries are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// IPv4, in network order.
    V4([u8; 4]),
    /// IPv6, in network order.
    V6([u8; 16]),
}

impl Destination {
    /// The destination of an IP packet; nothing for another protocol, a frame that is cut off, and for addresses that no
    /// route applies to: groups, broadcast, and those of one link.
    #[inline(always)]
    pub fn of<F: Frame + ?Sized>(frame: &F, ethernet: &Ethernet) -> Option<Self> {
        match ethernet.ethertype {
            ETHERTYPE_IPV4 => {
                let address = frame.read::<4>(ethernet.payload + V4_OFFSET)?;
                let is_of_link = address[0] >= 224 || (address[0] == 169 && address[1] == 254);
                (!is_of_link).then_some(Self::V4(address))
            }
            ETHERTYPE_IPV6 => {
                let address = frame.read::<16>(ethernet.payload + V6_OFFSET)?;
                let is_of_link = address[0] == 0xff || (address[0] == 0xfe && address[1] & 0xc0 == 0x80);
                (!is_of_link).then_some(Self::V6(address))
            }
            _ => None,
        }
    }

    /// The same as an address.
    #[inline(always)]
    pub const fn address(&self) -> Address {
        match self {
            Self::V4(bytes) => Address::v4(*bytes),
            Self::V6(bytes) => Address::v6(*bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(ethertype: u16, packet: &[u8]) -> Option<Destination> {
        let mut frame = vec![0; 12];
        frame.extend(ethertype.to_be_bytes());
        frame.extend(packet);
        Destination::of(frame.as_slice(), &Ethernet::parse(frame.as_slice())?)
    }

    fn v4(address: [u8; 4]) -> Vec<u8> {
        [&[0; V4_OFFSET as usize][..], &address].concat()
    }

    fn v6(address: [u8; 16]) -> Vec<u8> {
        [&[0; V6_OFFSET as usize][..], &address].concat()
    }

    #[test]
    fn groups_broadcasts_and_addresses_of_one_link_have_no_route() {
        for address in [[224, 0, 0, 1], [239, 1, 2, 3], [255; 4], [169, 254, 169, 254]] {
            assert_eq!(of(ETHERTYPE_IPV4, &v4(address)), None, "{address:?}");
        }
        for start in [[0xff, 2], [0xfe, 0x80], [0xfe, 0xbf]] {
            let mut address = [0; 16];
            address[..2].copy_from_slice(&start);
            assert_eq!(of(ETHERTYPE_IPV6, &v6(address)), None, "{address:?}");
        }
        assert_eq!(of(ETHERTYPE_IPV4, &v4([169, 253, 0, 1])), Some(Destination::V4([169, 253, 0, 1])));
    }

    #[test]
    fn a_packet_that_is_cut_off_or_no_ip_has_no_destination() {
        assert_eq!(of(ETHERTYPE_IPV4, &[0; 19]), None);
        assert_eq!(of(ETHERTYPE_IPV6, &[0; 39]), None);
        assert_eq!(of(0x0806, &[1; 40]), None);
    }

    proptest! {
        #[test]
        fn the_address_is_that_of_the_header(bytes: [u8; 16]) {
            if let Some(found) = of(ETHERTYPE_IPV6, &v6(bytes)) {
                prop_assert_eq!(found.address(), Address::v6(bytes));
            }
            let short = [bytes[0], bytes[1], bytes[2], bytes[3]];
            if let Some(found) = of(ETHERTYPE_IPV4, &v4(short)) {
                prop_assert_eq!(found.address(), Address::v4(short));
            }
        }
    }
}
