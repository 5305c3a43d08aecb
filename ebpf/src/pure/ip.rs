//! IPv4 and IPv6 headers.

use plexus_abi::{Address, DropReason};

use super::frame::Frame;

/// Protocol number of TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// Protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// Protocol number of ICMPv6.
pub const PROTOCOL_ICMPV6: u8 = 58;

const EXTENSION_HOP_BY_HOP: u8 = 0;
const EXTENSION_ROUTING: u8 = 43;
const EXTENSION_FRAGMENT: u8 = 44;
const EXTENSION_AUTHENTICATION: u8 = 51;
const EXTENSION_DESTINATION: u8 = 60;

/// IPv6 extension headers that are followed; honest packets carry one or two.
const MAX_EXTENSIONS: usize = 6;

const DHCP_CLIENT_PORT: u16 = 68;
const DHCP_SERVER_PORT: u16 = 67;

/// What anti-spoofing needs of an IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V4 {
    /// Source address.
    pub source: Address,
    /// Protocol number.
    pub protocol: u8,
    /// Whether this is a fragment that carries no transport header.
    pub is_later_fragment: bool,
    /// Where the transport header starts.
    pub payload: u32,
}

impl V4 {
    /// Reads the header at `offset`; nothing if it is cut off or is not IPv4.
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &F, offset: u32) -> Option<Self> {
        Self::of(frame.read_words(offset)?, offset)
    }

    /// Takes the header's words apart, which were at `offset`; nothing if they are not IPv4.
    #[inline(always)]
    pub fn of(header: [u32; 5], offset: u32) -> Option<Self> {
        let [start, fragment, protocol, source, _] = header;
        let words = start & 0x0f;
        if start >> 4 & 0x0f != 4 || words < 5 {
            return None;
        }
        Some(Self {
            source: Address::v4(source.to_le_bytes()),
            protocol: protocol.to_le_bytes()[1],
            is_later_fragment: fragment.swap_bytes() & 0x1fff != 0,
            payload: offset + words * 4,
        })
    }

    /// Whether this is a DHCP client that has no address yet: 0.0.0.0 port 68 to port 67.
    #[inline(always)]
    pub fn is_dhcp_request<F: Frame + ?Sized>(&self, frame: &F) -> bool {
        if self.source != Address::v4([0; 4]) || self.protocol != PROTOCOL_UDP || self.is_later_fragment {
            return false;
        }
        let Some([s0, s1, d0, d1]) = frame.read::<4>(self.payload) else { return false };
        u16::from_be_bytes([s0, s1]) == DHCP_CLIENT_PORT && u16::from_be_bytes([d0, d1]) == DHCP_SERVER_PORT
    }
}

/// What anti-spoofing needs of an IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct V6 {
    /// Source address.
    pub source: Address,
    /// Next header.
    pub next: u8,
    /// Where the next header starts.
    pub payload: u32,
}

/// What lies behind the extension headers of an IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// Protocol number.
    pub protocol: u8,
    /// Where it starts.
    pub offset: u32,
    /// Whether the packet is a fragment.
    pub is_fragment: bool,
    /// Whether it is a fragment that carries no upper header: its bytes mean nothing by themselves.
    pub is_later_fragment: bool,
}

impl V6 {
    /// Reads the header at `offset`; nothing if it is cut off or is not IPv6.
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &F, offset: u32) -> Option<Self> {
        let [version, ..] = frame.read::<1>(offset)?;
        if version >> 4 != 6 {
            return None;
        }
        let [next] = frame.read::<1>(offset + 6)?;
        let source = frame.read::<16>(offset + 8)?;
        // The whole header must be there, destination included.
        frame.read::<16>(offset + 24)?;
        Some(Self { source: Address::v6(source), next, payload: offset + 40 })
    }

    /// Follows the extension headers. A first fragment must carry the whole chain (RFC 7112).
    #[inline(always)]
    pub fn upper<F: Frame + ?Sized>(&self, frame: &F) -> Result<Upper, DropReason> {
        let mut upper =
            Upper { protocol: self.next, offset: self.payload, is_fragment: false, is_later_fragment: false };
        for _ in 0..MAX_EXTENSIONS {
            if !is_extension(upper.protocol) {
                return Ok(upper);
            }
            let [next, length, f0, f1] = frame.read::<4>(upper.offset).ok_or(DropReason::Malformed)?;
            let bytes = match upper.protocol {
                EXTENSION_AUTHENTICATION => (u32::from(length) + 2) * 4,
                EXTENSION_FRAGMENT => {
                    upper.is_fragment = true;
                    upper.is_later_fragment = u16::from_be_bytes([f0, f1]) & 0xfff8 != 0;
                    8
                }
                _ => (u32::from(length) + 1) * 8,
            };
            upper.protocol = next;
            upper.offset += bytes;
            if upper.is_later_fragment {
                return Ok(upper);
            }
        }
        Err(DropReason::Malformed)
    }
}

#[inline(always)]
const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        EXTENSION_HOP_BY_HOP
            | EXTENSION_ROUTING
            | EXTENSION_FRAGMENT
            | EXTENSION_AUTHENTICATION
            | EXTENSION_DESTINATION
    )
}
