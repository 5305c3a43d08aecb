//! The frames that are sent: UDP over IPv4 to the discard port.

use std::net::Ipv4Addr;

use super::end::End;

/// The shortest Ethernet frame without FCS, in bytes; 64 with it.
pub(crate) const SHORTEST: usize = 60;
/// A full frame of MTU 1500 without FCS, in bytes.
pub(crate) const FULL: usize = 1514;
/// UDP's discard port, which the sinks count.
pub(crate) const DISCARD: u16 = 9;

const ETHERNET_BYTES: usize = 14;
const IPV4_BYTES: usize = 20;
/// Where UDP's destination port lies.
const PORT_OFFSET: usize = ETHERNET_BYTES + IPV4_BYTES + 2;

/// Hardware and IPv4 address.
pub(crate) type Station = ([u8; 6], Ipv4Addr);

/// A frame of `bytes` (without FCS) from one end to the other; the generator varies the source port.
pub(crate) fn udp(from: &End, to: &End, bytes: usize) -> Vec<u8> {
    udp_between((from.mac, from.ip), (to.mac, to.ip), bytes)
}

/// The same to another port.
pub(crate) fn udp_to_port(from: &End, to: &End, port: u16, bytes: usize) -> Vec<u8> {
    let mut frame = udp(from, to, bytes);
    frame[PORT_OFFSET..PORT_OFFSET + 2].copy_from_slice(&port.to_be_bytes());
    frame
}

/// A frame of `bytes` (without FCS) between two stations.
pub(crate) fn udp_between(from: Station, to: Station, bytes: usize) -> Vec<u8> {
    let bytes = bytes.max(SHORTEST);
    let mut frame = Vec::with_capacity(bytes);
    frame.extend(to.0);
    frame.extend(from.0);
    frame.extend(0x0800_u16.to_be_bytes());
    let mut ip = [0_u8; IPV4_BYTES];
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&length(bytes - ETHERNET_BYTES));
    ip[8..10].copy_from_slice(&[64, 17]);
    ip[12..16].copy_from_slice(&from.1.octets());
    ip[16..20].copy_from_slice(&to.1.octets());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);
    frame.extend(ip);
    frame.extend(0x4000_u16.to_be_bytes());
    frame.extend(DISCARD.to_be_bytes());
    frame.extend(length(bytes - ETHERNET_BYTES - IPV4_BYTES));
    // No checksum, which IPv4 allows: the source port changes on the way out.
    frame.extend([0, 0]);
    frame.resize(bytes, 0);
    frame
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_be_bytes()
}

/// The Internet checksum (RFC 1071) of a header whose checksum field is zero.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_checks_out() {
        // The example of RFC 1071 and many textbooks.
        let mut header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01,
            0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
        header[10..12].copy_from_slice(&0xb861_u16.to_be_bytes());
        assert_eq!(checksum(&header), 0);
    }
}
