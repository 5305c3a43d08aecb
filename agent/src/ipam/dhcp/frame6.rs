//! IPv6 and UDP around a message: it is sent from a link-local address that the kernel may still be probing.

use std::net::Ipv6Addr;

use super::frame::{add, finish};

/// All servers and relays of the link (RFC 8415, 7.1).
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// The same as a hardware address.
pub(super) const SERVERS_STATION: [u8; 6] = [0x33, 0x33, 0, 1, 0, 2];
/// Bytes of the IPv6 header.
const IP_BYTES: usize = 40;
/// Bytes of a UDP header.
const UDP_BYTES: usize = 8;
/// The server's port.
const SERVER_PORT: u16 = 547;
/// The client's port.
const CLIENT_PORT: u16 = 546;
/// Protocol number of UDP.
const UDP: u8 = 17;

/// A message from the client's port at `from` to all servers; `None` where it is too long for one packet.
pub(super) fn wrap(from: Ipv6Addr, message: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP_BYTES + message.len()).ok()?;
    let mut packet = Vec::with_capacity(IP_BYTES + usize::from(length));
    packet.extend([0x60, 0, 0, 0]);
    packet.extend(length.to_be_bytes());
    packet.extend([UDP, 64]);
    packet.extend(from.octets());
    packet.extend(SERVERS.octets());
    packet.extend(CLIENT_PORT.to_be_bytes());
    packet.extend(SERVER_PORT.to_be_bytes());
    packet.extend(length.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(message);
    let pseudo = u32::from(UDP) + u32::from(length);
    let sum = finish(add(pseudo, packet.get(8..)?));
    // Zero would mean that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    packet[IP_BYTES + 6..IP_BYTES + 8].copy_from_slice(&sum.to_be_bytes());
    Some(packet)
}

/// The message in a packet for the client's port; as with IPv4, UDP's checksum is not looked at.
pub(super) fn unwrap(packet: &[u8]) -> Option<&[u8]> {
    if packet.first()? >> 4 != 6 || *packet.get(6)? != UDP {
        return None;
    }
    let length = usize::from(u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?));
    let udp = packet.get(IP_BYTES..IP_BYTES + length)?;
    let port = u16::from_be_bytes(udp.get(2..4)?.try_into().ok()?);
    let udp_length = usize::from(u16::from_be_bytes(udp.get(4..6)?.try_into().ok()?));
    if port != CLIENT_PORT {
        return None;
    }
    udp.get(UDP_BYTES..udp_length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    proptest! {
        #[test]
        fn what_is_wrapped_comes_out_and_what_is_cut_does_not(message in prop::collection::vec(any::<u8>(), 0..400), cut in 0..460_usize) {
            let mut packet = wrap(OURS, &message).unwrap();
            prop_assert_eq!(unwrap(&packet), None, "it is for the server");
            let pseudo = u32::from(UDP) + u32::try_from(message.len() + 8).unwrap();
            prop_assert_eq!(finish(add(pseudo, &packet[8..])), 0, "the sum is right");
            packet[42..44].copy_from_slice(&CLIENT_PORT.to_be_bytes());
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
