//! One representation for IPv4 and IPv6 addresses.

shared! {
    /// An IP address as two numbers in host byte order; IPv4 is mapped into `::ffff:0:0/96`.
    ///
    /// Two words compare in two instructions, sixteen bytes would not.
    pub struct Address {
        /// The upper 64 bits: the IPv6 prefix.
        pub high: u64,
        /// The lower 64 bits: the IPv6 interface identifier.
        pub low: u64,
    }
}

const MAPPED_V4: u64 = 0xffff_0000_0000;

impl Address {
    /// `::`, the unspecified IPv6 address.
    pub const UNSPECIFIED: Self = Self { high: 0, low: 0 };

    /// An IPv4 address from its four bytes in network order.
    #[inline]
    pub const fn v4(bytes: [u8; 4]) -> Self {
        Self { high: 0, low: MAPPED_V4 | u32::from_be_bytes(bytes) as u64 }
    }

    /// An IPv6 address from its sixteen bytes in network order.
    #[inline]
    pub const fn v6(bytes: [u8; 16]) -> Self {
        Self::from_bits(u128::from_be_bytes(bytes))
    }

    /// The link-local address that IPv6 autoconfiguration derives from `mac` (EUI-64, RFC 4291 appendix A).
    #[inline]
    pub const fn link_local(mac: [u8; 6]) -> Self {
        let identifier = [mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]];
        Self { high: 0xfe80 << 48, low: u64::from_be_bytes(identifier) }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the number")]
    const fn from_bits(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// Whether it is an IPv4 address.
    #[inline]
    pub const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == MAPPED_V4 >> 32
    }

    /// The address as the standard library knows it.
    pub const fn to_ip(self) -> core::net::IpAddr {
        if self.is_v4() {
            let [.., a, b, c, d] = self.low.to_be_bytes();
            return core::net::IpAddr::V4(core::net::Ipv4Addr::new(a, b, c, d));
        }
        let bits = (self.high as u128) << 64 | self.low as u128;
        core::net::IpAddr::V6(core::net::Ipv6Addr::from_bits(bits))
    }
}

impl From<core::net::IpAddr> for Address {
    fn from(ip: core::net::IpAddr) -> Self {
        match ip {
            core::net::IpAddr::V4(v4) => Self::v4(v4.octets()),
            core::net::IpAddr::V6(v6) => Self::v6(v6.octets()),
        }
    }
}
