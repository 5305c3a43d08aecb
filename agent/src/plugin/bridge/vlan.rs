//! VLANs of a bridge's ports, and the host's own interface in one of them.

use plexus_cni::{CniError, Code};

use super::config::{Config, Vlans};
use super::link;
use crate::netlink::{Link, LinkPlan};
use crate::plugin::PluginCall;
use crate::plugin::undo::Undo;
use crate::plugin::veth::host_end_name;

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
pub(super) fn gateway_interface<'a>(
    call: &'a PluginCall<'a>,
    config: &'a Config,
    bridge: &Link,
    name: String,
    undo: &mut Undo<'a>,
) -> Result<Link, CniError> {
    let _alone = link::alone();
    if let Some(link) = call.host.link_by_name(&name)? {
        if link.kind == "veth" {
            return Ok(link);
        }
        return Err(CniError::new(Code::InvalidConfig, format!("bridge: {name} exists and is no veth"))
            .because(format!("it is a {}; the VLAN's gateway needs this name", link.kind)));
    }
    let port_name = host_end_name("", &name);
    let mtu = Some(bridge.mtu);
    let gateway = LinkPlan { name: &name, mtu, ..LinkPlan::default() };
    let port = LinkPlan { name: &port_name, mtu, ..LinkPlan::default() };
    call.host.add_veth(&gateway, &port)?;
    let (made, port) = (link::by_name(call, &name)?, link::by_name(call, &port_name)?);
    undo.push(move || remove_unused_gateway(call, config, &name));
    call.host.set_controller(port.index, bridge.index)?;
    join(call, config, port.index)?;
    call.host.set_up(port.index)?;
    call.host.set_up(made.index)?;
    link::by_index(call, made.index)
}

/// Takes back a gateway that this ADD made, unless another attachment has joined its bridge meanwhile.
fn remove_unused_gateway(call: &PluginCall<'_>, config: &Config, name: &str) -> Result<(), CniError> {
    let _alone = link::alone();
    let (Some(bridge), Some(gateway)) =
        (link::existing_bridge(call, &config.bridge)?, call.host.link_by_name(name)?)
    else {
        return Ok(());
    };
    let ours = [host_end_name("", name), call.host_end_name()];
    let links = call.host.links()?;
    let is_used =
        links.iter().any(|link| link.controller == Some(bridge.index) && !ours.contains(&link.name));
    if is_used { Ok(()) } else { Ok(call.host.delete_link(gateway.index)?) }
}
