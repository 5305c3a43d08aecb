//! What the agent asks of the data plane.

use std::{net::IpAddr, os::fd::BorrowedFd, path::PathBuf};

use aya::util::KernelVersion;
use plexus_abi::{
    Address, KIND_FASTPATH, KIND_HOST_TAP, KIND_POD_TAP, MAX_ADDRESSES, MAX_PORTS_DEFAULT, PORT_GUARD_IP,
    PORT_GUARD_MAC, PORT_PRESENT, PortConfig, port_ifindex,
};
use serde::{Deserialize, Serialize};

use super::{
    error::{DatapathError, Result},
    hook::Hook,
};

/// The highest VLAN id that 802.1Q lets a network use.
const MAX_VLAN: u16 = 4094;

/// Where and how big.
#[derive(Clone, Debug)]
pub struct DatapathOptions {
    /// Directory for pins, on a BPF file system; made if missing.
    pub bpffs: PathBuf,
    /// Port ids run from 0 to `max_ports - 1`.
    pub max_ports: u32,
    /// Attach to uplinks by tcx links, which Linux has from 6.6 on; otherwise by filters.
    pub tcx: bool,
}

impl Default for DatapathOptions {
    fn default() -> Self {
        Self { bpffs: PathBuf::from("/sys/fs/bpf/plexus"), max_ports: MAX_PORTS_DEFAULT, tcx: has_tcx() }
    }
}

/// Whether the running kernel has tcx.
pub(super) fn has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

/// What a fastpath network forwards by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// By hardware address: one broadcast domain.
    #[default]
    L2,
    /// By IP address: the node is each pod's router, and no frame goes from pod to pod as it is.
    L3,
}

impl Mode {
    /// The mode's name in configs and states.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::L3 => "l3",
        }
    }
}

/// Seconds that a learnt station is remembered, unless configured otherwise: what the kernel's bridge takes.
const AGEING_S: u32 = 300;

/// What a fastpath network does beyond static forwarding in one VLAN; nothing of it unless asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Forwarding {
    /// By hardware or by IP address.
    pub mode: Mode,
    /// Stations are learnt from what they send, behind pods and outside; frames for unknown ones are flooded.
    pub learning: bool,
    /// Seconds that a learnt station is remembered after its last frame; 0 is 300.
    pub ageing_s: u32,
    /// The service VLAN (802.1ad) around the network's own on the uplink, 0 for none.
    pub outer_vlan: u16,
}

impl Forwarding {
    /// The ageing time that counts.
    pub(super) const fn ageing_s(self) -> u32 {
        if self.ageing_s == 0 { AGEING_S } else { self.ageing_s }
    }
}

/// A fastpath network on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSpec {
    /// The network's id.
    pub id: u32,
    /// The device that leads out, in the host's network namespace; none for a network of this node only.
    pub uplink_ifindex: Option<u32>,
    /// The network's VLAN on the uplink, 0 for untagged.
    pub vlan: u16,
    /// Whether XDP delivers what arrives on the uplink.
    pub xdp: XdpChoice,
    /// Learning, and a second VLAN.
    pub forwarding: Forwarding,
}

/// Whether XDP on the uplink delivers to pods. tcx always stands behind it and takes what XDP does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpChoice {
    /// Where the driver can redirect natively, but not on a veth: machines behind a veth leave checksums for the
    /// receiver to skip, XDP loses that note, and the pod would drop their packets.
    #[default]
    Auto,
    /// Where the driver can redirect natively, veth included: the machines behind it compute their checksums.
    Always,
    /// Never.
    Never,
}

impl NetworkSpec {
    pub(super) fn validate(&self) -> Result<()> {
        let refuse = |reason: String| Err(DatapathError::Network { network: self.id, reason });
        let outer_vlan = self.forwarding.outer_vlan;
        for vlan in [self.vlan, outer_vlan] {
            if vlan > MAX_VLAN {
                return refuse(format!(
                    "VLAN {vlan} is above {MAX_VLAN}; correct it in the network's config"
                ));
            }
        }
        if self.forwarding.mode == Mode::L3 && (self.vlan != 0 || self.forwarding.learning) {
            return refuse(
                "a network that routes has neither a VLAN nor stations to learn; remove them".into(),
            );
        }
        if outer_vlan != 0 && self.vlan == 0 {
            return refuse(format!("service VLAN {outer_vlan} has no VLAN inside; set \"vlan\""));
        }
        Ok(())
    }
}

/// How a port is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// Member of a fastpath network: Plexus forwards. The device is the veth's host end.
    Fastpath {
        /// The network's id; the network exists already.
        network: u32,
        /// VLAN in the network, 0 for untagged; usually the network's own.
        vlan: u16,
    },
    /// Counted and policed at the veth's host end (bridge, ptp).
    HostTap,
    /// Counted and policed at the device inside the pod (macvlan and the like); `PortSpec::socket` is required.
    PodTap,
}

impl PortKind {
    /// The hooks that the kind needs.
    pub(super) const fn hooks(self) -> &'static [Hook] {
        match self {
            // On a network that learns or routes it is another one: `Inner::hooks`.
            Self::Fastpath { .. } => &[Hook::Port],
            Self::HostTap => &[Hook::HostTapTx, Hook::HostTapRx],
            Self::PodTap => &[Hook::PodTapTx, Hook::PodTapRx],
        }
    }

    /// The kind that a configured port has.
    pub(super) const fn of(config: &PortConfig) -> Option<Self> {
        match config.kind {
            KIND_FASTPATH => Some(Self::Fastpath { network: config.network, vlan: config.vlan }),
            KIND_HOST_TAP => Some(Self::HostTap),
            KIND_POD_TAP => Some(Self::PodTap),
            _ => None,
        }
    }

    /// The kind's name in states and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fastpath { .. } => "fastpath",
            Self::HostTap => "host-tap",
            Self::PodTap => "pod-tap",
        }
    }
}

/// Which spoofed frames of a pod are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// Frames whose source MAC, ARP sender or neighbour discovery option is not the port's MAC.
    pub mac: bool,
    /// Frames whose source IP, ARP sender or advertised neighbour is not one of the port's addresses, and router
    /// advertisements. A port without addresses then sends only DHCP, probes and from its link-local address.
    pub ip: bool,
}

/// A rate and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicerSpec {
    /// Bits per second of Ethernet frames without FCS, 1 kbit/s to 400 Gbit/s; 0 means no policer.
    pub rate_bps: u64,
    /// Bits that may pass at once after a pause. A burst below one packet still lets single packets pass at the rate.
    pub burst_bits: u64,
}

/// One attachment of one pod.
#[derive(Clone, Debug)]
pub struct PortSpec<'a> {
    /// Dense id, below `DatapathOptions::max_ports`.
    pub id: u32,
    /// How it is connected.
    pub kind: PortKind,
    /// The device; always `plexus_abi::port_ifindex(id)`.
    pub ifindex: u32,
    /// The pod's MAC address.
    pub mac: [u8; 6],
    /// The pod's addresses, at most `plexus_abi::MAX_ADDRESSES`.
    pub ips: Vec<IpAddr>,
    /// Anti-spoofing.
    pub guard: Guard,
    /// Limit to the pod.
    pub ingress: Option<PolicerSpec>,
    /// Limit from the pod.
    pub egress: Option<PolicerSpec>,
    /// A NETLINK_ROUTE socket that was opened in the pod's network namespace; needed for `PortKind::PodTap` only, so
    /// that nothing has to enter the pod.
    pub socket: Option<BorrowedFd<'a>>,
}

impl PortSpec<'_> {
    /// Checks the specification and turns it into what the programs read.
    pub(super) fn to_config(&self, max_ports: u32) -> Result<PortConfig> {
        let refuse = |reason: String| Err(DatapathError::Port { port: self.id, reason });
        if self.id >= max_ports {
            return refuse(format!("the id is not below max_ports ({max_ports}); raise max_ports"));
        }
        if self.ifindex != port_ifindex(self.id) {
            let wanted = port_ifindex(self.id);
            return refuse(format!(
                "its device has ifindex {}, not {wanted}; create it with that index",
                self.ifindex
            ));
        }
        if self.mac[0] & 1 != 0 || self.mac == [0; 6] {
            return refuse(format!("{:02x?} is no unicast MAC; give the interface another one", self.mac));
        }
        let mut config = PortConfig { mac: self.mac, flags: PORT_PRESENT, ..PortConfig::ZERO };
        config.kind = match self.kind {
            PortKind::Fastpath { network, vlan } if vlan <= MAX_VLAN => {
                (config.network, config.vlan) = (network, vlan);
                KIND_FASTPATH
            }
            PortKind::Fastpath { vlan, .. } => {
                return refuse(format!("VLAN {vlan} is above {MAX_VLAN}; correct it"));
            }
            PortKind::HostTap => KIND_HOST_TAP,
            PortKind::PodTap => KIND_POD_TAP,
        };
        if self.guard.mac {
            config.flags |= PORT_GUARD_MAC;
        }
        if self.guard.ip {
            config.flags |= PORT_GUARD_IP;
        }
        set_addresses(self.id, &mut config, &self.ips)?;
        Ok(config)
    }
}

/// Writes the pod's addresses into a port's entry, in place of those that it has.
pub(super) fn set_addresses(id: u32, config: &mut PortConfig, ips: &[IpAddr]) -> Result<()> {
    if ips.len() > MAX_ADDRESSES {
        let reason = format!("{} addresses are more than {MAX_ADDRESSES}; use fewer", ips.len());
        return Err(DatapathError::Port { port: id, reason });
    }
    (config.addresses, config.address_count) = (PortConfig::ZERO.addresses, 0);
    for (slot, ip) in config.addresses.iter_mut().zip(ips) {
        *slot = Address::from(*ip);
        config.address_count += 1;
    }
    Ok(())
}
