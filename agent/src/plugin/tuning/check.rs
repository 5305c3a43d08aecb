//! Is everything as the config says?

use plexus_cni::sysctl::{SysctlEnd, SysctlSetting};
use plexus_cni::{CniError, Code};

use super::backup::refusal;
use super::config::{Config, Sysctl};
use crate::plugin::PluginCall;
use crate::plugin::call::format_mac;

/// Compares the interface with the config.
pub(super) fn link(call: &PluginCall<'_>, config: &Config) -> Result<(), CniError> {
    if !config.changes_link() {
        return Ok(());
    }
    let link = call.require_link()?;
    let differs = |what: &str, found: String, wanted: String| {
        Err(CniError::new(
            Code::CheckFailed,
            format!("tuning: {what} of interface {} is {found}", call.ifname),
        )
        .because(format!("the config says {wanted}; restart the pod")))
    };
    if let Some(mac) = config.mac.filter(|mac| *mac != link.mac) {
        return differs("the hardware address", format_mac(link.mac), format_mac(mac));
    }
    if config.is_promiscuous && !link.is_promiscuous {
        return differs("promiscuous mode", "off".into(), "on".into());
    }
    if let Some(mtu) = config.mtu.filter(|mtu| *mtu != link.mtu) {
        return differs("the MTU", link.mtu.to_string(), mtu.to_string());
    }
    if let Some(is_on) = config.is_all_multicast.filter(|is_on| *is_on != link.is_all_multicast) {
        return differs("all-multicast mode", link.is_all_multicast.to_string(), is_on.to_string());
    }
    if let Some(packets) = config.tx_queue_len.filter(|packets| *packets != link.tx_queue_len) {
        return differs("the transmit queue", link.tx_queue_len.to_string(), packets.to_string());
    }
    Ok(())
}

/// Compares the sysctls with the config.
pub(super) fn sysctls(call: &PluginCall<'_>, config: &Config) -> Result<(), CniError> {
    let read = |sysctl: &Sysctl| SysctlSetting { name: sysctl.name.clone(), value: None };
    let ends = call.work_sysctls(config.sysctls.iter().map(read).collect())?;
    for (sysctl, end) in config.sysctls.iter().zip(ends) {
        let differs = |found: String| {
            Err(CniError::new(Code::CheckFailed, format!("tuning: sysctl {:?} is {found}", sysctl.key))
                .because(format!("the config says {:?}; restart the pod", sysctl.value)))
        };
        match end {
            // The kernel separates numbers by tabs.
            SysctlEnd::Done(Some(value)) if !value.split_whitespace().eq(sysctl.value.split_whitespace()) => {
                return differs(format!("{value:?}"));
            }
            SysctlEnd::Done(_) => {}
            SysctlEnd::Missing => return differs("gone".into()),
            SysctlEnd::Refused(why) => return Err(refusal(&sysctl.name, why)),
        }
    }
    Ok(())
}
