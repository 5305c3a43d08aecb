//! `ptp`: a veth pair between the container and the host, which routes each address by itself.
//!
//! Keys, routes and result as of the reference plugin (containernetworking/plugins, plugins/main/ptp): the host's end has
//! the gateway's address and a route to the pod; the pod has a route to the gateway and reaches the rest of its subnet
//! through it. Masquerading is a set of nftables rules in a table of our own, whatever `ipMasqBackend` says.

mod check;
mod leg;

use std::fs;
use std::path::Path;

use plexus_cni::config::PluginConfig;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use self::leg::Leg;
use super::address::with_gateway;
use super::forwarding::enable_forwarding;
use super::masquerade::{check_backend, is_on};
use super::undo::Undo;
use super::{Attached, Plugin, PluginCall, interface};
use crate::ipam::IpamResult;
use crate::netlink::Link;
use crate::record::{PortKind, PortRecord};

/// The largest MTU of a veth, in bytes (ETH_MAX_MTU).
const MTU_MAX: u32 = 65_535;
/// Index of the container's interface in the result, behind the host's end.
const CONTAINER_INTERFACE: usize = 1;

/// The plugin.
pub(super) struct Ptp;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    ip_masq: bool,
    #[serde(default)]
    ip_masq_backend: String,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    dns: Dns,
}

impl Config {
    fn read(config: &PluginConfig) -> Result<Self, CniError> {
        let own: Self = config.typed()?;
        check_backend("ptp", &own.ip_masq_backend)?;
        if own.mtu > MTU_MAX {
            return Err(CniError::new(Code::InvalidConfig, format!("ptp: key \"mtu\" is {}", own.mtu))
                .because(format!("it must be 0 to {MTU_MAX}")));
        }
        if config.ipam_type().is_none() {
            return Err(CniError::new(Code::InvalidConfig, "ptp: key \"ipam\" is missing")
                .because("the pair has no network but the routes to the pod's addresses"));
        }
        Ok(own)
    }
}

impl Plugin for Ptp {
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        Config::read(call.config)?;
        call.refuse_leases()?;
        call.ipam_validate()
    }

    fn keys(&self) -> &'static [&'static str] {
        &["ipMasq", "ipMasqBackend", "mtu"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::read(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::read(call.config)?;
        let mut undo = Undo::default();
        attach(call, config, &mut undo).map_err(|error| undo.after(error, call.is_unclean))
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        check::check(call, &Config::read(call.config)?, result)
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = disconnect(call);
        let rules = call.unmasquerade();
        let ipam = call.ipam_del();
        port.and(link).and(rules).and(ipam)
    }

    /// Its packet filter rules are in tables that are not ours.
    fn undoes_reference(&self, config: &PluginConfig) -> bool {
        !is_on(config, "ipMasq")
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate(call)?;
        call.ipam_status()
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        call.ipam_gc(valid)
    }
}

fn attach<'a>(call: &'a PluginCall<'a>, config: Config, undo: &mut Undo<'a>) -> Result<Attached, CniError> {
    let ipam = call.ipam_add()?;
    undo.push(|| call.ipam_del());
    let legs = Leg::of_all(&ipam.ips)?;
    enable_forwarding(&legs.iter().map(|leg| leg.address()).collect::<Vec<_>>(), "ptp")?;
    call.add_veth(Some(config.mtu).filter(|mtu| *mtu != 0), None)?;
    undo.push(|| call.delete_host_end());
    let container = call.require_link()?;
    let host = host_end(call)?;
    let port = PortRecord {
        kind: PortKind::HostTap,
        ifindex: host.index,
        ..call.port_inside(&container, &ipam.ips)?
    };
    undo.push(|| call.remove_port());
    call.add_port(&port)?;
    configure_container(call, &container, &legs, &ipam)?;
    configure_host(call, &host, &legs)?;
    if config.ip_masq {
        call.masquerade(&ipam.ips, undo)?;
    }
    let interfaces = vec![interface::interface(&host), call.container_interface(&container)?];
    let result = interface::result(interfaces, CONTAINER_INTERFACE, ipam, config.dns);
    Ok(Attached { result, port: Some(port) })
}

/// The subnet is on the link until IPAM's routes are there: their gateways are looked up in it, or are the legs'.
fn configure_container(
    call: &PluginCall<'_>,
    link: &Link,
    legs: &[Leg],
    ipam: &IpamResult,
) -> Result<(), CniError> {
    call.configure(link.index, &ipam.ips, &[])?;
    let netlink = &call.sandbox()?.netlink;
    for leg in legs {
        netlink.add_route_from(link.index, &leg.to_gateway(), leg.address().addr())?;
    }
    for route in &ipam.routes {
        netlink.add_route(link.index, &with_gateway(route, &ipam.ips))?;
    }
    for leg in legs {
        netlink.delete_connected_route(link.index, leg.address())?;
        if let Some(route) = leg.to_subnet() {
            netlink.add_route_from(link.index, &route, leg.address().addr())?;
        }
    }
    Ok(())
}

/// Gives the host's end its addresses and routes, and sets it up.
fn configure_host(call: &PluginCall<'_>, host: &Link, legs: &[Leg]) -> Result<(), CniError> {
    settle(&host.name);
    call.host.set_up(host.index)?;
    for leg in legs {
        call.host.add_address(host.index, leg.host_address())?;
    }
    for leg in legs {
        call.host.add_route(host.index, &leg.to_pod())?;
    }
    Ok(())
}

/// Two of the kernel's habits that do not fit the host's end:
/// - duplicate address detection, on a link with two ends: the host asks for the pod's neighbour entry with its link-local
///   address, so IPv6 from elsewhere would wait a second or two for it;
/// - router advertisements: those of a pod would give the host addresses and routes.
///
/// A kernel without IPv6 has no such files.
fn settle(host_end: &str) {
    for file in ["accept_dad", "accept_ra"] {
        let path = Path::new("/proc/sys/net/ipv6/conf").join(host_end).join(file);
        if let Err(error) = fs::write(&path, "0") {
            tracing::debug!("{} stays as it is: {error}", path.display());
        }
    }
}

fn host_end(call: &PluginCall<'_>) -> Result<Link, CniError> {
    let name = call.host_end_name();
    call.host.link_by_name(&name)?.ok_or_else(|| {
        CniError::new(Code::Kernel, format!("ptp: the host's end {name} of {} is gone", call.ifname))
            .because("something else on the node deleted it; restart the pod")
    })
}

/// Deletes the pair. The reference plugin names the host's end by chance: its pair is found from inside.
fn disconnect(call: &PluginCall<'_>) -> Result<(), CniError> {
    call.delete_host_end()?;
    let Some(sandbox) = call.sandbox.filter(|_| call.port_id.is_none()) else { return Ok(()) };
    match sandbox.netlink.link_by_name(call.ifname)? {
        Some(link) if is_routed_pair(call, &link)? => Ok(sandbox.netlink.delete_link(link.index)?),
        _ => Ok(()),
    }
}

/// Whether the other end is a veth of the host that belongs to no bridge and to no record.
fn is_routed_pair(call: &PluginCall<'_>, link: &Link) -> Result<bool, CniError> {
    let Some(peer) = link.parent.filter(|_| link.kind == "veth") else { return Ok(false) };
    let Some(peer) = call.host.link_by_index(peer)? else { return Ok(false) };
    Ok(peer.kind == "veth"
        && peer.parent == Some(link.index)
        && peer.controller.is_none()
        && !call.is_recorded(peer.index))
}
