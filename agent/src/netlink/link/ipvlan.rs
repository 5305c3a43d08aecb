//! Where the packets of a parent's ipvlan children are handled.

use netlink_packet_route::link::IpVlanMode;

/// On which layer a parent tells its ipvlan children apart; one mode for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpvlanMode {
    /// As a switch does; ARP and broadcasts reach every child.
    #[default]
    L2,
    /// As a router does: no ARP, no broadcasts, the parent's namespace routes.
    L3,
    /// As [`Self::L3`], and packets pass netfilter of the parent's namespace.
    L3s,
}

impl IpvlanMode {
    /// As configs write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
            Self::L3s => "l3s",
        }
    }

    pub(super) fn from_kernel(mode: IpVlanMode) -> Option<Self> {
        match mode {
            IpVlanMode::L2 => Some(Self::L2),
            IpVlanMode::L3 => Some(Self::L3),
            IpVlanMode::L3S => Some(Self::L3s),
            _ => None,
        }
    }
}

impl From<IpvlanMode> for IpVlanMode {
    fn from(mode: IpvlanMode) -> Self {
        match mode {
            IpvlanMode::L2 => Self::L2,
            IpvlanMode::L3 => Self::L3,
            IpvlanMode::L3s => Self::L3S,
        }
    }
}
