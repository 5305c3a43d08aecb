//! The machine's igb cards and their virtual functions.

use std::path::PathBuf;

use super::sysfs;
use crate::lab::LabError;

/// The driver of the cards.
const DRIVER: &str = "igb";
/// How many virtual functions the card has at most.
pub const VFS_MAX: u32 = 7;

/// A network card that can be divided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalFunction {
    /// Its interface.
    pub ifname: String,
    /// Where it is on the bus, e.g. `0000:01:00.0`.
    pub pci_address: String,
}

/// A part of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualFunction {
    /// Its number on its card, from 0.
    pub index: u32,
    /// Where it is on the bus.
    pub pci_address: String,
    /// Its interface, made by the driver igbvf.
    pub ifname: String,
}

impl PhysicalFunction {
    /// All cards, in the order of their addresses. Waits for those that are just coming back from a namespace that ended.
    pub(super) fn all(expected: usize) -> Result<Vec<Self>, LabError> {
        sysfs::wait_for("a network card did not show up", || {
            let mut cards: Vec<Self> =
                sysfs::physical_interfaces().ok()?.into_iter().filter_map(Self::of_interface).collect();
            cards.sort_by(|one, other| one.pci_address.cmp(&other.pci_address));
            (cards.len() == expected).then_some(cards)
        })
    }

    fn of_interface(ifname: String) -> Option<Self> {
        let device = sysfs::device(&ifname);
        let driver = sysfs::target_name(&device.join("driver"))?;
        let pci_address = sysfs::target_name(&device)?;
        (driver == DRIVER).then_some(Self { ifname, pci_address })
    }

    /// Its directory in sysfs, which stays where it is while the interface is in another namespace.
    pub fn directory(&self) -> PathBuf {
        PathBuf::from("/sys/bus/pci/devices").join(&self.pci_address)
    }

    /// Divides it into `count` virtual functions, at most [`VFS_MAX`], and waits for their interfaces. Those that were
    /// there before are gone.
    pub fn make_vfs(&self, count: u32) -> Result<Vec<VirtualFunction>, LabError> {
        self.remove_vfs()?;
        sysfs::write(&self.directory().join("sriov_numvfs"), &count.to_string())?;
        let what = format!("{} did not get {count} virtual functions with interfaces", self.ifname);
        sysfs::wait_for(&what, || (0..count).map(|index| self.vf(index)).collect())
    }

    /// Waits until it has a link: without one igb refuses rates, and after the making of virtual functions it comes late.
    pub fn wait_for_link(&self) -> Result<(), LabError> {
        let carrier = PathBuf::from("/sys/class/net").join(&self.ifname).join("carrier");
        let what = format!("{} had no link", self.ifname);
        let look = || std::fs::read_to_string(&carrier).ok().filter(|state| state.trim() == "1");
        sysfs::wait_for(&what, look).map(drop)
    }

    /// The virtual function `index` as it is now; `None` if it is not there, or has no interface here.
    pub fn vf(&self, index: u32) -> Option<VirtualFunction> {
        let directory = self.directory().join(format!("virtfn{index}"));
        let pci_address = sysfs::target_name(&directory)?;
        Some(VirtualFunction { index, pci_address, ifname: sysfs::interface_of(&directory)? })
    }

    /// Makes it whole again. Interfaces of its virtual functions vanish, wherever they are.
    pub fn remove_vfs(&self) -> Result<(), LabError> {
        sysfs::write(&self.directory().join("sriov_numvfs"), "0")
    }
}
