//! The driver of a device, and how it is bound anew.

use std::fs;

use super::{DeviceId, PciAddress, Sysfs, SysfsError, link_name};

/// Drivers that hand a device to a process; it has no netdev then.
const USERSPACE_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/// Whether a device bound to this driver has no netdev because a process uses it.
pub fn is_userspace_driver(driver: &str) -> bool {
    USERSPACE_DRIVERS.contains(&driver)
}

impl Sysfs {
    /// The driver that a device is bound to.
    pub fn driver(&self, device: &DeviceId) -> Result<Option<String>, SysfsError> {
        link_name(&self.device(device).join("driver"))
    }

    /// Takes a PCI function from its driver; its netdev is gone then.
    pub fn unbind(&self, address: PciAddress, driver: &str) -> Result<(), SysfsError> {
        self.write(driver, "unbind", address)
    }

    /// Gives a PCI function to a driver; its netdev is made before this returns, or soon after.
    pub fn bind(&self, address: PciAddress, driver: &str) -> Result<(), SysfsError> {
        self.write(driver, "bind", address)
    }

    fn write(&self, driver: &str, what: &'static str, address: PciAddress) -> Result<(), SysfsError> {
        let path = self.root.join("bus/pci/drivers").join(driver).join(what);
        fs::write(&path, address.to_string()).map_err(|cause| SysfsError { what: "write", path, cause })
    }
}
