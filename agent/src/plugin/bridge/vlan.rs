//! VLANs of a bridge's ports, and the host's own interface in one of them.

use plexus_cni::{CniError, Code};

use super::config::{Config, Vlans};
use super::link;
use crate::netlink::{Link, LinkPlan};
use crate::plugin::PluginCall;

/// Puts a port into the config's VLANs.
pub(super) fn join(call: &PluginCall<'_>, config: &Config, port: u32) -> Result<(), CniError> {
    if config.vlans != Vlans::Unaware && !config.preserve_default_vlan {
        for vlan in call.host.bridge_vlans(port)? {
            call.host.leave_bridge_vlan(port, vlan)?;
        }
    }
    match &config.vlans {
        Vlans::Unaware => {}
        Vlans::Access(vlan) => call.host.join_bridge_vlan(port, *vlan, true)?,
        Vlans::Trunk(vlans) => {
            for vlan in vlans {
                call.host.join_bridge_vlan(port, *vlan, false)?;
            }
        }
    }
    Ok(())
}

/// The host's interface in the access VLAN: one end of a pair whose other end is a port of the bridge.
pub(super) fn gateway_interface(
    call: &PluginCall<'_>,
    config: &Config,
    bridge: &Link,
    name: &str,
) -> Result<Link, CniError> {
    if let Some(link) = call.host.link_by_name(name)? {
        if link.kind == "veth" {
            return Ok(link);
        }
        return Err(CniError::new(Code::InvalidConfig, format!("bridge: {name} exists and is no veth"))
            .because(format!("it is a {}; the VLAN's gateway needs this name", link.kind)));
    }
    let port_name = link::host_name("", name);
    let mtu = Some(bridge.mtu);
    let gateway = LinkPlan { name, mtu, ..LinkPlan::default() };
    let port = LinkPlan { name: &port_name, mtu, ..LinkPlan::default() };
    call.host.add_veth(&gateway, &port)?;
    let made = link::by_name(call, name)?;
    let joined = link::by_name(call, &port_name).and_then(|port| {
        call.host.set_controller(port.index, bridge.index)?;
        join(call, config, port.index)?;
        call.host.set_up(port.index)?;
        Ok(call.host.set_up(made.index)?)
    });
    match joined {
        Ok(()) => link::by_index(call, made.index),
        Err(error) => {
            let undone = call.host.delete_link(made.index);
            let details =
                undone.err().map_or(error.details.clone(), |second| format!("{}; {second}", error.details));
            Err(error.because(details))
        }
    }
}
