//! What a packet weighs on the wire.

use super::{
    ethernet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet},
    frame::Frame,
    ip::{self, PROTOCOL_TCP, PROTOCOL_UDP},
};

/// Frames and bytes on the wire, Ethernet header included, FCS and VLAN tag not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Frames.
    pub packets: u32,
    /// Bytes.
    pub bytes: u32,
}

/// Ethernet, IPv4 and TCP without options: what is assumed where the headers cannot be read.
const USUAL_HEADER_BYTES: u32 = 54;

impl Wire {
    /// One frame as it is.
    #[inline]
    pub const fn single(bytes: u32) -> Self {
        Self { packets: 1, bytes }
    }

    /// A packet of `bytes` that segmentation offload cuts into `segments`, each with its own headers.
    #[inline]
    pub const fn segmented(bytes: u32, segments: u32, header_bytes: u32) -> Self {
        let extra = segments.saturating_sub(1).saturating_mul(header_bytes);
        Self { packets: if segments == 0 { 1 } else { segments }, bytes: bytes.saturating_add(extra) }
    }
}

/// Bytes of headers up to and including the transport header, which every segment repeats.
#[inline(always)]
pub fn header_bytes<F: Frame + ?Sized>(frame: &F, ethernet: &Ethernet) -> u32 {
    transport_end(frame, ethernet).unwrap_or(USUAL_HEADER_BYTES)
}

#[inline(always)]
fn transport_end<F: Frame + ?Sized>(frame: &F, ethernet: &Ethernet) -> Option<u32> {
    let (protocol, offset) = match ethernet.ethertype {
        ETHERTYPE_IPV4 => {
            let header = ip::V4::parse(frame, ethernet.payload)?;
            (header.protocol, header.payload)
        }
        ETHERTYPE_IPV6 => {
            let header = ip::V6::parse(frame, ethernet.payload)?;
            (header.next, header.payload)
        }
        _ => return None,
    };
    match protocol {
        PROTOCOL_TCP => {
            let [offset_words] = frame.read::<1>(offset + 12)?;
            Some(offset + u32::from(offset_words >> 4) * 4)
        }
        PROTOCOL_UDP => Some(offset + 8),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_repeats_the_headers() {
        assert_eq!(Wire::segmented(54 + 3 * 1460, 3, 54), Wire { packets: 3, bytes: 3 * 1514 });
        assert_eq!(Wire::segmented(60, 0, 54), Wire { packets: 1, bytes: 60 });
    }

    #[test]
    fn options_of_ip_and_tcp_count_as_headers() {
        let mut frame = [0_u8; 100];
        frame[12..14].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
        frame[14] = 0x46;
        frame[14 + 9] = PROTOCOL_TCP;
        frame[14 + 24 + 12] = 0x80;
        let ethernet = Ethernet::parse(frame.as_slice()).expect("a whole header");
        assert_eq!(header_bytes(frame.as_slice(), &ethernet), 14 + 24 + 32);
    }
}
