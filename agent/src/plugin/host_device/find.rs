//! The device that a config means, in the host.

use plexus_cni::{CniError, Code};

use super::config::Which;
use crate::netlink::Link;
use crate::plugin::PluginCall;
use crate::plugin::call::format_mac;
use crate::plugin::device::{LinkBefore, Loan, in_use};
use crate::sysfs::{Sysfs, is_userspace_driver};

impl Which {
    /// The device, which must be there and nobody's. One that a driver in user space has is found without a link.
    pub(super) fn find(&self, call: &PluginCall<'_>) -> Result<Loan, CniError> {
        let sysfs = Sysfs::default();
        let link = match self {
            Self::Name(name) => call.host.link_by_name(name)?,
            Self::Mac(mac) => call.host.links()?.into_iter().find(|link| link.mac == *mac),
            Self::Path(path) => first(call, &sysfs.netdevs_at(path)?)?,
            Self::Device(device) => {
                let driver = sysfs.driver(device)?;
                if let Some(driver) = driver.filter(|driver| is_userspace_driver(driver)) {
                    return Ok(Loan {
                        device: Some(device.clone()),
                        driver: Some(driver),
                        port: String::new(),
                        link: None,
                        vf: None,
                    });
                }
                first(call, &sysfs.netdevs(device)?)?
            }
        };
        let link = link.ok_or_else(|| self.missing(call, &sysfs))?;
        if link.is_loopback {
            return Err(self.refused("it is a loopback device, which every namespace has one of"));
        }
        let device = match self {
            Self::Device(device) => Some(device.clone()),
            _ => sysfs.device_of(&link.name)?,
        };
        let driver = device.as_ref().map(|device| sysfs.driver(device)).transpose()?.flatten();
        let port = sysfs.port_of(&link.name);
        Ok(Loan { device, driver, port, link: Some(LinkBefore::of(&link)), vf: None })
    }

    fn missing(&self, call: &PluginCall<'_>, sysfs: &Sysfs) -> CniError {
        let is_meant = |loan: &Loan| match self {
            Self::Name(name) => loan.link.as_ref().is_some_and(|link| link.name == *name),
            Self::Mac(mac) => loan.link.as_ref().is_some_and(|link| link.mac == *mac),
            Self::Path(_) => false,
            Self::Device(device) => loan.device.as_ref() == Some(device),
        };
        if let Some(holder) = call.holder(is_meant) {
            return in_use(&format!("host-device: {self}"), &holder);
        }
        match self {
            Self::Device(device) if !sysfs.has(device) => self.refused("the host has no such device"),
            Self::Device(_) | Self::Path(_) => {
                self.refused("it has no netdev in the host: no driver, or the netdev is in another namespace")
            }
            _ => self.refused("the host has no such link"),
        }
    }

    fn refused(&self, why: &str) -> CniError {
        CniError::new(Code::DeviceUnavailable, format!("host-device: {self} cannot be given to a pod"))
            .because(why.to_owned())
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "device {name}"),
            Self::Mac(mac) => write!(f, "the device with hardware address {}", format_mac(*mac)),
            Self::Path(path) => write!(f, "the device at {path}"),
            Self::Device(device) => write!(f, "device {device}"),
        }
    }
}

/// A device with several netdevs is given by its first, as by the reference plugin.
fn first(call: &PluginCall<'_>, names: &[String]) -> Result<Option<Link>, CniError> {
    Ok(names.first().map(|name| call.host.link_by_name(name)).transpose()?.flatten())
}
