//! Why a frame was dropped.

/// Slots for drop reasons in `Counters`; numbers of reasons stay below it.
pub const DROP_SLOTS: usize = 32;

/// Why a frame was dropped. The numbers are part of the ABI: a retired one stays reserved and is never used again.
///
/// Numbers in use: 1 to 16, 18, 19. Free: 0, 17 and 20 to 31. Retired: none yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DropReason {
    /// From the pod: too short, a header cut off, or a source MAC that is a group address.
    Malformed = 1,
    /// From the pod: a VLAN tag; pods are access ports and send untagged.
    Tagged = 2,
    /// From the pod: the source MAC is not the port's.
    SpoofedMac = 3,
    /// From the pod: the source IP is not the port's.
    SpoofedIp = 4,
    /// From the pod: ARP that speaks for a MAC or IP that is not the port's.
    SpoofedArp = 5,
    /// From the pod: neighbour discovery that speaks for a MAC or IP that is not the port's, or hides in fragments.
    SpoofedNd = 6,
    /// From the pod: an IPv6 router advertisement.
    RouterAdvertisement = 7,
    /// From the pod: sent to 01:80:c2:00:00:0X (spanning tree, pause, LLDP), which no bridge may forward.
    ReservedDestination = 8,
    /// From the pod: no member has the destination MAC and the network has no uplink.
    UnknownDestination = 9,
    /// From the pod: above the rate of its egress policer.
    PolicedFromPod = 10,
    /// To the pod: above the rate of its ingress policer.
    PolicedToPod = 11,
    /// From the pod: the kernel refused the VLAN push or the redirect to the uplink.
    UplinkFailed = 12,
    /// To the pod: the kernel refused the VLAN pop or the redirect to the port.
    DeliveryFailed = 13,
    /// From the pod: the port is not configured (it is being added or removed).
    NotConfigured = 14,
    /// From the pod: a route of the data plane says that the destination is not to be reached.
    RouteBlackhole = 15,
    /// From the pod: the interface that a route of the data plane leads over is not in the pod.
    RouteUnreachable = 16,
    /// From the pod: above the rate for so long that it would wait beyond the shaper's horizon.
    ShapedHorizon = 18,
    /// From the pod, on a network that routes: no IPv4 or IPv6 packet for one station.
    NotRouted = 19,
}

impl DropReason {
    /// Every reason in use, in the order of their numbers.
    pub const ALL: [Self; 18] = [
        Self::Malformed,
        Self::Tagged,
        Self::SpoofedMac,
        Self::SpoofedIp,
        Self::SpoofedArp,
        Self::SpoofedNd,
        Self::RouterAdvertisement,
        Self::ReservedDestination,
        Self::UnknownDestination,
        Self::PolicedFromPod,
        Self::PolicedToPod,
        Self::UplinkFailed,
        Self::DeliveryFailed,
        Self::NotConfigured,
        Self::RouteBlackhole,
        Self::RouteUnreachable,
        Self::ShapedHorizon,
        Self::NotRouted,
    ];

    /// The reason's name in metrics, JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Tagged => "tagged",
            Self::SpoofedMac => "spoofed-mac",
            Self::SpoofedIp => "spoofed-ip",
            Self::SpoofedArp => "spoofed-arp",
            Self::SpoofedNd => "spoofed-nd",
            Self::RouterAdvertisement => "router-advertisement",
            Self::ReservedDestination => "reserved-destination",
            Self::UnknownDestination => "unknown-destination",
            Self::PolicedFromPod => "policed-from-pod",
            Self::PolicedToPod => "policed-to-pod",
            Self::UplinkFailed => "uplink-failed",
            Self::DeliveryFailed => "delivery-failed",
            Self::NotConfigured => "not-configured",
            Self::RouteBlackhole => "route-blackhole",
            Self::RouteUnreachable => "route-unreachable",
            Self::ShapedHorizon => "shaped-horizon",
            Self::NotRouted => "not-routed",
        }
    }

    /// Which way a frame goes that is dropped for this reason.
    #[inline]
    pub const fn direction(self) -> crate::Direction {
        match self {
            Self::PolicedToPod | Self::DeliveryFailed => crate::Direction::ToPod,
            _ => crate::Direction::FromPod,
        }
    }

    /// Index into `Counters::drops`.
    #[inline]
    pub const fn slot(self) -> usize {
        self as usize
    }
}

const _: () = {
    let mut index = 0;
    while index < DropReason::ALL.len() {
        assert!(DropReason::ALL[index].slot() < DROP_SLOTS, "a drop reason has no slot");
        index += 1;
    }
};
