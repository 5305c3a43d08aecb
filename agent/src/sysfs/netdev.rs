//! The network devices of a device.

use std::path::Path;

use super::{DeviceId, KernelPath, Sysfs, SysfsError, link_name, names};

impl Sysfs {
    /// Names of a device's netdevs, sorted; only those in the network namespace in which this sysfs was mounted.
    pub fn netdevs(&self, device: &DeviceId) -> Result<Vec<String>, SysfsError> {
        netdevs(&self.device(device))
    }

    /// As [`Sysfs::netdevs`], of a device named by its path.
    pub fn netdevs_at(&self, path: &KernelPath) -> Result<Vec<String>, SysfsError> {
        netdevs(&self.root.join(path.below()))
    }

    /// The device that a netdev belongs to; `None` for one that is virtual, or on another bus.
    pub fn device_of(&self, netdev: &str) -> Result<Option<DeviceId>, SysfsError> {
        if !is_plain(netdev) {
            return Ok(None);
        }
        let netdev = self.root.join("class/net").join(netdev).join("device");
        let own = link_name(&netdev)?.and_then(|name| name.parse().ok());
        if own.is_some() {
            return Ok(own);
        }
        // A virtio device sits on a PCI function.
        let parent = netdev.canonicalize().ok().and_then(|path| Some(path.parent()?.to_owned()));
        let name =
            parent.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        Ok(name.and_then(|name| name.parse().ok()))
    }
}

impl Sysfs {
    /// Which of its device's ports a netdev is, in the driver's words; empty for the only one. Ports of one PCI function
    /// (mlx4) and representors of virtual functions share their device.
    pub fn port_of(&self, netdev: &str) -> String {
        if !is_plain(netdev) {
            return String::new();
        }
        let read = |attribute: &str| {
            // Drivers without the notion refuse the reading.
            let path = self.root.join("class/net").join(netdev).join(attribute);
            std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
        };
        let (number, name) = (read("dev_port"), read("phys_port_name"));
        if matches!(&*number, "" | "0") { name } else { format!("{number} {name}").trim().to_owned() }
    }
}

/// The kernel allows neither `/` nor `..` in names, but ours may come from a record.
fn is_plain(netdev: &str) -> bool {
    !netdev.is_empty() && !netdev.contains('/') && !netdev.starts_with('.')
}

/// Directly beneath the device, or beneath its virtio device.
fn netdevs(device: &Path) -> Result<Vec<String>, SysfsError> {
    let own = names(&device.join("net"))?;
    if !own.is_empty() {
        return Ok(own);
    }
    let virtio = names(device)?.into_iter().find(|name| name.starts_with("virtio"));
    virtio.map_or(Ok(Vec::new()), |virtio| names(&device.join(virtio).join("net")))
}
