//! Where programs are attached, and what their pins are called.

use std::{fmt, str::FromStr};

use aya::programs::TcAttachType;

/// A program of the object together with its place on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// From a fastpath pod: tcx ingress of the veth's host end.
    Port,
    /// From a bridge pod: tcx ingress of the veth's host end.
    HostTapTx,
    /// To a bridge pod: tcx egress of the veth's host end.
    HostTapRx,
    /// From a macvlan pod: tcx egress of the device in the pod.
    PodTapTx,
    /// To a macvlan pod: tcx ingress of the device in the pod.
    PodTapRx,
    /// From outside: tcx ingress of an uplink.
    UplinkTc,
    /// From outside: XDP of an uplink.
    UplinkXdp,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 7] = [
        Self::Port,
        Self::HostTapTx,
        Self::HostTapRx,
        Self::PodTapTx,
        Self::PodTapRx,
        Self::UplinkTc,
        Self::UplinkXdp,
    ];

    /// The program's name in the object.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Port => "port_tc",
            Self::HostTapTx | Self::PodTapTx => "tap_tx",
            Self::HostTapRx | Self::PodTapRx => "tap_rx",
            Self::UplinkTc => "uplink_tc",
            Self::UplinkXdp => "uplink_xdp",
        }
    }

    /// The hook's name in pins, states and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Port => "from-pod",
            Self::HostTapTx => "host-tap-tx",
            Self::HostTapRx => "host-tap-rx",
            Self::PodTapTx => "pod-tap-tx",
            Self::PodTapRx => "pod-tap-rx",
            Self::UplinkTc => "tc",
            Self::UplinkXdp => "xdp",
        }
    }

    /// The side of a tcx hook; XDP has none.
    pub(super) const fn side(self) -> Option<TcAttachType> {
        match self {
            Self::Port | Self::HostTapTx | Self::PodTapRx | Self::UplinkTc => Some(TcAttachType::Ingress),
            Self::HostTapRx | Self::PodTapTx => Some(TcAttachType::Egress),
            Self::UplinkXdp => None,
        }
    }
}

/// The name of a link's pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkName {
    /// `port-<id>-<hook>`
    Port { id: u32, hook: Hook },
    /// `uplink-<ifindex>-<hook>`
    Uplink { ifindex: u32, hook: Hook },
}

impl LinkName {
    pub(super) const fn hook(self) -> Hook {
        match self {
            Self::Port { hook, .. } | Self::Uplink { hook, .. } => hook,
        }
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { id, hook } => write!(out, "port-{id}-{}", hook.as_str()),
            Self::Uplink { ifindex, hook } => write!(out, "uplink-{ifindex}-{}", hook.as_str()),
        }
    }
}

impl FromStr for LinkName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut parts = name.splitn(3, '-');
        let (Some(kind), Some(number), Some(hook)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(());
        };
        let number = number.parse().map_err(|_| ())?;
        let hook = Hook::ALL.into_iter().find(|known| known.as_str() == hook).ok_or(())?;
        match kind {
            "port" => Ok(Self::Port { id: number, hook }),
            "uplink" => Ok(Self::Uplink { ifindex: number, hook }),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_name_is_read_back() {
        for hook in Hook::ALL {
            for name in [LinkName::Port { id: 17, hook }, LinkName::Uplink { ifindex: 4, hook }] {
                assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
    }

    #[test]
    fn foreign_files_are_no_pins() {
        for name in ["", "port", "port-x-tc", "port-1-nothing", "bridge-1-tc", "port--1-tc"] {
            assert_eq!(name.parse::<LinkName>(), Err(()), "{name}");
        }
    }
}
