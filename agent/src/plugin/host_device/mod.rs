//! `host-device`: a device of the host becomes the pod's, and the host's again at the end.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/host-device). A device that a
//! driver in user space has is only described: there is nothing to move.

mod config;
mod find;
mod reference;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};

use self::config::Config;
use super::device::{Borrowed, LinkBefore, Loan, pci_id};
use super::{Attached, Plugin, PluginCall};
use crate::ipam::IpamResult;

/// The plugin.
pub(super) struct HostDevice;

impl Plugin for HostDevice {
    fn keys(&self) -> &'static [&'static str] {
        &["device", "hwaddr", "kernelpath", "pciBusID"]
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config = Config::parse(call.config)?;
        call.ipam_validate()?;
        config.which.find(call).map(drop)
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        // Which device it is may be left to the runtime.
        if config.has_capability("deviceID") {
            return Ok(());
        }
        Config::parse(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::parse(call.config)?;
        let loan = call.borrow_device(|| config.which.find(call))?;
        let ipam = call.ipam_add()?;
        let attached = match &loan.link {
            None => call.attached_without_link(&loan, None, (ipam, config.dns)),
            Some(before) => attach(call, config, &loan, before, ipam).map_err(|error| {
                let error = call.undone(error, call.remove_port());
                call.undone(error, call.return_link(&loan))
            }),
        };
        attached.map_err(|error| call.undone(error, call.ipam_del()))
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        call.ipam_check()?;
        if call.remembered::<Loan>()?.is_some_and(|loan| loan.link.is_none()) {
            return Ok(());
        }
        let link = call.check_addresses(result)?;
        if call.port_ifindex().is_some_and(|index| index != link.index) {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} is another device than the one that was given", link.name),
            )
            .because("the device was renamed or lost its driver; restart the pod"));
        }
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = call.loan().and_then(|borrowed| match borrowed {
            Borrowed::Loan(loan) => call.return_link(&loan),
            Borrowed::Unknown => reference::release(call),
            Borrowed::Void => Ok(()),
        });
        let ipam = call.ipam_del();
        port.and(link).and(ipam)
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        // That the device is with a pod now is as it should be.
        self.validate_config(call.config)?;
        call.ipam_validate()?;
        call.ipam_status()
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        call.ipam_gc(valid)
    }
}

fn attach(
    call: &PluginCall<'_>,
    config: Config,
    loan: &Loan,
    before: &LinkBefore,
    ipam: IpamResult,
) -> Result<Attached, CniError> {
    let link = call.take_link(before)?;
    let mut attached = call.attach_inside(&link, ipam, config.dns)?;
    for interface in &mut attached.result.interfaces {
        pci_id(interface, loan.device.as_ref());
    }
    call.announce_with_carrier(&link)?;
    Ok(attached)
}
