//! IPv4 and UDP around a message: the kernel's own stack cannot send from an interface without an address.

use std::net::Ipv4Addr;

/// Bytes of the IPv4 header that we write.
const IP_BYTES: usize = 20;
/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;
/// The server's and the client's port.
const SERVER_PORT: u16 = 67;
/// The client's port.
const CLIENT_PORT: u16 = 68;
/// Protocol number of UDP.
const UDP: u8 = 17;

/// A message from the client's port at `from` to the server's at `to`; `None` where it is too long for one packet.
pub(super) fn wrap(from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(UDP_BYTES + message.len()).ok()?;
    let length = u16::try_from(IP_BYTES + UDP_BYTES + message.len()).ok()?;
    let mut packet = Vec::with_capacity(length.into());
    // Version and header length, then no type of service; no identification, do not fragment; 64 hops.
    packet.extend([0x45, 0x00]);
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    let header_sum = finish(add(0, &packet));
    packet[10..12].copy_from_slice(&header_sum.to_be_bytes());
    packet.extend(CLIENT_PORT.to_be_bytes());
    packet.extend(SERVER_PORT.to_be_bytes());
    packet.extend(udp_length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(message);
    let pseudo = u32::from(UDP) + u32::from(udp_length);
    let sum = finish(add(add(pseudo, &packet[12..IP_BYTES]), &packet[IP_BYTES..]));
    // Zero would mean that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    packet[IP_BYTES + 6..IP_BYTES + 8].copy_from_slice(&sum.to_be_bytes());
    Some(packet)
}

/// The message in a packet for the client's port.
///
/// UDP's checksum is not looked at: packets of the same machine come without one (checksum offload), and the wire has its
/// own.
pub(super) fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    let version_and_length = *packet.first()?;
    let header = usize::from(version_and_length & 0x0f) * 4;
    if version_and_length >> 4 != 4 || header < IP_BYTES || *packet.get(9)? != UDP {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    let packet = packet.get(..length)?;
    if finish(add(0, packet.get(..header)?)) != 0 {
        return None;
    }
    let udp = packet.get(header..)?;
    let port = u16::from_be_bytes(udp.get(2..4)?.try_into().ok()?);
    let udp_length = usize::from(u16::from_be_bytes(udp.get(4..6)?.try_into().ok()?));
    if port != CLIENT_PORT {
        return None;
    }
    udp.get(UDP_BYTES..udp_length)
}

/// Adds 16-bit words to a checksum (RFC 1071).
pub(super) fn add(sum: u32, bytes: &[u8]) -> u32 {
    bytes.chunks(2).fold(sum, |sum, pair| {
        let low = pair.get(1).copied().unwrap_or_default();
        sum.wrapping_add(u32::from(u16::from_be_bytes([pair[0], low])))
    })
}

/// The sum as it is written.
pub(super) fn finish(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

    /// As the server answers: ports exchanged.
    fn answer(message: &[u8]) -> Vec<u8> {
        let mut packet = wrap(ANY, Ipv4Addr::BROADCAST, message).unwrap();
        packet[22..24].copy_from_slice(&68_u16.to_be_bytes());
        packet
    }

    #[test]
    fn a_packet_to_the_server_is_none_for_the_client() {
        let packet = wrap(ANY, Ipv4Addr::BROADCAST, b"hello").unwrap();
        assert_eq!(unwrap(&packet), None);
        assert_eq!(finish(add(0, &packet[..20])), 0, "the header's sum is right");
        let pseudo = u32::from(UDP) + 13;
        assert_eq!(finish(add(add(pseudo, &packet[12..20]), &packet[20..])), 0, "and UDP's");
        assert_eq!(wrap(ANY, ANY, &vec![0; 65_600]), None);
    }

    proptest! {
        #[test]
        fn what_is_wrapped_comes_out_and_what_is_cut_does_not(message in prop::collection::vec(any::<u8>(), 0..400), cut in 0..420_usize) {
            let packet = answer(&message);
            prop_assert_eq!(unwrap(&packet), Some(&message[..]));
            if cut < packet.len() {
                prop_assert_eq!(unwrap(&packet[..cut]), None);
            }
        }

        #[test]
        fn any_bytes_are_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _message = unwrap(&bytes);
        }
    }
}
