//! `tuning`, chained: properties of an interface, and sysctls of the pod.
//!
//! Keys as of the reference plugin (containernetworking/plugins, plugins/meta/tuning). What was there before is in the
//! record, and is put back by DEL, sysctls included.

mod allowlist;
mod backup;
mod check;
mod config;
mod port;
mod reference;

use plexus_cni::args::CniArgs;
use plexus_cni::config::PluginConfig;
use plexus_cni::sysctl::{SysctlEnd, SysctlName, SysctlSetting};
use plexus_cni::{CniError, CniResult, Code};

use self::allowlist::Allowlist;
use self::backup::{Backup, LinkBackup, refusal};
use self::config::{Config, Sysctl};
use self::reference::Reference;
use super::call::format_mac;
use super::{Attached, Plugin, PluginCall};
use crate::netlink::Link;
use crate::record::PortRecord;

/// The plugin.
pub(super) struct Tuning;

impl Plugin for Tuning {
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config = Config::of(call.config, call.ifname, call.args)?;
        if config.sysctls.is_empty() {
            return Ok(());
        }
        let file = &call.agent.settings.sysctl_allowlist;
        let allowlist = Allowlist::read(file)?;
        match config.sysctls.iter().find(|sysctl| !allowlist.allows(&sysctl.key)) {
            None => Ok(()),
            Some(Sysctl { key, .. }) => {
                Err(CniError::new(Code::NotAuthorized, format!("tuning: sysctl {key:?} is not allowed"))
                    .because(format!("no line of {} on the node matches it", file.display())))
            }
        }
    }

    fn keys(&self) -> &'static [&'static str] {
        &["sysctl", "mac", "promisc", "mtu", "allmulti", "txQLen", "dataDir"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::of(config, "net1", &CniArgs::default()).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::of(call.config, call.ifname, call.args)?;
        let mut result = call.require_prev_result()?.clone();
        let link = if config.changes_link() { Some(call.require_link()?) } else { None };
        let backup = Backup {
            link: link.as_ref().map(|link| LinkBackup::of(link, &config)).unwrap_or_default(),
            sysctls: before(call, &config)?,
            station: port::station(call, &config),
        };
        call.remember(&backup)?;
        let changed = change(call, &config, link.as_ref());
        let port = changed.map_err(|error| {
            let error = call.undone(error, port::move_back(call, &config));
            call.undone(error, backup.restore(call))
        })?;
        for interface in result.interfaces.iter_mut().filter(|interface| interface.name == call.ifname) {
            interface.mac = config.mac.map(format_mac).or(interface.mac.take());
            interface.mtu = config.mtu.or(interface.mtu);
        }
        Ok(Attached { result, port })
    }

    fn check(&self, call: &PluginCall<'_>, _result: &CniResult) -> Result<(), CniError> {
        let config = Config::of(call.config, call.ifname, call.args)?;
        check::sysctls(call, &config)?;
        check::link(call, &config)
    }

    /// Puts back what can be; what the kernel refuses is logged, as no pod should hang over it.
    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let restored = match call.remembered::<Backup>()? {
            Some(backup) => backup.restore(call),
            None => restore_reference(call),
        };
        if let Err(error) = restored {
            let (container, ifname) = (call.container_id, call.ifname);
            tracing::warn!(container, ifname, %error, "not everything is as it was before ADD");
        }
        Ok(())
    }

    /// Sysctls end with the namespace; for the interface the reference's file must be in reach.
    fn undoes_reference(&self, config: &PluginConfig) -> bool {
        let changes_link =
            Config::of(config, "net1", &CniArgs::default()).is_ok_and(|config| config.changes_link());
        !changes_link || config::data_dir(config).is_ok_and(|dir| dir.is_dir())
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}

/// The sysctls' values before, of those that have one; a sysctl that the kernel lacks is an error.
fn before(call: &PluginCall<'_>, config: &Config) -> Result<Vec<(SysctlName, String)>, CniError> {
    let read = |sysctl: &Sysctl| SysctlSetting { name: sysctl.name.clone(), value: None };
    let ends = call.work_sysctls(config.sysctls.iter().map(read).collect())?;
    let mut values = Vec::new();
    for (sysctl, end) in config.sysctls.iter().zip(ends) {
        match end {
            SysctlEnd::Done(value) => values.extend(value.map(|value| (sysctl.name.clone(), value))),
            SysctlEnd::Missing => return Err(missing(sysctl)),
            SysctlEnd::Refused(why) => return Err(refusal(&sysctl.name, why)),
        }
    }
    Ok(values)
}

fn missing(sysctl: &Sysctl) -> CniError {
    CniError::new(Code::InvalidConfig, format!("tuning: sysctl {:?} does not exist in the pod", sysctl.key))
        .because("the kernel lacks it, or has it for the whole node only; correct the name or remove it")
}

/// Sets all of it; the answer is the port, if its hardware address changed.
fn change(
    call: &PluginCall<'_>,
    config: &Config,
    link: Option<&Link>,
) -> Result<Option<PortRecord>, CniError> {
    let write =
        |sysctl: &Sysctl| SysctlSetting { name: sysctl.name.clone(), value: Some(sysctl.value.clone()) };
    let ends = call.work_sysctls(config.sysctls.iter().map(write).collect())?;
    for (sysctl, end) in config.sysctls.iter().zip(ends) {
        match end {
            SysctlEnd::Done(_) => {}
            SysctlEnd::Missing => return Err(missing(sysctl)),
            SysctlEnd::Refused(why) => return Err(refusal(&sysctl.name, why)),
        }
    }
    let Some(link) = link else { return Ok(None) };
    let netlink = &call.sandbox()?.netlink;
    let mut port = None;
    if let Some(mac) = config.mac {
        netlink.set_mac(link.index, mac)?;
        port = call.port.map(|port| port::follow(call, port, mac)).transpose()?;
    }
    if config.is_promiscuous {
        netlink.set_promiscuous(link.index, true)?;
    }
    if let Some(mtu) = config.mtu {
        netlink.set_mtu(link.index, mtu)?;
    }
    if let Some(is_on) = config.is_all_multicast {
        netlink.set_all_multicast(link.index, is_on)?;
    }
    if let Some(packets) = config.tx_queue_len {
        netlink.set_tx_queue_len(link.index, packets)?;
    }
    Ok(port)
}

/// Puts back what the reference plugin wrote down, and removes its file.
fn restore_reference(call: &PluginCall<'_>) -> Result<(), CniError> {
    let Some(reference) = Reference::find(call)? else { return Ok(()) };
    let backup = Backup { link: reference.link.clone(), ..Backup::default() };
    backup.restore(call)?;
    reference.remove();
    Ok(())
}
