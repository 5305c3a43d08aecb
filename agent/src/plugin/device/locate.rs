//! Where a borrowed device's link is now.

use std::thread::sleep;
use std::time::{Duration, Instant};

use plexus_cni::{CniError, Code};

use super::{LinkBefore, Loan};
use crate::netlink::Link;
use crate::plugin::PluginCall;
use crate::sysfs::{Sysfs, is_userspace_driver};

/// The kernel ends a namespace some time after its last user, and gives a device back then.
const RETURN_WAIT: Duration = Duration::from_secs(2);
/// Time between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Where a link was found.
#[derive(Debug)]
pub(super) enum Place {
    /// In the pod.
    Inside(Link),
    /// In the host.
    Host(Link),
    /// Nowhere, and for good: it was virtual and ended with the pod's namespace, or its device has no driver.
    Gone,
}

impl PluginCall<'_> {
    /// Finds the link of a loan, whatever it is called by now.
    pub(super) fn locate(&self, loan: &Loan, before: &LinkBefore) -> Result<Place, CniError> {
        if let (Some(sandbox), Some(index)) = (self.sandbox, self.port_ifindex())
            && let Some(link) = sandbox.netlink.link_by_index(index)?
        {
            return Ok(Place::Inside(link));
        }
        let until = Instant::now() + RETURN_WAIT;
        loop {
            if let Some(link) = self.in_host(loan, before)? {
                return Ok(Place::Host(link));
            }
            if !Self::must_return(loan)? {
                return Ok(Place::Gone);
            }
            if Instant::now() > until {
                return Err(elsewhere(loan));
            }
            sleep(LOOK);
        }
    }

    /// The link in the host: by the index that only this attachment's interface has, by its device, or as it was.
    fn in_host(&self, loan: &Loan, before: &LinkBefore) -> Result<Option<Link>, CniError> {
        if let Some(index) = self.port_ifindex()
            && let Some(link) = self.host.link_by_index(index)?
        {
            return Ok(Some(link));
        }
        if let Some(device) = &loan.device {
            let sysfs = Sysfs::default();
            let name = sysfs.netdevs(device)?.into_iter().find(|name| sysfs.port_of(name) == loan.port);
            return Ok(name.map(|name| self.host.link_by_name(&name)).transpose()?.flatten());
        }
        // A virtual link keeps its index until it is moved, and the kernel does not hand out one twice.
        let same = |link: &Link| link.name == before.name || link.alias.as_deref() == Some(&*before.name);
        Ok(self.host.link_by_index(before.index)?.filter(same))
    }

    /// Whether the link exists somewhere: its device is still bound to the driver that made it.
    fn must_return(loan: &Loan) -> Result<bool, CniError> {
        let Some(device) = &loan.device else { return Ok(false) };
        let driver = Sysfs::default().driver(device)?;
        Ok(driver
            .is_some_and(|driver| loan.driver.as_deref() == Some(&*driver) && !is_userspace_driver(&driver)))
    }
}

fn elsewhere(loan: &Loan) -> CniError {
    CniError::new(Code::TryAgain, format!("device {} is neither in the container nor in the host", loan.describe()))
        .because(
            "a process still lives in the container's network namespace, or the pod moved it to another one; it comes back \
             when that namespace ends",
        )
}
