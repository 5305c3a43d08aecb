//! `vrf`, chained: the interface becomes a member of a VRF of the pod.
//!
//! Keys as of the reference plugin (containernetworking/plugins, plugins/meta/vrf): the VRF is made where it is missing and
//! goes with its last member. The kernel takes a member down and up again: IPv6 addresses and routes that would be lost by
//! that are put back.

mod member;

use plexus_cni::config::PluginConfig;
use plexus_cni::name::check_ifname;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use self::member::{free_table, join, leave};
use super::{Attached, Plugin, PluginCall};
use crate::netlink::{Link, LinkPlan, Netlink};

/// The plugin.
pub(super) struct Vrf;

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    vrfname: String,
    /// 0 takes the first that is free.
    #[serde(default)]
    table: u32,
}

impl Config {
    fn of(config: &PluginConfig) -> Result<Self, CniError> {
        let read: Self = config.typed()?;
        if read.vrfname.is_empty() {
            return Err(CniError::new(Code::InvalidConfig, "vrf: key \"vrfname\" is missing")
                .because("it names the VRF, as an interface of the pod"));
        }
        check_ifname(&read.vrfname, "vrf: vrfname")
            .map_err(|error| CniError { code: Code::InvalidConfig, ..error })?;
        Ok(read)
    }
}

impl Plugin for Vrf {
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config = Config::of(call.config)?;
        if config.vrfname == call.ifname {
            return Err(CniError::new(
                Code::InvalidConfig,
                format!("vrf: key \"vrfname\" is {:?}", config.vrfname),
            )
            .because("it is the interface's own name; choose another"));
        }
        Ok(())
    }

    fn keys(&self) -> &'static [&'static str] {
        &["vrfname", "table"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::of(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::of(call.config)?;
        let result = call.require_prev_result()?;
        let netlink = &call.sandbox()?.netlink;
        let link = call.require_link()?;
        if let Some(controller) = link.controller {
            return Err(CniError::new(
                Code::InvalidConfig,
                format!("vrf: interface {} has a controller", link.name),
            )
            .because(format!("it belongs to link {controller} already, and can belong to one only")));
        }
        let vrf = match find(netlink, &config)? {
            Some(vrf) => Ok(vrf),
            None => create(netlink, &config),
        };
        vrf.and_then(|vrf| join(netlink, &link, &vrf))
            .map_err(|error| call.undone(error, release(call, netlink, &config.vrfname)))?;
        Ok(Attached { result: result.clone(), port: None })
    }

    fn check(&self, call: &PluginCall<'_>, _result: &CniResult) -> Result<(), CniError> {
        let config = Config::of(call.config)?;
        let netlink = &call.sandbox()?.netlink;
        let vrf = find(netlink, &config)?;
        let link = call.require_link()?;
        if vrf.as_ref().is_some_and(|vrf| link.controller == Some(vrf.index)) {
            return Ok(());
        }
        Err(CniError::new(
            Code::CheckFailed,
            format!("interface {} is not in VRF {}", call.ifname, config.vrfname),
        )
        .because("it was taken out since ADD; restart the pod"))
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        // With the namespace all of it went; a config without a name never made anything.
        let (Some(sandbox), Ok(config)) = (call.sandbox, Config::of(call.config)) else { return Ok(()) };
        release(call, &sandbox.netlink, &config.vrfname)
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}

/// The VRF, if it is there with the table that the config wants.
fn find(netlink: &Netlink, config: &Config) -> Result<Option<Link>, CniError> {
    let Some(link) = netlink.link_by_name(&config.vrfname)? else { return Ok(None) };
    let wrong = |what: String| {
        Err(CniError::new(Code::InvalidConfig, format!("vrf: {} {what}", config.vrfname))
            .because("choose another \"vrfname\", or a \"table\" that agrees with the pod's other networks"))
    };
    match link.vrf_table {
        None => wrong(format!(
            "is a {} in the pod, no VRF",
            if link.kind.is_empty() { "device" } else { &link.kind }
        )),
        Some(table) if config.table != 0 && table != config.table => {
            wrong(format!("has table {table} in the pod, the config says {}", config.table))
        }
        Some(_) => Ok(Some(link)),
    }
}

fn create(netlink: &Netlink, config: &Config) -> Result<Link, CniError> {
    let table = if config.table == 0 { free_table(netlink)? } else { config.table };
    netlink.add_vrf(&LinkPlan { name: &config.vrfname, ..LinkPlan::default() }, table)?;
    let made = netlink.link_by_name(&config.vrfname)?;
    let made =
        made.ok_or_else(|| CniError::new(Code::Kernel, format!("VRF {} is gone again", config.vrfname)))?;
    netlink.set_up(made.index)?;
    Ok(made)
}

/// Takes the interface out of the VRF, and removes that after its last member.
fn release(call: &PluginCall<'_>, netlink: &Netlink, vrfname: &str) -> Result<(), CniError> {
    let Some(vrf) = netlink.link_by_name(vrfname)?.filter(|link| link.vrf_table.is_some()) else {
        return Ok(());
    };
    if let Some(link) = netlink.link_by_name(call.ifname)?.filter(|link| link.controller == Some(vrf.index)) {
        leave(netlink, &link, &vrf)?;
    }
    if netlink.links()?.iter().all(|link| link.controller != Some(vrf.index)) {
        netlink.delete_link(vrf.index)?;
    }
    Ok(())
}
