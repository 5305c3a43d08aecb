//! `sriov`: a virtual function of an SR-IOV card becomes the pod's.
//!
//! Keys and result as of the reference plugin (k8snetworkplumbingwg/sriov-cni). Everything that the function was is
//! recorded before it is touched, and put back at the end, whatever became of the pod meanwhile.

mod address;
mod config;
mod function;
mod reference;
mod settings;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};

use self::config::Config;
use self::function::Function;
use super::device::{Borrowed, LinkBefore, Loan, pci_id};
use super::{Attached, Plugin, PluginCall};
use crate::ipam::IpamResult;
use crate::netlink::VfState;
use crate::sysfs::DeviceId;

/// The plugin.
pub(super) struct Sriov;

impl Plugin for Sriov {
    fn keys(&self) -> &'static [&'static str] {
        &[
            "deviceID",
            "vlan",
            "vlanQoS",
            "vlanProto",
            "mac",
            "mtu",
            "min_tx_rate",
            "max_tx_rate",
            "spoofchk",
            "trust",
            "link_state",
            "logLevel",
            "logFile",
        ]
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config = Config::parse(call.config)?;
        call.requested_mac()?;
        call.ipam_validate()?;
        let device = config.device()?;
        call.require_unlent(&DeviceId::Pci(device))?;
        reference::require_free(device)?;
        Function::find(call.host, device)?.loan(call.host).map(drop)
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::parse(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::parse(call.config)?;
        let function = Function::find(call.host, config.device()?)?;
        let loan = call.borrow_device(|| function.loan(call.host))?;
        let ipam = call.ipam_add()?;
        let attached = attach(call, config, &function, &loan, ipam);
        attached.map_err(|error| {
            let error = call.undone(error, call.remove_port());
            let error = call.undone(error, give_back(call));
            call.undone(error, call.ipam_del())
        })
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let config = Config::parse(call.config)?;
        call.ipam_check()?;
        let function = Function::find(call.host, config.device()?).map_err(|error| {
            CniError::new(Code::CheckFailed, "sriov: the device is gone").because(error.to_string())
        })?;
        let loan = call.remembered::<Loan>()?;
        let before = loan.as_ref().and_then(|loan| loan.vf.as_ref()).map(|vf| vf.state);
        let current = function.state(call.host)?.unwrap_or_default();
        let wanted = config.wanted(&before.unwrap_or(current), call.requested_mac()?);
        // A driver may tell its physical function of the address that it has, so only an assigned one is compared.
        let mac = if call.requested_mac()?.is_some() { wanted.mac } else { current.mac };
        settings::check(call.host, &function, &VfState { mac, ..wanted })?;
        if loan.is_some_and(|loan| loan.link.is_none()) {
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
        let device = give_back(call);
        let ipam = call.ipam_del();
        port.and(device).and(ipam)
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        // Which function it will be is not known yet, or it is with a pod now.
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
    function: &Function,
    loan: &Loan,
    ipam: IpamResult,
) -> Result<Attached, CniError> {
    let mac = call.requested_mac()?;
    let mut link = loan.link.clone();
    if let Some(mac) = mac {
        link = address::assign(call, function, loan, mac)?;
    }
    let before = loan.vf.as_ref().map(|vf| vf.state).unwrap_or_default();
    settings::make(call.host, function, &config.wanted(&before, mac))?;
    let (Some(link), Some(before_link)) = (link, &loan.link) else {
        if config.mtu.is_some() {
            call.lacks("no MTU: the device has no link in the kernel");
        }
        let mac = mac.or(Some(before.mac).filter(|mac| *mac != [0; 6]));
        return call.attached_without_link(loan, mac, (ipam, config.dns));
    };
    if let Some(mtu) = config.mtu {
        call.host.set_mtu(link.index, mtu)?;
    }
    // A driver that was started anew may have given its link another name.
    let link = call.take_link(&LinkBefore { name: before_link.name.clone(), ..link })?;
    let mut attached = call.attach_inside(&link, ipam, config.dns)?;
    for interface in &mut attached.result.interfaces {
        pci_id(interface, loan.device.as_ref());
    }
    call.announce_with_carrier(&link)?;
    Ok(attached)
}

/// The link first: a function that may change its address must have its own one before that is taken from it.
fn give_back(call: &PluginCall<'_>) -> Result<(), CniError> {
    let loan = match call.loan()? {
        Borrowed::Loan(loan) => loan,
        Borrowed::Unknown => return reference::release(call),
        Borrowed::Void => return Ok(()),
    };
    // Whoever still has the function must not be put on another VLAN.
    call.require_within_reach(&loan)?;
    settings::release(call.host, &loan);
    let link = call.return_link(&loan);
    link.and(settings::restore(call.host, &loan))
}
