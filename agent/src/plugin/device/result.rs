//! What results say of a borrowed device.

use plexus_cni::CniError;
use plexus_cni::result::{Dns, Interface};

use super::Loan;
use crate::ipam::IpamResult;
use crate::plugin::call::format_mac;
use crate::plugin::interface::result;
use crate::plugin::{Attached, PluginCall};
use crate::sysfs::DeviceId;

impl PluginCall<'_> {
    /// The answer for a device that a driver in user space has: addresses of IPAM for the application, no link, no port.
    pub(in crate::plugin) fn attached_without_link(
        &self,
        loan: &Loan,
        mac: Option<[u8; 6]>,
        (ipam, dns): (IpamResult, Dns),
    ) -> Result<Attached, CniError> {
        self.refuse_leases()?;
        self.lacks(format!(
            "no counters, limits, guards and addresses in the kernel: device {} is bound to {}",
            loan.describe(),
            loan.driver.as_deref().unwrap_or("no driver")
        ));
        let mut interface = Interface {
            name: self.ifname.to_owned(),
            mac: mac.map(format_mac),
            sandbox: Some(self.sandbox()?.id.path.clone()),
            ..Interface::default()
        };
        pci_id(&mut interface, loan.device.as_ref());
        Ok(Attached { result: result(vec![interface], 0, ipam, dns), port: None })
    }
}

/// Names the PCI function of an interface (CNI SPEC 1.1.0, `pciID`).
pub(in crate::plugin) fn pci_id(interface: &mut Interface, device: Option<&DeviceId>) {
    if let Some(DeviceId::Pci(address)) = device {
        interface.extra.insert("pciID".into(), address.to_string().into());
    }
}
