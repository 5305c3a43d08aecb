//! Virtual functions: which physical one they belong to, and as which number.

use super::{DeviceId, PciAddress, Sysfs, SysfsError, link_name, names};

/// A virtual function of an SR-IOV device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtualFunction {
    /// Its physical function.
    pub pf: PciAddress,
    /// Its number there.
    pub index: u32,
}

impl Sysfs {
    /// What a PCI function is a virtual function of; `None` for one that is none.
    pub fn virtual_function(&self, address: PciAddress) -> Result<Option<VirtualFunction>, SysfsError> {
        let physical = link_name(&self.pci(address).join("physfn"))?;
        let Some(pf) = physical.and_then(|name| name.parse::<PciAddress>().ok()) else { return Ok(None) };
        for name in names(&self.pci(pf))? {
            let Some(index) = name.strip_prefix("virtfn").and_then(|index| index.parse().ok()) else {
                continue;
            };
            let target = link_name(&self.pci(pf).join(&name))?;
            if target.and_then(|target| target.parse().ok()) == Some(address) {
                return Ok(Some(VirtualFunction { pf, index }));
            }
        }
        Ok(None)
    }

    /// The netdev of a physical function, through which its virtual ones are set; not a representor of one of those.
    pub fn pf_netdev(&self, pf: PciAddress) -> Result<Option<String>, SysfsError> {
        let names = self.netdevs(&DeviceId::Pci(pf))?;
        Ok(names.into_iter().find(|name| !is_representor(&self.port_of(name))))
    }
}

/// `pf0vf3`, `pf1sf8`, or with the controller's number before it.
fn is_representor(port: &str) -> bool {
    port.contains("pf") && (port.contains("vf") || port.contains("sf"))
}
