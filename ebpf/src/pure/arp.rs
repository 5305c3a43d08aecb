//! ARP from a pod.

use plexus_abi::{Address, DropReason, PORT_GUARD_IP, PORT_GUARD_MAC, PortConfig};

use super::{ethernet::word, frame::Frame};

/// Ethernet (1), IPv4 (0x0800), address lengths 6 and 4.
const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
const OPERATION_REQUEST: u16 = 1;

/// Whether the ARP packet at `offset` speaks only for the port; a probe (sender 0.0.0.0, RFC 5227) claims nothing.
#[inline(always)]
pub fn inspect<F: Frame + ?Sized>(frame: &F, offset: u32, port: &PortConfig) -> Result<(), DropReason> {
    let Some(packet) = frame.read::<18>(offset) else { return Err(DropReason::Malformed) };
    let [h0, h1, p0, p1, hl, pl, o0, o1, m0, m1, m2, m3, m4, m5, i0, i1, i2, i3] = packet;
    if word([h0, h1, p0, p1, hl, pl]) != word(ETHERNET_IPV4) {
        return Err(DropReason::SpoofedArp);
    }
    if port.has(PORT_GUARD_MAC) && word([m0, m1, m2, m3, m4, m5]) != word(port.mac) {
        return Err(DropReason::SpoofedArp);
    }
    if port.has(PORT_GUARD_IP) {
        let sender = Address::v4([i0, i1, i2, i3]);
        let is_probe = sender == Address::v4([0; 4]) && u16::from_be_bytes([o0, o1]) == OPERATION_REQUEST;
        if !is_probe && !port.owns(sender) {
            return Err(DropReason::SpoofedArp);
        }
    }
    Ok(())
}
