//! Anti-spoofing: whether a pod may send a frame.

use plexus_abi::{Address, DropReason, PORT_GUARD_IP, PORT_GUARD_MAC, PortConfig};

use super::{
    arp,
    ethernet::{ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, HEADER_BYTES, is_group},
    frame::Frame,
    ip::{self, PROTOCOL_ICMPV6},
    nd,
};

/// The frame's header if the port may send the frame, and if not, why.
///
/// Takes arbitrary bytes: the function that fuzzing and property tests call.
#[inline(always)]
pub fn accept<F: Frame + ?Sized>(frame: &F, port: &PortConfig) -> Result<Ethernet, DropReason> {
    let ethernet = Ethernet::parse(frame).ok_or(DropReason::Malformed)?;
    inspect(frame, &ethernet, port).map(|()| ethernet)
}

/// Whether the port may send this frame, and if not, why.
///
/// Tags and reserved destinations are refused whatever the guard; addresses as far as the port's guard flags ask.
#[inline(always)]
fn inspect<F: Frame + ?Sized>(frame: &F, ethernet: &Ethernet, port: &PortConfig) -> Result<(), DropReason> {
    if ethernet.is_tagged() {
        return Err(DropReason::Tagged);
    }
    if ethernet.is_reserved() {
        return Err(DropReason::ReservedDestination);
    }
    if is_group(ethernet.source) {
        return Err(DropReason::Malformed);
    }
    if port.has(PORT_GUARD_MAC) && ethernet.source != port.mac_word() {
        return Err(DropReason::SpoofedMac);
    }
    if !port.has(PORT_GUARD_MAC | PORT_GUARD_IP) {
        return Ok(());
    }
    match ethernet.ethertype {
        ETHERTYPE_ARP => arp::inspect(frame, ethernet.payload, port),
        ETHERTYPE_IPV4 => inspect_v4(frame, port),
        ETHERTYPE_IPV6 => inspect_v6(frame, ethernet.payload, port),
        _ => Ok(()),
    }
}

#[inline(always)]
fn inspect_v4<F: Frame + ?Sized>(frame: &F, port: &PortConfig) -> Result<(), DropReason> {
    if !port.has(PORT_GUARD_IP) {
        return Ok(());
    }
    // Untagged, so the header is at a constant offset, as the verifier wants it.
    let header = frame.read_words(HEADER_BYTES).and_then(|header| ip::V4::of(header, HEADER_BYTES));
    let header = header.ok_or(DropReason::Malformed)?;
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pure::{ethernet::word, wire};

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn port() -> PortConfig {
        let mut port = PortConfig { mac: MAC, flags: PORT_GUARD_MAC | PORT_GUARD_IP, ..PortConfig::ZERO };
        port.addresses[0] = Address::v4([10, 0, 0, 1]);
        port.address_count = 1;
        port
    }

    /// Bytes that begin like a frame of the port, so that the parsers behind the header are reached.
    fn plausible() -> impl Strategy<Value = Vec<u8>> {
        let ethertypes = prop_oneof![Just(ETHERTYPE_ARP), Just(ETHERTYPE_IPV4), Just(ETHERTYPE_IPV6)];
        let protocols =
            prop_oneof![Just(0_u8), Just(44), Just(51), Just(58), Just(60), Just(17), any::<u8>()];
        let kinds = prop_oneof![133_u8..=137, any::<u8>()];
        (ethertypes, protocols, kinds, proptest::collection::vec(any::<u8>(), 0..200)).prop_map(
            |(ethertype, protocol, kind, payload)| {
                let mut frame = vec![2, 0, 0, 0, 0, 2];
                frame.extend(MAC);
                frame.extend(ethertype.to_be_bytes());
                frame.extend(payload);
                for (offset, byte) in [(14, 0x60 | kind & 0x0f), (20, protocol), (23, protocol), (54, kind)] {
                    if let Some(slot) = frame.get_mut(offset) {
                        *slot = byte;
                    }
                }
                frame
            },
        )
    }

    /// The kernel refuses such frames in a test run, so they are judged here.
    #[test]
    fn a_header_that_is_cut_off_is_malformed() {
        for (ethertype, version, bytes) in
            [(ETHERTYPE_IPV4, 0x45, 19), (ETHERTYPE_IPV6, 0x60, 39), (ETHERTYPE_ARP, 0, 17)]
        {
            let mut frame = [[2, 0, 0, 0, 0, 2], MAC].concat();
            frame.extend(ethertype.to_be_bytes());
            frame.push(version);
            frame.resize(14 + bytes, 0);
            assert_eq!(accept(frame.as_slice(), &port()), Err(DropReason::Malformed), "{ethertype:#x}");
        }
        assert_eq!(accept([0; 13].as_slice(), &port()), Err(DropReason::Malformed));
    }

    /// Frames that reach the far corners of the parsers: chains of extension headers, fragments, options, own and
    /// foreign addresses, cut off anywhere.
    fn hard() -> impl Strategy<Value = Vec<u8>> {
        let own = Address::link_local(MAC).to_ip();
        let std::net::IpAddr::V6(own) = own else { unreachable!("a link-local address is IPv6") };
        let source = prop_oneof![3 => Just(own.octets()), 1 => Just([0; 16]), 1 => any::<[u8; 16]>()];
        let extension =
            (prop_oneof![Just(0_u8), Just(43), Just(44), Just(51), Just(60)], 0_u8..3, any::<[u8; 2]>());
        let extensions = proptest::collection::vec(extension, 0..8);
        let option = (
            prop_oneof![Just(1_u8), Just(2), Just(5)],
            0_u8..3,
            prop_oneof![4 => Just(MAC), 1 => any::<[u8; 6]>()],
        );
        let options = proptest::collection::vec(option, 0..7);
        let rest =
            (prop_oneof![4 => Just(58_u8), 1 => any::<u8>()], 130_u8..145, source.clone(), 0_usize..400);
        (source, extensions, options, rest).prop_map(
            |(source, extensions, options, (last, kind, target, length))| {
                let mut frame = [[2, 0, 0, 0, 0, 2], MAC].concat();
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0]);
                let kinds: Vec<u8> = extensions.iter().map(|extension| extension.0).chain([last]).collect();
                frame.extend([kinds[0], 255]);
                frame.extend(source);
                frame.extend([0xff; 16]);
                for ((kind, units, bytes), next) in extensions.iter().zip(&kinds[1..]) {
                    let length = if *kind == 51 {
                        (usize::from(*units) + 2) * 4
                    } else {
                        (usize::from(*units) + 1) * 8
                    };
                    let length = if *kind == 44 { 8 } else { length };
                    // Most fragments are first ones, so that what follows is looked at.
                    let offset = if bytes[0] < 200 { [0, 1] } else { *bytes };
                    let mut header = vec![*next, *units, offset[0], offset[1]];
                    header.resize(length, 0);
                    frame.extend(header);
                }
                frame.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
                frame.extend(target);
                for (option, units, mac) in options {
                    frame.extend([option, units]);
                    frame.extend(mac);
                }
                frame.truncate(if length < 40 { length * 8 } else { frame.len() });
                frame
            },
        )
    }

    fn guarded(flags: u32) -> PortConfig {
        PortConfig { flags: flags & (PORT_GUARD_MAC | PORT_GUARD_IP), ..port() }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn an_independent_parser_comes_to_the_same_verdicts(frame in prop_oneof![plausible(), hard()], flags: u32) {
            let port = guarded(flags);
            prop_assert_eq!(accept(frame.as_slice(), &port).map(drop), super::super::oracle::verdict(&frame, &port));
        }

        #[test]
        fn an_independent_parser_comes_to_the_same_verdicts_of_spoilt_frames(
            mut frame in prop_oneof![plausible(), hard()], flags: u32, spoilt in proptest::collection::vec(any::<(u8, u8)>(), 0..4),
        ) {
            for (offset, byte) in spoilt {
                if let Some(slot) = frame.get_mut(usize::from(offset)) {
                    *slot = byte;
                }
            }
            let port = guarded(flags);
            prop_assert_eq!(accept(frame.as_slice(), &port).map(drop), super::super::oracle::verdict(&frame, &port));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parsers_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(ethernet) = accept(bytes.as_slice(), &port()) {
                prop_assert_eq!(ethernet.source, word(MAC));
            }
        }

        #[test]
        fn no_plausible_frame_makes_the_parsers_panic(frame in plausible()) {
            if let Ok(ethernet) = accept(frame.as_slice(), &port()) {
                prop_assert!(wire::header_bytes(frame.as_slice(), &ethernet) >= 14);
            }
        }

        #[test]
        fn cutting_an_accepted_frame_short_never_turns_into_a_spoofing_verdict(frame in plausible(), keep in 0_usize..60) {
            if accept(frame.as_slice(), &port()).is_ok() {
                let cut = frame.get(..keep).unwrap_or(&frame);
                let verdict = accept(cut, &port());
                prop_assert!(!matches!(verdict, Err(DropReason::SpoofedMac | DropReason::SpoofedArp)), "{verdict:?}");
            }
        }

        #[test]
        fn nothing_from_another_mac_is_accepted(mut frame in plausible(), other: [u8; 6]) {
            prop_assume!(other != MAC);
            frame[6..12].copy_from_slice(&other);
            prop_assert!(accept(frame.as_slice(), &port()).is_err());
        }
    }
}
