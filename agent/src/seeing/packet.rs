//! What a frame says, as far as its first bytes tell.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use etherparse::{
    ArpOperation, EtherType, IpNumber, LaxNetSlice, LaxSlicedPacket, LinkSlice, TransportSlice,
};
use serde::Serialize;

const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Where the target's address stands in neighbour discovery.
const TARGET: std::ops::Range<usize> = 8..24;

/// A frame's addresses and what it carries; what is not there, or cut off, is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Packet {
    /// Source MAC address.
    pub source_mac: Option<String>,
    /// Destination MAC address.
    pub destination_mac: Option<String>,
    /// VLAN tags, outermost first.
    pub vlans: Vec<u16>,
    /// EtherType behind the tags.
    pub ethertype: Option<u16>,
    /// Source address; of ARP the sender's.
    pub source: Option<IpAddr>,
    /// Destination address; of ARP the target's.
    pub destination: Option<IpAddr>,
    /// Protocol number of IP.
    pub protocol: Option<u8>,
    /// Source port of TCP or UDP.
    pub source_port: Option<u16>,
    /// Destination port of TCP or UDP.
    pub destination_port: Option<u16>,
    /// What ARP, ICMP or TCP say beyond that, for people.
    pub detail: Option<String>,
}

impl Packet {
    /// Reads as much as is there; takes arbitrary bytes.
    pub fn parse(frame: &[u8]) -> Self {
        let mut packet = Self::default();
        let Ok(sliced) = LaxSlicedPacket::from_ethernet(frame) else { return packet };
        if let Some(LinkSlice::Ethernet2(ethernet)) = &sliced.link {
            packet.source_mac = Some(mac(ethernet.source()));
            packet.destination_mac = Some(mac(ethernet.destination()));
        }
        packet.vlans = sliced.vlan_ids().iter().map(|vlan| vlan.value()).collect();
        packet.ethertype = sliced.ether_payload().map(|payload| payload.ether_type.0);
        match &sliced.net {
            Some(LaxNetSlice::Ipv4(ip)) => {
                packet.source = Some(ip.header().source_addr().into());
                packet.destination = Some(ip.header().destination_addr().into());
                packet.protocol = Some(ip.header().protocol().0);
                packet.ethertype = Some(EtherType::IPV4.0);
            }
            Some(LaxNetSlice::Ipv6(ip)) => {
                packet.source = Some(ip.header().source_addr().into());
                packet.destination = Some(ip.header().destination_addr().into());
                packet.protocol = Some(ip.payload().ip_number.0);
                packet.ethertype = Some(EtherType::IPV6.0);
            }
            Some(LaxNetSlice::Arp(arp)) => packet.read_arp(&arp.to_packet()),
            None => {}
        }
        match &sliced.transport {
            Some(TransportSlice::Tcp(tcp)) => {
                (packet.source_port, packet.destination_port) =
                    (Some(tcp.source_port()), Some(tcp.destination_port()));
                let flags = [
                    (tcp.syn(), 'S'),
                    (tcp.fin(), 'F'),
                    (tcp.rst(), 'R'),
                    (tcp.psh(), 'P'),
                    (tcp.ack(), '.'),
                ];
                let flags: String = flags.iter().filter(|flag| flag.0).map(|flag| flag.1).collect();
                packet.detail = Some(format!("[{flags}]"));
            }
            Some(TransportSlice::Udp(udp)) => {
                (packet.source_port, packet.destination_port) =
                    (Some(udp.source_port()), Some(udp.destination_port()));
            }
            Some(TransportSlice::Icmpv6(icmp)) => {
                packet.detail = Some(icmpv6(icmp.type_u8(), icmp.code_u8(), icmp.slice()));
            }
            Some(TransportSlice::Icmpv4(icmp)) => {
                packet.detail = Some(format!("type {} code {}", icmp.type_u8(), icmp.code_u8()));
            }
            _ => {}
        }
        packet
    }

    fn read_arp(&mut self, arp: &etherparse::ArpPacket) {
        self.ethertype = Some(EtherType::ARP.0);
        let ip = |bytes: &[u8]| <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
        self.source = ip(arp.sender_protocol_addr());
        self.destination = ip(arp.target_protocol_addr());
        let sender = <[u8; 6]>::try_from(arp.sender_hw_addr()).map_or_else(|_| "?".into(), mac);
        let text = |ip: Option<IpAddr>| ip.map_or_else(|| "?".into(), |ip| ip.to_string());
        self.detail = Some(match arp.operation {
            ArpOperation::REQUEST => {
                format!("who has {} tell {} ({sender})", text(self.destination), text(self.source))
            }
            ArpOperation::REPLY => format!("{} is at {sender}", text(self.source)),
            ArpOperation(other) => format!("operation {other} from {sender}"),
        });
    }

    fn protocol_name(&self) -> String {
        match (self.ethertype, self.protocol.map(IpNumber)) {
            (Some(0x0806), _) => "ARP".into(),
            (_, Some(IpNumber::TCP)) => "TCP".into(),
            (_, Some(IpNumber::UDP)) => "UDP".into(),
            (_, Some(IpNumber::ICMP)) => "ICMP".into(),
            (_, Some(IpNumber::IPV6_ICMP)) => "ICMPv6".into(),
            (_, Some(IpNumber(other))) => format!("IP protocol {other}"),
            (Some(other), None) => format!("EtherType {other:#06x}"),
            (None, None) => "frame".into(),
        }
    }
}

/// A line: protocol, from where to where, and what else there is to say.
impl fmt::Display for Packet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for vlan in &self.vlans {
            write!(out, "VLAN {vlan} ")?;
        }
        write!(out, "{}", self.protocol_name())?;
        let is_arp = self.ethertype == Some(EtherType::ARP.0);
        match (self.source, self.destination) {
            (Some(source), Some(destination)) if !is_arp => {
                let source = end(source, self.source_port);
                write!(out, " {source} > {}", end(destination, self.destination_port))?;
            }
            _ if !is_arp => {
                if let (Some(source), Some(destination)) = (&self.source_mac, &self.destination_mac) {
                    write!(out, " {source} > {destination}")?;
                }
            }
            _ => {}
        }
        self.detail.as_ref().map_or(Ok(()), |detail| write!(out, " {detail}"))
    }
}

fn end(ip: IpAddr, port: Option<u16>) -> String {
    match (ip, port) {
        (ip, None) => ip.to_string(),
        (IpAddr::V4(ip), Some(port)) => format!("{ip}:{port}"),
        (IpAddr::V6(ip), Some(port)) => format!("[{ip}]:{port}"),
    }
}

fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn icmpv6(kind: u8, code: u8, message: &[u8]) -> String {
    let name = match kind {
        133 => "router solicitation",
        134 => "router advertisement",
        135 => "neighbour solicitation",
        136 => "neighbour advertisement",
        137 => "redirect",
        128 => "echo request",
        129 => "echo reply",
        _ => return format!("type {kind} code {code}"),
    };
    let target = message.get(TARGET).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()).map(Ipv6Addr::from);
    match target {
        Some(target) if (ROUTER_SOLICITATION + 2..=NEIGHBOUR_ADVERTISEMENT).contains(&kind) => {
            format!("{name} of {target}")
        }
        _ => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    fn ethernet() -> etherparse::PacketBuilderStep<etherparse::Ethernet2Header> {
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
    }

    #[test]
    fn five_tuples_are_read() {
        let mut frame = Vec::new();
        let builder = ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1000, 80, 1, 512).syn();
        builder.write(&mut frame, b"hello").unwrap();
        assert_eq!(Packet::parse(&frame).to_string(), "TCP 10.0.0.1:1000 > 10.0.0.2:80 [S]");
        let mut frame = Vec::new();
        let ip = |last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).octets();
        ethernet().ipv6(ip(1), ip(2), 64).udp(53, 5353).write(&mut frame, b"hello").unwrap();
        assert_eq!(Packet::parse(&frame).to_string(), "UDP [fd00::1]:53 > [fd00::2]:5353");
    }

    #[test]
    fn a_frame_that_is_cut_off_still_tells_its_ports() {
        let mut frame = Vec::new();
        ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(7, 9).write(&mut frame, &[0; 500]).unwrap();
        frame.truncate(128);
        assert_eq!(Packet::parse(&frame).to_string(), "UDP 10.0.0.1:7 > 10.0.0.2:9");
    }

    #[test]
    fn arp_and_neighbour_discovery_tell_whom_they_speak_of() {
        let mut arp = [[0xff; 6], [2, 0, 0, 0, 0, 2]].concat();
        arp.extend([
            8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9,
        ]);
        assert_eq!(Packet::parse(&arp).to_string(), "ARP who has 10.0.0.9 tell 10.0.0.1 (02:00:00:00:00:02)");
        let mut body = vec![0; 4];
        body.extend(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9).octets());
        let mut frame = Vec::new();
        let ip = Ipv6Addr::LOCALHOST.octets();
        ethernet().ipv6(ip, ip, 255).icmpv6_raw(136, 0, [0; 4]).write(&mut frame, &body[4..]).unwrap();
        let text = Packet::parse(&frame).to_string();
        assert_eq!(text, "ICMPv6 ::1 > ::1 neighbour advertisement of fd00::9");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!Packet::parse(&bytes).to_string().is_empty());
        }
    }
}
