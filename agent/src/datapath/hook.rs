//! Where programs are attached, and what the pins of links are called.

use std::{fmt, str::FromStr};

use plexus_abi::{
    PROGRAM_FROM_POD, PROGRAM_LEARNING, PROGRAM_NETKIT, PROGRAM_NETKIT_LEARNING, PROGRAM_ROUTE,
    PROGRAM_ROUTING, PROGRAM_SHAPE, PROGRAM_TAP_RX, PROGRAM_TAP_TX, PROGRAM_UPLINK,
};

use super::filter::{Place, Side};

/// A program together with its place on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// From a fastpath pod: tc ingress of the veth's host end.
    Port,
    /// From a fastpath pod of a network that learns: the same place.
    LearningPort,
    /// From a fastpath pod of a network that routes: the same place.
    RoutedPort,
    /// From a fastpath pod: what the pod's end of a netkit pair sends.
    Netkit,
    /// From a fastpath pod of a network that learns: the same place.
    LearningNetkit,
    /// From a bridge pod: tc ingress of the veth's host end.
    HostTapTx,
    /// To a bridge pod: tc egress of the veth's host end.
    HostTapRx,
    /// From a macvlan pod: tc egress of the device in the pod.
    PodTapTx,
    /// To a macvlan pod: tc ingress of the device in the pod.
    PodTapRx,
    /// From a pod whose routes the data plane has: tc egress of an interface in the pod.
    Route,
    /// From a shaped pod behind a veth: tc egress of the pod's end.
    Shape,
    /// From outside: tc ingress of an uplink; a tcx link, or a gate where the kernel has no tcx.
    UplinkTc,
    /// From outside: XDP of an uplink.
    UplinkXdp,
}

/// What stands on a device, and which program it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    /// Name of the program on the device.
    pub(super) program: &'static str,
    /// Where on the device as a filter; nothing where it is a link into the device's netkit pair.
    pub(super) place: Option<Place>,
    /// Slot of the program behind it.
    pub(super) slot: u32,
}

impl Hook {
    /// The hooks of uplinks; their programs are links with pins, except behind a gate.
    pub(super) const UPLINK: [Self; 2] = [Self::UplinkTc, Self::UplinkXdp];

    /// One hook for each gate program.
    pub(super) const GATES: [Self; 10] = [
        Self::Port,
        Self::LearningPort,
        Self::RoutedPort,
        Self::Netkit,
        Self::LearningNetkit,
        Self::PodTapTx,
        Self::PodTapRx,
        Self::Route,
        Self::Shape,
        Self::UplinkTc,
    ];

    /// Name of the program that does the work.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Port => "port_tc",
            Self::LearningPort => "port_learning",
            Self::RoutedPort => "port_routing",
            Self::Netkit => "netkit_tx",
            Self::LearningNetkit => "netkit_learning",
            Self::HostTapTx | Self::PodTapTx => "tap_tx",
            Self::HostTapRx | Self::PodTapRx => "tap_rx",
            Self::Route => "route",
            Self::Shape => "shape",
            Self::UplinkTc => "uplink_tc",
            Self::UplinkXdp => "uplink_xdp",
        }
    }

    /// The hook's name in pins, filters, states and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Port => "from-pod",
            Self::LearningPort => "from-pod-learning",
            Self::RoutedPort => "from-pod-l3",
            Self::Netkit => "from-pod-netkit",
            Self::LearningNetkit => "from-pod-netkit-learning",
            Self::HostTapTx => "host-tap-tx",
            Self::HostTapRx => "host-tap-rx",
            Self::PodTapTx => "pod-tap-tx",
            Self::PodTapRx => "pod-tap-rx",
            Self::Route => "route",
            Self::Shape => "shape",
            Self::UplinkTc => "tc",
            Self::UplinkXdp => "xdp",
        }
    }

    /// The gate of a hook; XDP has none.
    pub(super) const fn gate(self) -> Option<Gate> {
        let (program, place, slot) = match self {
            Self::Netkit => return Some(Gate { program: "netkit_gate", place: None, slot: PROGRAM_NETKIT }),
            Self::LearningNetkit => {
                let slot = PROGRAM_NETKIT_LEARNING;
                return Some(Gate { program: "netkit_learning_gate", place: None, slot });
            }
            Self::Port => ("port_gate", Place::of_port(Side::Ingress), PROGRAM_FROM_POD),
            Self::LearningPort => ("learning_gate", Place::of_port(Side::Ingress), PROGRAM_LEARNING),
            Self::RoutedPort => ("routing_gate", Place::of_port(Side::Ingress), PROGRAM_ROUTING),
            Self::HostTapTx => ("tap_tx_gate", Place::of_port(Side::Ingress), PROGRAM_TAP_TX),
            Self::PodTapTx => ("tap_tx_gate", Place::of_port(Side::Egress), PROGRAM_TAP_TX),
            Self::HostTapRx => ("tap_rx_gate", Place::of_port(Side::Egress), PROGRAM_TAP_RX),
            Self::PodTapRx => ("tap_rx_gate", Place::of_port(Side::Ingress), PROGRAM_TAP_RX),
            Self::Route => ("route_gate", Place::of_port(Side::Egress), PROGRAM_ROUTE),
            Self::Shape => ("shape_gate", Place::of_port(Side::Egress), PROGRAM_SHAPE),
            Self::UplinkTc => ("uplink_gate", Place::OF_UPLINK, PROGRAM_UPLINK),
            Self::UplinkXdp => return None,
        };
        Some(Gate { program, place: Some(place), slot })
    }
}

/// The pin of a link: `uplink-<ifindex>-<hook>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkName {
    pub(super) ifindex: u32,
    pub(super) hook: Hook,
}

impl fmt::Display for LinkName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "uplink-{}-{}", self.ifindex, self.hook.as_str())
    }
}

impl FromStr for LinkName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let (ifindex, hook) = name.strip_prefix("uplink-").and_then(|rest| rest.split_once('-')).ok_or(())?;
        let hook = Hook::UPLINK.into_iter().find(|known| known.as_str() == hook).ok_or(())?;
        Ok(Self { ifindex: ifindex.parse().map_err(|_| ())?, hook })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_name_is_read_back() {
        for hook in Hook::UPLINK {
            let name = LinkName { ifindex: 4, hook };
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn foreign_files_are_no_pins() {
        for name in ["", "uplink", "uplink-x-tc", "uplink-1-nothing", "bridge-1-tc", "uplink--1-tc"] {
            assert_eq!(name.parse::<LinkName>(), Err(()), "{name}");
        }
    }
}
