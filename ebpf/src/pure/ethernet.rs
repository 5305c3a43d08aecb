//! The Ethernet header and at most one VLAN tag.

use super::frame::Frame;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of a customer VLAN tag (802.1Q), the only one that networks use.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of a service VLAN tag (802.1ad).
pub const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;
/// EtherType of a stacked tag before 802.1ad.
pub const ETHERTYPE_OLD_SERVICE_VLAN: u16 = 0x9100;

/// Bytes of an untagged Ethernet header.
pub const HEADER_BYTES: u32 = 14;
/// Bytes of a VLAN tag.
pub const TAG_BYTES: u32 = 4;

const VLAN_ID_MASK: u16 = 0x0fff;

/// An 802.1Q tag with its priority bits, or none.
///
/// No `Option`: LLVM may spill its undefined payload, which the kernel's verifier refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Priority, drop-eligible bit and VLAN id as on the wire; 0 without a tag.
    pub control: u16,
    /// Whether there is a tag.
    pub is_present: bool,
}

impl Tag {
    /// No tag.
    pub const NONE: Self = Self { control: 0, is_present: false };

    /// A tag as on the wire.
    #[inline]
    pub const fn new(control: u16) -> Self {
        Self { control, is_present: true }
    }

    /// The VLAN id; 0 is no tag or a priority tag, and both mean untagged.
    #[inline]
    pub const fn vlan(self) -> u16 {
        self.control & VLAN_ID_MASK
    }
}

/// The tags of a frame of an uplink: a customer tag (802.1Q), alone or inside a service tag (802.1ad).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    /// The outer tag.
    pub service: Tag,
    /// The inner tag.
    pub customer: Tag,
}

impl Tags {
    /// No service tag.
    #[inline]
    pub const fn single(customer: Tag) -> Self {
        Self { service: Tag::NONE, customer }
    }

    /// Both tags from the bytes of a frame whose EtherType is that of a service tag; nothing if it has no customer tag
    /// inside, or is cut off.
    #[inline(always)]
    pub fn stacked<F: Frame + ?Sized>(frame: &F) -> Option<Self> {
        let [t0, t1, s0, s1, e0, e1, c0, c1] = frame.read::<8>(HEADER_BYTES - 2)?;
        let is_stacked = u16::from_be_bytes([t0, t1]) == ETHERTYPE_SERVICE_VLAN
            && u16::from_be_bytes([e0, e1]) == ETHERTYPE_VLAN;
        let service = Tag::new(u16::from_be_bytes([s0, s1]));
        let customer = Tag::new(u16::from_be_bytes([c0, c1]));
        (is_stacked && service.vlan() != 0).then_some(Self { service, customer })
    }

    /// How many bytes the tags take on the wire.
    #[inline]
    pub const fn bytes(self) -> u32 {
        (self.service.is_present as u32 + self.customer.is_present as u32) * TAG_BYTES
    }
}

/// A parsed Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// Destination MAC, as [`word`] makes it.
    pub destination: u64,
    /// Source MAC, likewise.
    pub source: u64,
    /// The outermost 802.1Q tag in the frame's bytes.
    pub tag: Tag,
    /// EtherType after that tag.
    pub ethertype: u16,
    /// Where the EtherType's payload starts.
    pub payload: u32,
}

impl Ethernet {
    /// Reads the header; nothing if the frame is shorter than its header.
    #[inline(always)]
    pub fn parse<F: Frame + ?Sized>(frame: &F) -> Option<Self> {
        let [e0, e1] = frame.read_front(HEADER_BYTES - 2)?;
        let [first, middle, last] = frame.read_words(0)?;
        let mut header = Self {
            destination: u64::from(first) | u64::from(middle & 0xffff) << 32,
            source: u64::from(middle >> 16) | u64::from(last) << 16,
            tag: Tag::NONE,
            ethertype: u16::from_be_bytes([e0, e1]),
            payload: HEADER_BYTES,
        };
        if header.ethertype == ETHERTYPE_VLAN {
            let [c0, c1, e0, e1] = frame.read::<4>(HEADER_BYTES)?;
            header.tag = Tag::new(u16::from_be_bytes([c0, c1]));
            header.ethertype = u16::from_be_bytes([e0, e1]);
            header.payload = HEADER_BYTES + TAG_BYTES;
        }
        Some(header)
    }

    /// Whether the frame goes to a group: multicast or broadcast.
    #[inline]
    pub const fn is_group(&self) -> bool {
        is_group(self.destination)
    }

    /// Whether the outermost tag among the bytes is a service tag, which no network uses.
    #[inline]
    pub const fn has_service_tag(&self) -> bool {
        !self.tag.is_present && matches!(self.ethertype, ETHERTYPE_SERVICE_VLAN | ETHERTYPE_OLD_SERVICE_VLAN)
    }

    /// Whether a tag of any kind is in the frame's bytes.
    #[inline]
    pub const fn is_tagged(&self) -> bool {
        self.tag.is_present || self.has_service_tag()
    }

    /// Whether the destination is 01:80:c2:00:00:0X, which IEEE 802.1D forbids bridges to forward.
    #[inline]
    pub const fn is_reserved(&self) -> bool {
        self.destination & !(0x0f << 40) == word([0x01, 0x80, 0xc2, 0, 0, 0])
    }
}

/// A MAC address as a number, which compares in one instruction: its first byte is the lowest.
#[inline]
pub const fn word(mac: [u8; 6]) -> u64 {
    u64::from_le_bytes([mac[0], mac[1], mac[2], mac[3], mac[4], mac[5], 0, 0])
}

/// Whether a MAC address is that of a group.
#[inline]
pub const fn is_group(mac: u64) -> bool {
    mac & 1 != 0
}
