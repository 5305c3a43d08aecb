//! IPv6 neighbour discovery from a pod.

use plexus_abi::{Address, DropReason, PORT_GUARD_IP, PORT_GUARD_MAC, PortConfig};

use super::{ethernet::word, frame::Frame, ip::Upper};

const MLD_REPORT: u8 = 131;
const MLD_DONE: u8 = 132;
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
const MLD2_REPORT: u8 = 143;

const OPTION_SOURCE_LINK_ADDRESS: u8 = 1;
const OPTION_TARGET_LINK_ADDRESS: u8 = 2;

/// Options of one message that are read; the kernel sends one, at most two.
const MAX_OPTIONS: usize = 4;

/// Whether an ICMPv6 message speaks only for the port.
///
/// `source` is the packet's source address: its ownership is checked here because `::` is right for a few messages.
#[inline(always)]
pub fn inspect<F: Frame + ?Sized>(
    frame: &F,
    upper: &Upper,
    source: Address,
    port: &PortConfig,
) -> Result<(), DropReason> {
    let Some([kind]) = frame.read::<1>(upper.offset) else { return Err(DropReason::Malformed) };
    if port.has(PORT_GUARD_IP) && !may_send(kind, source, port) {
        return Err(DropReason::SpoofedIp);
    }
    if !(ROUTER_SOLICITATION..=REDIRECT).contains(&kind) {
        return Ok(());
    }
    // RFC 6980: neighbour discovery is never fragmented; a fragment would hide its options.
    if upper.is_fragment {
        return Err(DropReason::SpoofedNd);
    }
    let options = match kind {
        ROUTER_ADVERTISEMENT if port.has(PORT_GUARD_IP) => return Err(DropReason::RouterAdvertisement),
        REDIRECT if port.has(PORT_GUARD_IP) => return Err(DropReason::SpoofedNd),
        ROUTER_ADVERTISEMENT => upper.offset + 16,
        REDIRECT => upper.offset + 40,
        ROUTER_SOLICITATION => upper.offset + 8,
        _ => {
            let target = frame.read::<16>(upper.offset + 8).ok_or(DropReason::Malformed)?;
            let claims = kind == NEIGHBOUR_ADVERTISEMENT || source == Address::UNSPECIFIED;
            if claims && port.has(PORT_GUARD_IP) && !port.owns(Address::v6(target)) {
                return Err(DropReason::SpoofedNd);
            }
            upper.offset + 24
        }
    };
    if port.has(PORT_GUARD_MAC) { inspect_options(frame, options, kind, port.mac) } else { Ok(()) }
}

/// Whether the port may send this message from `source`.
#[inline(always)]
fn may_send(kind: u8, source: Address, port: &PortConfig) -> bool {
    // From `::`: duplicate address detection, router solicitation and multicast listener reports (RFC 4862, RFC 3590).
    let from_nobody =
        matches!(kind, NEIGHBOUR_SOLICITATION | ROUTER_SOLICITATION | MLD_REPORT | MLD_DONE | MLD2_REPORT);
    (from_nobody && source == Address::UNSPECIFIED) || port.owns(source)
}

/// Whether every link-layer address option that speaks for the sender carries the port's MAC.
#[inline(always)]
fn inspect_options<F: Frame + ?Sized>(
    frame: &F,
    mut offset: u32,
    kind: u8,
    mac: [u8; 6],
) -> Result<(), DropReason> {
    // A redirect's target address names another machine; its options are not the sender's.
    if kind == REDIRECT {
        return Ok(());
    }
    for _ in 0..MAX_OPTIONS {
        let Some([option, units]) = frame.read::<2>(offset) else { return Ok(()) };
        if units == 0 {
            return Err(DropReason::SpoofedNd);
        }
        if option == OPTION_SOURCE_LINK_ADDRESS || option == OPTION_TARGET_LINK_ADDRESS {
            let address = frame.read::<6>(offset + 2).ok_or(DropReason::Malformed)?;
            if word(address) != word(mac) {
                return Err(DropReason::SpoofedNd);
            }
        }
        offset += u32::from(units) * 8;
    }
    // More options than are read: what is not looked at is not let through.
    match frame.read::<1>(offset) {
        Some(_) => Err(DropReason::SpoofedNd),
        None => Ok(()),
    }
}
