//! Anti-spoofing: whether a pod may send a frame.

use plexus_abi::{Address, DropReason, PORT_GUARD_IP, PORT_GUARD_MAC, PortConfig};

use super::{
    arp,
    ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, word},
    frame::Frame,
    ip::{self, PROTOCOL_ICMPV6},
    nd,
};

/// Whether the port may send this frame, and if not, why.
///
/// Tags and reserved destinations are refused whatever the guard; addresses as far as the port's guard flags ask.
#[inline(always)]
pub fn inspect<F: Frame + ?Sized>(
    frame: &F,
    ethernet: &Ethernet,
    port: &PortConfig,
) -> Result<(), DropReason> {
    if ethernet.is_tagged() {
        return Err(DropReason::Tagged);
    }
    if ethernet.is_reserved() {
        return Err(DropReason::ReservedDestination);
    }
    if ethernet.source[0] & 1 != 0 {
        return Err(DropReason::Malformed);
    }
    if port.has(PORT_GUARD_MAC) && word(ethernet.source) != word(port.mac) {
        return Err(DropReason::SpoofedMac);
    }
    if !port.has(PORT_GUARD_MAC | PORT_GUARD_IP) {
        return Ok(());
    }
    match ethernet.ethertype {
        ETHERTYPE_ARP => arp::inspect(frame, ethernet.payload, port),
        ETHERTYPE_IPV4 => inspect_v4(frame, ethernet.payload, port),
        ETHERTYPE_IPV6 => inspect_v6(frame, ethernet.payload, port),
        _ => Ok(()),
    }
}

#[inline(always)]
fn inspect_v4<F: Frame + ?Sized>(frame: &F, offset: u32, port: &PortConfig) -> Result<(), DropReason> {
    if !port.has(PORT_GUARD_IP) {
        return Ok(());
    }
    let header = ip::V4::parse(frame, offset).ok_or(DropReason::Malformed)?;
    if port.owns(header.source) || header.is_dhcp_request(frame) {
        Ok(())
    } else {
        Err(DropReason::SpoofedIp)
    }
}

#[inline(always)]
fn inspect_v6<F: Frame + ?Sized>(frame: &F, offset: u32, port: &PortConfig) -> Result<(), DropReason> {
    let header = ip::V6::parse(frame, offset).ok_or(DropReason::Malformed)?;
    let upper = header.upper(frame)?;
    if upper.protocol == PROTOCOL_ICMPV6 && !upper.is_later_fragment {
        return nd::inspect(frame, &upper, header.source, port);
    }
    if !port.has(PORT_GUARD_IP) || (header.source != Address::UNSPECIFIED && port.owns(header.source)) {
        Ok(())
    } else {
        Err(DropReason::SpoofedIp)
    }
}
