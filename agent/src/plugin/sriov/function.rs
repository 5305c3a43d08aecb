//! A virtual function as the host has it.

use plexus_cni::{CniError, Code};

use crate::netlink::{Link, Netlink, VfChange, VfState};
use crate::plugin::device::{LinkBefore, Loan, MacBefore, VfBefore};
use crate::sysfs::{DeviceId, PciAddress, Sysfs, is_userspace_driver};

/// A virtual function, reached through its physical one.
#[derive(Debug)]
pub(super) struct Function {
    /// The physical function's link.
    pub(super) pf: Link,
    /// Its number there.
    pub(super) number: u32,
    /// Where it is on the bus.
    pub(super) address: PciAddress,
}

impl Function {
    /// The virtual function at this address.
    pub(super) fn find(host: &Netlink, address: PciAddress) -> Result<Self, CniError> {
        let sysfs = Sysfs::default();
        let refused = |why: String| Err(unusable(address, why));
        if !sysfs.has(&DeviceId::Pci(address)) {
            return refused("the host has no such device".into());
        }
        let Some(virtual_function) = sysfs.virtual_function(address)? else {
            return refused("it is no virtual function; use host-device for a whole device".into());
        };
        Self::of(host, address, virtual_function.pf, virtual_function.index)?.map_or_else(
            || refused(format!("its physical function {} has no netdev in the host", virtual_function.pf)),
            Ok,
        )
    }

    /// Virtual function `number` of `pf`; `None` where the physical function has no netdev.
    pub(super) fn of(
        host: &Netlink,
        address: PciAddress,
        pf: PciAddress,
        number: u32,
    ) -> Result<Option<Self>, CniError> {
        let Some(name) = Sysfs::default().pf_netdev(pf)? else { return Ok(None) };
        Ok(host.link_by_name(&name)?.map(|pf| Self { pf, number, address }))
    }

    /// Its settings; `None` where the physical function does not have it any more.
    pub(super) fn state(&self, host: &Netlink) -> Result<Option<VfState>, CniError> {
        Ok(host.vf_state(self.pf.index, self.number)?)
    }

    /// Changes one setting.
    pub(super) fn change(&self, host: &Netlink, change: VfChange) -> Result<(), CniError> {
        host.change_vf(self.pf.index, self.number, change).map_err(|error| {
            let what = format!("sriov: {} refuses a setting of {}", self.pf.name, self.address);
            let cause = CniError::from(error);
            CniError::new(cause.code, what).because(format!(
                "{cause}; the driver of the physical function may lack it (remove the key), or take \
                     it only while there is a link (look at the cable)"
            ))
        })
    }

    /// All that has to be put back.
    pub(super) fn loan(&self, host: &Netlink) -> Result<Loan, CniError> {
        let sysfs = Sysfs::default();
        let device = DeviceId::Pci(self.address);
        let Some(state) = self.state(host)? else {
            return Err(unusable(self.address, format!("{} does not tell its settings", self.pf.name)));
        };
        let driver = sysfs.driver(&device)?;
        let name = sysfs.netdevs(&device)?.into_iter().next();
        let link = name.map(|name| host.link_by_name(&name)).transpose()?.flatten();
        if link.is_none() && !driver.as_deref().is_some_and(is_userspace_driver) {
            let driver = driver.map_or("no driver".to_owned(), |driver| format!("driver {driver}"));
            return Err(unusable(
                self.address,
                format!(
                    "it has {driver} and no netdev in the host; bind it to its network driver or to vfio-pci"
                ),
            ));
        }
        let pf = sysfs.virtual_function(self.address)?.map(|function| function.pf);
        let pf = pf.ok_or_else(|| unusable(self.address, "it has just gone".into()))?;
        let vf = VfBefore { pf, number: self.number, state, mac: MacBefore::default() };
        let port = link.as_ref().map(|link| sysfs.port_of(&link.name)).unwrap_or_default();
        Ok(Loan { device: Some(device), driver, port, link: link.as_ref().map(LinkBefore::of), vf: Some(vf) })
    }
}

fn unusable(address: PciAddress, why: String) -> CniError {
    CniError::new(Code::DeviceUnavailable, format!("sriov: device {address} cannot be given to a pod"))
        .because(why)
}
