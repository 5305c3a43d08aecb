//! Stations that announce where they are.

use super::{
    ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV6, Ethernet, word},
    frame::Frame,
    ip::{self, PROTOCOL_ICMPV6},
};

/// EtherType of reverse ARP, by which hypervisors announce a machine that has moved to them.
const ETHERTYPE_RARP: u16 = 0x8035;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
/// Flag of an advertisement that answers a solicitation (RFC 4861, 4.4).
const SOLICITED: u8 = 0x40;

/// Whether the sender announces itself to everybody: gratuitous ARP (RFC 5227), an unsolicited neighbour advertisement
/// (RFC 4861, 7.2.6), or RARP. `offset` is where the payload of `ethertype` starts.
#[inline(always)]
pub fn is_announcement<F: Frame + ?Sized>(
    frame: &F,
    ethernet: &Ethernet,
    ethertype: u16,
    offset: u32,
) -> bool {
    if !ethernet.is_group() {
        return false;
    }
    match ethertype {
        ETHERTYPE_RARP => true,
        ETHERTYPE_ARP => is_gratuitous(frame, ethernet, offset),
        ETHERTYPE_IPV6 => is_unsolicited(frame, offset),
        _ => false,
    }
}

/// ARP whose sender asks for, or tells, its own address.
#[inline(always)]
fn is_gratuitous<F: Frame + ?Sized>(frame: &F, ethernet: &Ethernet, offset: u32) -> bool {
    let Some([m0, m1, m2, m3, m4, m5]) = frame.read::<6>(offset + 8) else { return false };
    let (Some(sender), Some(target)) = (frame.read::<4>(offset + 14), frame.read::<4>(offset + 24)) else {
        return false;
    };
    word([m0, m1, m2, m3, m4, m5]) == ethernet.source
        && u32::from_ne_bytes(sender) == u32::from_ne_bytes(target)
}

#[inline(always)]
fn is_unsolicited<F: Frame + ?Sized>(frame: &F, offset: u32) -> bool {
    let Some(header) = ip::V6::parse(frame, offset) else { return false };
    let Some([kind, _, _, _, flags]) = frame.read::<5>(header.payload) else { return false };
    header.next == PROTOCOL_ICMPV6 && kind == NEIGHBOUR_ADVERTISEMENT && flags & SOLICITED == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn judge(destination: [u8; 6], ethertype: u16, payload: &[u8]) -> bool {
        let mut frame = [destination, MAC].concat();
        frame.extend(ethertype.to_be_bytes());
        frame.extend(payload);
        let ethernet = Ethernet::parse(frame.as_slice()).expect("a whole header");
        is_announcement(frame.as_slice(), &ethernet, ethernet.ethertype, ethernet.payload)
    }

    fn arp(sender: [u8; 6], from: u8, to: u8) -> Vec<u8> {
        [&[0, 1, 8, 0, 6, 4, 0, 1], sender.as_slice(), &[10, 0, 0, from], &[0; 6], &[10, 0, 0, to]].concat()
    }

    fn advertisement(flags: u8) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 24, PROTOCOL_ICMPV6, 255];
        packet.extend([0; 32]);
        packet.extend([NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, flags]);
        packet
    }

    #[test]
    fn only_who_speaks_of_itself_to_everybody_announces() {
        let all = [0xff; 6];
        assert!(judge(all, ETHERTYPE_ARP, &arp(MAC, 1, 1)));
        assert!(!judge(all, ETHERTYPE_ARP, &arp(MAC, 1, 2)), "a question");
        assert!(!judge(all, ETHERTYPE_ARP, &arp([2; 6], 1, 1)), "for somebody else");
        assert!(!judge([2; 6], ETHERTYPE_ARP, &arp(MAC, 1, 1)), "to one");
        assert!(!judge(all, ETHERTYPE_ARP, &arp(MAC, 1, 1)[..20]), "cut off");
        assert!(judge([0x33, 0x33, 0, 0, 0, 1], ETHERTYPE_IPV6, &advertisement(0x20)));
        assert!(!judge([0x33, 0x33, 0, 0, 0, 1], ETHERTYPE_IPV6, &advertisement(SOLICITED)));
        assert!(judge(all, ETHERTYPE_RARP, &[]));
        assert!(!judge(all, 0x0800, &[0; 40]));
    }
}
