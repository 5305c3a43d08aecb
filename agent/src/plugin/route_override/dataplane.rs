//! `"dataplane": true`: the routes are enforced in eBPF where packets leave the pod; its routing table is not touched.

use std::net::IpAddr;

use plexus_abi::MAX_ADDRESSES;
use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, CniResult, Code};

use super::bound::{BoundRoutes, RouteDevice};
use super::config::{Config, has_own_arguments};
use super::wish::Wish;
use crate::datapath::{RouteGate, RouteHop};
use crate::fault;
use crate::plugin::{PluginCall, Sandbox};
use crate::record::{Owner, PortRecord};

/// The primary interface where no record says its name.
const PRIMARY: &str = "eth0";

/// Refuses an interface that has no port: nothing would say which table its packets ask.
pub(super) fn validate(call: &PluginCall<'_>) -> Result<(), CniError> {
    call.port_id.map(drop).ok_or_else(no_port)
}

fn no_port() -> CniError {
    CniError::new(Code::UnsupportedField, "route-override: key \"dataplane\" is true").because(
        "the interface was made by a plugin outside Plexus: put the routes into the network of an interface that Plexus makes; \
         they are looked up on the pod's primary interface too",
    )
}

/// Puts the routes in force, in place of those that were; returns the port if it became another one. Idempotent.
pub(super) fn apply(
    call: &PluginCall<'_>,
    keys: &Config,
    result: &CniResult,
) -> Result<Option<PortRecord>, CniError> {
    let port = call.port_id.ok_or_else(no_port)?;
    let wish = Wish::of(call.config, keys, &result.ips)?;
    let old: Option<BoundRoutes> = call.remembered()?;
    let names = std::iter::once(call.ifname).chain(wish.devices.iter().map(String::as_str));
    let devices = names.map(|name| find(call, name, old.as_ref())).collect::<Result<Vec<_>, _>>()?;
    let from = from(call, &wish, old.as_ref())?;
    let admitted = match &old {
        // Whoever is in the pod now may have given it addresses: those of the ADD count.
        Some(old) => old.admitted.clone(),
        None => addresses(call, &from)?,
    };
    let key = key(call, &wish, &result.ips);
    let mut bound = BoundRoutes { key: key.clone(), table: 0, routes: wish.routes, devices, from, admitted };
    let datapath = &call.agent.datapath;
    call.agent.tables.join(&key, port, |table| {
        bound.table = table;
        call.remember(&bound)?;
        datapath.set_routes(table, &bound.routes).map_err(Into::into)
    })?;
    fault::point();
    datapath.bind_routes(port, bound.table, bound.ifindexes())?;
    let widened = admit(call, &bound.admitted)?;
    if let Some(sandbox) = call.sandbox {
        resolve(sandbox, &bound);
        for device in &bound.from {
            datapath.add_route_gate(&gate(sandbox, port, device.ifindex))?;
        }
        let gone = |device: &&RouteDevice| bound.from.iter().all(|kept| kept.ifindex != device.ifindex);
        for device in old.iter().flat_map(|old| &old.from).filter(gone) {
            datapath.remove_route_gate(&gate(sandbox, port, device.ifindex))?;
        }
    }
    leave(call, port, Some(&key))?;
    Ok(widened)
}

/// Takes the routes out of force, from the record alone; idempotent. Where the pod is gone its gates are too.
pub(super) fn clear(call: &PluginCall<'_>) -> Result<(), CniError> {
    let Some(port) = call.port_id else { return Ok(()) };
    let bound: Option<BoundRoutes> = call.remembered()?;
    let unbound = call.agent.datapath.unbind_routes(port).map_err(CniError::from);
    let mut removed = Ok(());
    if let Some(sandbox) = call.sandbox {
        for device in bound.iter().flat_map(|bound| &bound.from) {
            let gate = call.agent.datapath.remove_route_gate(&gate(sandbox, port, device.ifindex));
            removed = removed.and(gate.map_err(CniError::from));
        }
    }
    unbound.and(removed).and(leave(call, port, None))
}

/// Compares table and gates with what was put in force.
pub(super) fn check(call: &PluginCall<'_>) -> Result<(), CniError> {
    let port = call.port_id.ok_or_else(no_port)?;
    let differs = |what: String| {
        Err(CniError::new(Code::CheckFailed, what).because("it was changed from outside; restart the pod"))
    };
    let Some(bound) = call.remembered::<BoundRoutes>()? else {
        return differs(format!("interface {} has no routes in the data plane", call.ifname));
    };
    if call.agent.datapath.bound_routes(port)? != Some((bound.table, bound.ifindexes())) {
        return differs(format!("interface {} asks another table of routes", call.ifname));
    }
    let sandbox = call.sandbox()?;
    for device in &bound.from {
        if !call.agent.datapath.has_route_gate(&gate(sandbox, port, device.ifindex))? {
            return differs(format!("interface {} does not ask the routes of {}", device.name, call.ifname));
        }
    }
    Ok(())
}

fn leave(call: &PluginCall<'_>, port: u32, kept: Option<&str>) -> Result<(), CniError> {
    call.agent.tables.leave(port, kept, |table| call.agent.datapath.remove_routes(table).map_err(Into::into))
}

fn gate(sandbox: &Sandbox, port: u32, ifindex: u32) -> RouteGate<'_> {
    RouteGate { port, ifindex, socket: sandbox.control() }
}

/// What attachments of one table have in common that does not change while they run: network, place in the chain, the
/// gateways that routes may use, the interfaces that they name; a pod with arguments of its own shares with nobody.
fn key(call: &PluginCall<'_>, wish: &Wish, ips: &[IpConfig]) -> String {
    let gateways: Vec<String> =
        ips.iter().filter_map(|ip| ip.gateway).map(|gateway| gateway.to_string()).collect();
    let own = if has_own_arguments(call.config) { call.container_id } else { "" };
    let interface = if own.is_empty() { "" } else { call.ifname };
    let (gateways, devices) = (gateways.join(","), wish.devices.join(","));
    format!("{}|{}|{gateways}|{devices}|{own}|{interface}", call.network, call.position)
}

/// The interfaces whose packets are looked up: those that the config names, else the attachment's own and the primary one,
/// if that is there.
fn from(call: &PluginCall<'_>, wish: &Wish, old: Option<&BoundRoutes>) -> Result<Vec<RouteDevice>, CniError> {
    if let Some(names) = &wish.from {
        return names.iter().map(|name| find(call, name, old)).collect();
    }
    let mut devices = vec![find(call, call.ifname, old)?];
    let primary = primary(call);
    if primary != call.ifname {
        devices.extend(find(call, &primary, old));
    }
    Ok(devices)
}

/// The name of the pod's primary interface.
fn primary(call: &PluginCall<'_>) -> String {
    let record = call.agent.records.get(call.container_id);
    let named = record.as_ref().and_then(|record| {
        let default = record.attachments.iter().find(|attachment| attachment.is_default);
        default.map(|attachment| attachment.ifname.clone()).or_else(|| {
            record.attachments.iter().find_map(|attachment| match &attachment.owner {
                Owner::Meta { ifname } => Some(ifname.clone()),
                Owner::Single { .. } => None,
            })
        })
    });
    named.unwrap_or_else(|| PRIMARY.into())
}

/// An interface of the pod; where the pod cannot be looked into, as the record knows it.
fn find(call: &PluginCall<'_>, name: &str, old: Option<&BoundRoutes>) -> Result<RouteDevice, CniError> {
    let found = match call.sandbox {
        Some(sandbox) => sandbox.netlink.link_by_name(name)?.map(|link| link.index),
        None => old.and_then(|old| {
            let known = old.devices.iter().chain(&old.from).find(|device| device.name == name);
            known.map(|device| device.ifindex)
        }),
    };
    found.map(|ifindex| RouteDevice { name: name.to_owned(), ifindex }).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, format!("route-override: interface {name} is not in the pod"))
            .because("interfaces are made in the order of the pod's annotation: name one that comes before, or correct the name")
    })
}

/// The addresses of the other interfaces whose packets may leave by this one.
fn addresses(call: &PluginCall<'_>, from: &[RouteDevice]) -> Result<Vec<IpAddr>, CniError> {
    let netlink = &call.sandbox()?.netlink;
    let mut all = Vec::new();
    for device in from.iter().filter(|device| device.name != call.ifname) {
        all.extend(netlink.addresses(device.ifindex)?.iter().map(ipnet::IpNet::addr).filter(is_routable));
    }
    Ok(all)
}

fn is_routable(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_loopback(),
    }
}

/// Has the port's guard take these addresses for the pod's own, where it has one: packets keep the source that their socket
/// chose, which may be the primary interface's.
fn admit(call: &PluginCall<'_>, admitted: &[IpAddr]) -> Result<Option<PortRecord>, CniError> {
    let Some(port) = call.port.filter(|port| port.guard_ip) else { return Ok(None) };
    let mut ips = port.ips.clone();
    ips.extend(admitted.iter().filter(|address| !port.ips.contains(address)));
    if ips.len() > MAX_ADDRESSES {
        call.lacks(format!("the guard knows {MAX_ADDRESSES} addresses only: packets of others are dropped"));
        ips.truncate(MAX_ADDRESSES);
    }
    if ips == port.ips {
        return Ok(None);
    }
    call.agent.datapath.set_addresses(port.id, &ips)?;
    Ok(Some(PortRecord { ips, ..port.clone() }))
}

/// Has the kernel keep the gateways resolved. A packet that must wait for its neighbour loses the way that was chosen for
/// it (`neigh_update`, net/core/neighbour.c), so it should not have to. A kernel that cannot do it loses those packets.
fn resolve(sandbox: &Sandbox, bound: &BoundRoutes) {
    let gateways: std::collections::BTreeSet<(IpAddr, u8)> = bound
        .routes
        .iter()
        .filter_map(|route| match route.hop {
            RouteHop::Gateway { gateway, device } => Some((gateway, device)),
            _ => None,
        })
        .collect();
    for (gateway, device) in gateways {
        let Some(device) = bound.devices.get(usize::from(device)) else { continue };
        if let Err(error) = sandbox.netlink.manage_neighbour(device.ifindex, gateway) {
            tracing::debug!(%gateway, interface = device.name, %error, "a gateway is not kept resolved");
        }
    }
}
