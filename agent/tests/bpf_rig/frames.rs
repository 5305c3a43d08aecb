//! Frames, byte by byte.

use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];
pub(crate) const ARP: u16 = 0x0806;
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMPV6: u8 = 58;

pub(crate) fn ethernet(to: [u8; 6], from: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Puts a tag of this EtherType and VLAN into a frame.
pub(crate) fn tagged(frame: &[u8], ethertype: u16, vlan: u16) -> Vec<u8> {
    let mut out = frame[..12].to_vec();
    out.extend(ethertype.to_be_bytes());
    out.extend(vlan.to_be_bytes());
    out.extend(&frame[12..]);
    out
}

pub(crate) fn arp(operation: u16, sender_mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4];
    packet.extend(operation.to_be_bytes());
    packet.extend(sender_mac);
    packet.extend(sender.octets());
    packet.extend([0; 6]);
    packet.extend(target.octets());
    packet
}

pub(crate) fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("short");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

pub(crate) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("short");
    let mut packet = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    packet.extend(payload);
    packet
}

pub(crate) fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short");
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([next, 255]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(payload);
    packet
}

/// An extension header (hop-by-hop, destination options) of eight bytes.
pub(crate) fn extension(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![next, 0, 1, 4, 0, 0, 0, 0];
    packet.extend(payload);
    packet
}

/// A fragment header with an offset in units of eight bytes.
pub(crate) fn fragment(next: u8, offset: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![next, 0];
    packet.extend((offset << 3 | 1).to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend(payload);
    packet
}

/// An ICMPv6 message with a body after its checksum.
pub(crate) fn icmpv6(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend(body);
    packet
}

/// Neighbour solicitation (135) or advertisement (136) with link-layer address options.
pub(crate) fn neighbour(kind: u8, target: Ipv6Addr, options: &[(u8, [u8; 6])]) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(target.octets());
    for (option, mac) in options {
        body.extend([*option, 1]);
        body.extend(mac);
    }
    icmpv6(kind, &body)
}
