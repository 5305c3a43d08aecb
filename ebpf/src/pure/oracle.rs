//! A second opinion on the guard: the same rules, written again on etherparse, which shares no code with our parser.
//!
//! Only for tests and fuzzing, which compare the verdicts frame by frame. Where a header is cut off, our parser asks for
//! the bytes that it reads and etherparse for whole headers, so etherparse gets the frame with zeros behind it, and the
//! lengths are compared here.

use etherparse::icmpv6::NdpOptionHeader;
use etherparse::{
    ArpOperation, ArpPacketSlice, EtherType, Ethernet2HeaderSlice, IpAuthHeaderSlice, IpNumber,
    Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice, UdpHeaderSlice,
};
use plexus_abi::{Address, DropReason, PORT_GUARD_IP, PORT_GUARD_MAC, PortConfig};

/// Zeros behind the frame: more than the longest extension header and what follows it.
const PADDING: usize = 4096;
/// A chain of as many extension headers is refused, and so is the fifth option of neighbour discovery.
const EXTENSIONS_REFUSED: usize = 6;
const OPTIONS_ALLOWED: usize = 4;

type Verdict = Result<(), DropReason>;

/// A frame of known length in a longer, zeroed buffer.
struct Padded {
    bytes: Vec<u8>,
    length: usize,
}

impl Padded {
    /// What starts at `offset`, with the zeros; an error if fewer than `needed` bytes are of the frame.
    fn from(&self, offset: usize, needed: usize) -> Result<&[u8], DropReason> {
        if offset.saturating_add(needed) > self.length {
            return Err(DropReason::Malformed);
        }
        self.bytes.get(offset..).ok_or(DropReason::Malformed)
    }
}

/// What the guard has to say of this frame.
pub(crate) fn verdict(frame: &[u8], port: &PortConfig) -> Verdict {
    let mut bytes = frame.to_vec();
    bytes.resize(frame.len() + PADDING, 0);
    let padded = Padded { bytes, length: frame.len() };
    let ethernet = Ethernet2HeaderSlice::from_slice(frame).map_err(|_| DropReason::Malformed)?;
    match ethernet.ether_type() {
        // A tag that is cut off is no tag yet.
        EtherType::VLAN_TAGGED_FRAME => return padded.from(14, 4).and(Err(DropReason::Tagged)),
        EtherType::PROVIDER_BRIDGING | EtherType::VLAN_DOUBLE_TAGGED_FRAME => return Err(DropReason::Tagged),
        _ => {}
    }
    let [a, b, c, d, e, f] = ethernet.destination();
    if [a, b, c, d, e] == [0x01, 0x80, 0xc2, 0, 0] && f < 16 {
        return Err(DropReason::ReservedDestination);
    }
    if ethernet.source()[0] % 2 == 1 {
        return Err(DropReason::Malformed);
    }
    let (guards_mac, guards_ip) = (port.has(PORT_GUARD_MAC), port.has(PORT_GUARD_IP));
    if guards_mac && ethernet.source() != port.mac {
        return Err(DropReason::SpoofedMac);
    }
    match ethernet.ether_type() {
        EtherType::ARP if guards_mac || guards_ip => arp(&padded, port),
        EtherType::IPV4 if guards_ip => v4(&padded, port),
        EtherType::IPV6 if guards_mac || guards_ip => v6(&padded, port),
        _ => Ok(()),
    }
}

fn arp(padded: &Padded, port: &PortConfig) -> Verdict {
    let bytes = padded.from(14, 18)?;
    if bytes[4..6] != [6, 4] {
        return Err(DropReason::SpoofedArp);
    }
    let arp = ArpPacketSlice::from_slice(bytes).map_err(|_| DropReason::SpoofedArp)?;
    let is_ethernet_ipv4 = arp.hw_addr_type().0 == 1 && arp.proto_addr_type() == EtherType::IPV4;
    if !is_ethernet_ipv4 || port.has(PORT_GUARD_MAC) && arp.sender_hw_addr() != port.mac {
        return Err(DropReason::SpoofedArp);
    }
    let sender: [u8; 4] = arp.sender_protocol_addr().try_into().map_err(|_| DropReason::SpoofedArp)?;
    let is_probe = sender == [0; 4] && arp.operation() == ArpOperation::REQUEST;
    if port.has(PORT_GUARD_IP) && !is_probe && !owns(port, Address::v4(sender)) {
        return Err(DropReason::SpoofedArp);
    }
    Ok(())
}

fn v4(padded: &Padded, port: &PortConfig) -> Verdict {
    let ip = Ipv4HeaderSlice::from_slice(padded.from(14, 20)?).map_err(|_| DropReason::Malformed)?;
    if owns(port, Address::v4(ip.source())) {
        return Ok(());
    }
    let transport = 14 + usize::from(ip.ihl()) * 4;
    let is_first_of_udp = ip.protocol() == IpNumber::UDP && ip.fragments_offset().value() == 0;
    if ip.source() != [0; 4] || !is_first_of_udp {
        return Err(DropReason::SpoofedIp);
    }
    let udp = padded.from(transport, 4).map_err(|_| DropReason::SpoofedIp)?;
    let udp = UdpHeaderSlice::from_slice(udp).map_err(|_| DropReason::SpoofedIp)?;
    let is_dhcp = (udp.source_port(), udp.destination_port()) == (68, 67);
    if is_dhcp { Ok(()) } else { Err(DropReason::SpoofedIp) }
}

/// What lies behind the extension headers.
struct Upper {
    protocol: IpNumber,
    offset: usize,
    is_fragment: bool,
    is_later_fragment: bool,
}

fn v6(padded: &Padded, port: &PortConfig) -> Verdict {
    let ip = Ipv6HeaderSlice::from_slice(padded.from(14, 40)?).map_err(|_| DropReason::Malformed)?;
    let upper = upper(padded, ip.next_header())?;
    let source = Address::v6(ip.source());
    if upper.protocol == IpNumber::IPV6_ICMP && !upper.is_later_fragment {
        return icmp(padded, &upper, source, port);
    }
    let is_own = source != Address::UNSPECIFIED && owns(port, source);
    if port.has(PORT_GUARD_IP) && !is_own { Err(DropReason::SpoofedIp) } else { Ok(()) }
}

fn upper(padded: &Padded, first: IpNumber) -> Result<Upper, DropReason> {
    let mut upper = Upper { protocol: first, offset: 54, is_fragment: false, is_later_fragment: false };
    for seen in 1.. {
        let (next, bytes) = match upper.protocol {
            IpNumber::IPV6_HEADER_HOP_BY_HOP
            | IpNumber::IPV6_ROUTE_HEADER
            | IpNumber::IPV6_DESTINATION_OPTIONS => {
                let header = Ipv6RawExtHeaderSlice::from_slice(padded.from(upper.offset, 4)?);
                let header = header.map_err(|_| DropReason::Malformed)?;
                (header.next_header(), header.slice().len())
            }
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(padded.from(upper.offset, 4)?);
                let header = header.map_err(|_| DropReason::Malformed)?;
                upper.is_fragment = true;
                upper.is_later_fragment = header.fragment_offset().value() != 0;
                (header.next_header(), header.slice().len())
            }
            IpNumber::AUTHENTICATION_HEADER => {
                let bytes = padded.from(upper.offset, 4)?;
                // etherparse refuses one without a payload, which is skipped here as its length says.
                IpAuthHeaderSlice::from_slice(bytes)
                    .map_or((IpNumber(bytes[0]), 8), |header| (header.next_header(), header.slice().len()))
            }
            _ => return Ok(upper),
        };
        upper.protocol = next;
        upper.offset += bytes;
        if upper.is_later_fragment {
            return Ok(upper);
        }
        if seen == EXTENSIONS_REFUSED {
            break;
        }
    }
    Err(DropReason::Malformed)
}

fn icmp(padded: &Padded, upper: &Upper, source: Address, port: &PortConfig) -> Verdict {
    let kind = padded.from(upper.offset, 1)?[0];
    let guards_ip = port.has(PORT_GUARD_IP);
    let may_be_from_nobody = matches!(kind, 131 | 132 | 133 | 135 | 143);
    let is_own = owns(port, source) || may_be_from_nobody && source == Address::UNSPECIFIED;
    if guards_ip && !is_own {
        return Err(DropReason::SpoofedIp);
    }
    if !(133..=137).contains(&kind) {
        return Ok(());
    }
    if upper.is_fragment {
        return Err(DropReason::SpoofedNd);
    }
    let header_bytes = match kind {
        134 if guards_ip => return Err(DropReason::RouterAdvertisement),
        137 if guards_ip => return Err(DropReason::SpoofedNd),
        // The options of a redirect speak of another machine.
        137 => return Ok(()),
        133 => 8,
        134 => 16,
        _ => {
            let target = &padded.from(upper.offset, 24)?[8..24];
            let target = Address::v6(target.try_into().map_err(|_| DropReason::Malformed)?);
            let claims = kind == 136 || source == Address::UNSPECIFIED;
            if guards_ip && claims && !owns(port, target) {
                return Err(DropReason::SpoofedNd);
            }
            24
        }
    };
    if port.has(PORT_GUARD_MAC) { options(padded, upper.offset + header_bytes, port) } else { Ok(()) }
}

fn options(padded: &Padded, mut offset: usize, port: &PortConfig) -> Verdict {
    for _ in 0..OPTIONS_ALLOWED {
        let Ok(bytes) = padded.from(offset, 2) else { return Ok(()) };
        let (header, _) = NdpOptionHeader::from_slice(bytes).map_err(|_| DropReason::SpoofedNd)?;
        if header.length_units == 0 {
            return Err(DropReason::SpoofedNd);
        }
        if matches!(header.option_type.0, 1 | 2) && padded.from(offset, 8)?[2..8] != port.mac {
            return Err(DropReason::SpoofedNd);
        }
        offset += header.byte_len();
    }
    padded.from(offset, 1).map_or(Ok(()), |_| Err(DropReason::SpoofedNd))
}

/// Whether the port has the address: configured, or the link-local one of its MAC.
fn owns(port: &PortConfig, address: Address) -> bool {
    let count = usize::try_from(port.address_count).unwrap_or(usize::MAX);
    port.addresses.iter().take(count).any(|own| *own == address) || Address::link_local(port.mac) == address
}
