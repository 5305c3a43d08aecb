//! The hardware address of a virtual function: the physical one assigns it, and the virtual one's link has to have it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};

use super::function::Function;
use crate::netlink::{Link, Netlink, VfChange};
use crate::plugin::PluginCall;
use crate::plugin::device::{LinkBefore, Loan, MacBefore};
use crate::sysfs::{DeviceId, PciAddress, Sysfs};

/// How long a driver may take to make its netdev.
const BIND_WAIT: Duration = Duration::from_secs(5);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Gives the function its address; the answer is its link as it is then.
///
/// The link goes first: where the function may not change an assigned address, as with igb, it could not follow. Such a
/// driver learns an assigned one when it starts, which is the last resort.
pub(super) fn assign(
    call: &PluginCall<'_>,
    function: &Function,
    loan: &Loan,
    mac: [u8; 6],
) -> Result<Option<LinkBefore>, CniError> {
    note(call, loan, MacBefore::Assigned)?;
    let Some(before) = &loan.link else {
        return function.change(call.host, VfChange::Mac(mac)).map(|()| None);
    };
    let vf = loan.vf.as_ref().map(|vf| vf.state).unwrap_or_default();
    let changes = || call.host.set_mac(before.index, mac).is_ok();
    // igbvf of Linux 6.1 takes an address that its physical function has refused.
    if changes() && function.state(call.host)?.is_some_and(|state| state.mac == mac) {
        if !vf.trust && vf.mac != mac {
            note(call, loan, MacBefore::Own)?;
        }
    } else if vf.mac != [0; 6] && function.change(call.host, VfChange::Mac([0; 6])).is_ok() {
        changes();
    }
    function.change(call.host, VfChange::Mac(mac))?;
    let link = require(call.host, before.index)?;
    if link.mac == mac || changes() {
        return Ok(Some(LinkBefore::of(&require(call.host, before.index)?)));
    }
    restart_driver(call.host, function.address, mac).map(|link| Some(LinkBefore::of(&link)))
}

fn note(call: &PluginCall<'_>, loan: &Loan, mac: MacBefore) -> Result<(), CniError> {
    let mut loan = loan.clone();
    if let Some(vf) = &mut loan.vf {
        vf.mac = mac;
    }
    call.remember(&loan)
}

/// The link that comes back is another one.
fn restart_driver(host: &Netlink, device: PciAddress, mac: [u8; 6]) -> Result<Link, CniError> {
    let sysfs = Sysfs::default();
    let driver = sysfs.driver(&DeviceId::Pci(device))?.ok_or_else(|| lost(device))?;
    tracing::info!(%device, driver, "the driver is started anew, so that it learns its hardware address");
    sysfs.unbind(device, &driver)?;
    sysfs.bind(device, &driver)?;
    let until = Instant::now() + BIND_WAIT;
    while Instant::now() < until {
        if let Some(name) = sysfs.netdevs(&DeviceId::Pci(device))?.first()
            && let Some(link) = host.link_by_name(name)?
        {
            if link.mac != mac {
                host.set_mac(link.index, mac)?;
            }
            return require(host, link.index);
        }
        sleep(LOOK);
    }
    Err(lost(device))
}

fn require(host: &Netlink, index: u32) -> Result<Link, CniError> {
    host.link_by_index(index)?
        .ok_or_else(|| CniError::new(Code::Kernel, format!("link {index} vanished while it was changed")))
}

fn lost(device: PciAddress) -> CniError {
    CniError::new(Code::Kernel, format!("sriov: device {device} has no netdev any more"))
        .because("its driver made none after it was bound anew; look at the kernel's log")
}
