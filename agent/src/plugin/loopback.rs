//! `loopback`: sets `lo` of the container up.
//!
//! Behaviour and result as of the reference plugin (containernetworking/plugins, plugins/main/loopback), whatever
//! `CNI_IFNAME` says. Nothing is created, so there is no port: what stays inside the pod is nobody's traffic.

use plexus_cni::result::{Interface, IpConfig};
use plexus_cni::{CniError, CniResult, Code, json};

use super::call::format_mac;
use super::{Attached, Plugin, PluginCall, Sandbox};
use crate::netlink::Link;

/// The interface's name in every namespace.
const NAME: &str = "lo";

/// The plugin.
pub(super) struct Loopback;

impl Plugin for Loopback {
    /// The namespace is born with it.
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn validate(&self, _call: &PluginCall<'_>) -> Result<(), CniError> {
        Ok(())
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let sandbox = call.sandbox()?;
        let link = require(sandbox)?;
        sandbox.netlink.set_up(link.index)?;
        let result = match call.prev_result {
            Some(result) => result.clone(),
            None => result(sandbox, &link)?,
        };
        Ok(Attached { result, port: None })
    }

    fn check(&self, call: &PluginCall<'_>, _result: &CniResult) -> Result<(), CniError> {
        if require(call.sandbox()?)?.is_up {
            return Ok(());
        }
        Err(CniError::new(Code::CheckFailed, "interface lo is down")
            .because("something in the pod set it down; restart the pod"))
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let Some(sandbox) = call.sandbox else { return Ok(()) };
        match sandbox.netlink.link_by_name(NAME)? {
            Some(link) => Ok(sandbox.netlink.set_down(link.index)?),
            None => Ok(()),
        }
    }

    fn undoes_reference(&self, _config: &plexus_cni::config::PluginConfig) -> bool {
        true
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}

fn require(sandbox: &Sandbox) -> Result<Link, CniError> {
    sandbox.netlink.link_by_name(NAME)?.ok_or_else(|| {
        CniError::new(Code::Kernel, "loopback: the container has no interface lo")
            .because("something in the pod renamed it; restart the pod")
    })
}

/// The interface with its first address of each family, which the kernel gave it when it came up.
fn result(sandbox: &Sandbox, link: &Link) -> Result<CniResult, CniError> {
    let addresses = sandbox.netlink.addresses(link.index)?;
    if let Some(address) = addresses.iter().find(|address| !address.addr().is_loopback()) {
        return Err(CniError::new(Code::Kernel, format!("loopback: interface lo has address {address}"))
            .because("only loopback addresses belong there; something set it before this plugin ran"));
    }
    let first = |is_ipv4: bool| addresses.iter().find(move |one| one.addr().is_ipv4() == is_ipv4);
    let ips = [true, false].into_iter().filter_map(first).map(|address| IpConfig {
        address: *address,
        gateway: None,
        interface: Some(0),
        extra: json::Object::new(),
    });
    let interface = Interface {
        name: NAME.to_owned(),
        mac: Some(format_mac(link.mac)),
        sandbox: Some(sandbox.id.path.clone()),
        ..Interface::default()
    };
    Ok(CniResult { interfaces: vec![interface], ips: ips.collect(), ..CniResult::default() })
}
