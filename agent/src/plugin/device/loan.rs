//! What a device was like before a pod got it.

use serde::{Deserialize, Serialize};

use crate::netlink::{Link, VfState};
use crate::sysfs::{DeviceId, PciAddress};

/// A borrowed device: which one it is, and all that has to be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::plugin) struct Loan {
    /// The device on its bus; absent for a link without one, such as a veth.
    pub(in crate::plugin) device: Option<DeviceId>,
    /// Its driver.
    pub(in crate::plugin) driver: Option<String>,
    /// Which of the device's ports it is, where there are several (see [`crate::sysfs::Sysfs::port_of`]).
    #[serde(default)]
    pub(in crate::plugin) port: String,
    /// Its link; absent where a driver in user space has it.
    pub(in crate::plugin) link: Option<LinkBefore>,
    /// Its settings at the physical function, for a virtual one.
    pub(in crate::plugin) vf: Option<VfBefore>,
}

/// A link of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::plugin) struct LinkBefore {
    /// Index; 0 where it is not known.
    pub(in crate::plugin) index: u32,
    /// Name.
    pub(in crate::plugin) name: String,
    /// Alternative names.
    pub(in crate::plugin) alt_names: Vec<String>,
    /// Alias.
    pub(in crate::plugin) alias: Option<String>,
    /// Hardware address.
    pub(in crate::plugin) mac: [u8; 6],
    /// MTU in bytes.
    pub(in crate::plugin) mtu: u32,
    /// Length of the transmit queue, in packets.
    pub(in crate::plugin) tx_queue_len: u32,
    /// Administratively up.
    pub(in crate::plugin) is_up: bool,
    /// Promiscuous mode was asked for.
    pub(in crate::plugin) is_promiscuous: bool,
    /// All multicast frames are received.
    pub(in crate::plugin) is_all_multicast: bool,
}

/// A virtual function, as its physical one had it set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::plugin) struct VfBefore {
    /// The physical function.
    pub(in crate::plugin) pf: PciAddress,
    /// Its number there.
    pub(in crate::plugin) number: u32,
    /// Its settings.
    pub(in crate::plugin) state: VfState,
    /// What becomes of its hardware address.
    pub(in crate::plugin) mac: MacBefore,
}

/// Whose the address of a virtual function was. Some drivers (igb) report the one that the function chose itself as if it
/// were assigned, but refuse to let the function change an assigned one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::plugin) enum MacBefore {
    /// The pod got the device with its address.
    #[default]
    Kept,
    /// The function's own: it could change it.
    Own,
    /// Assigned by the physical one, or not known to be its own.
    Assigned,
}

impl LinkBefore {
    /// The link as it is now.
    pub(in crate::plugin) fn of(link: &Link) -> Self {
        Self {
            index: link.index,
            name: link.name.clone(),
            alt_names: link.alt_names.clone(),
            alias: link.alias.clone(),
            mac: link.mac,
            mtu: link.mtu,
            tx_queue_len: link.tx_queue_len,
            is_up: link.is_up,
            is_promiscuous: link.is_promiscuous,
            is_all_multicast: link.is_all_multicast,
        }
    }
}

impl Loan {
    /// Whether both are about one device.
    pub(super) fn is_of_same_device(&self, other: &Self) -> bool {
        match (&self.device, &other.device, &self.link, &other.link) {
            (Some(one), Some(two), ..) => (one, &self.port) == (two, &other.port),
            (None, None, Some(one), Some(two)) => (one.index, &one.name) == (two.index, &two.name),
            _ => false,
        }
    }

    /// The device as people know it.
    pub(in crate::plugin) fn describe(&self) -> String {
        match (&self.link, &self.device) {
            (Some(link), Some(device)) => format!("{} ({device})", link.name),
            (Some(link), None) => link.name.clone(),
            (None, Some(device)) => device.to_string(),
            (None, None) => "an unknown device".into(),
        }
    }
}
