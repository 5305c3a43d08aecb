//! Whether somebody uses an address already: ARP probes (RFC 5227, 2.1.1).

use std::net::Ipv4Addr;

/// Ethernet and IPv4, with addresses of 6 and 4 bytes.
const HEADER: [u8; 6] = [0, 1, 8, 0, 6, 4];
/// Bytes of a message.
const BYTES: usize = 28;

/// The question of a station that has no address yet.
pub(super) fn question(mac: [u8; 6], address: Ipv4Addr) -> [u8; BYTES] {
    let mut packet = [0; BYTES];
    packet[..6].copy_from_slice(&HEADER);
    packet[7] = 1;
    packet[8..14].copy_from_slice(&mac);
    packet[24..].copy_from_slice(&address.octets());
    packet
}

/// The station that says that the address is its own, or asks for it at the same time; `mac` is ours.
pub(super) fn claimant(packet: &[u8], mac: [u8; 6], address: Ipv4Addr) -> Option<[u8; 6]> {
    let packet: &[u8; BYTES] = packet.first_chunk()?;
    let station: [u8; 6] = *packet[8..].first_chunk()?;
    let sender: [u8; 4] = *packet[14..].first_chunk()?;
    let target: [u8; 4] = *packet[24..].first_chunk()?;
    let is_question = packet[6..8] == [0, 1];
    let has_it = sender == address.octets();
    let wants_it = is_question && sender == [0; 4] && target == address.octets();
    (packet[..6] == HEADER && station != mac && (has_it || wants_it)).then_some(station)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 7);

    /// From a station, with a sender's address.
    fn says(mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> [u8; BYTES] {
        let mut packet = question(mac, target);
        packet[14..18].copy_from_slice(&sender.octets());
        packet
    }

    #[test]
    fn who_has_the_address_or_asks_for_it_too_claims_it() {
        let (none, other) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 1, 0, 8));
        let claims = |packet: &[u8]| claimant(packet, OURS, ADDRESS);
        assert_eq!(claims(&says(THEIRS, ADDRESS, none)), Some(THEIRS));
        assert_eq!(claims(&question(THEIRS, ADDRESS)), Some(THEIRS));
        assert_eq!(claims(&question(OURS, ADDRESS)), None, "that was us");
        assert_eq!(claims(&says(THEIRS, other, ADDRESS)), None, "it looks for the address");
        assert_eq!(claims(&question(THEIRS, other)), None);
        let mut of_wifi = says(THEIRS, ADDRESS, none);
        of_wifi[1] = 6;
        assert_eq!(claims(&of_wifi), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _station = claimant(&bytes, OURS, ADDRESS);
        }
    }
}
