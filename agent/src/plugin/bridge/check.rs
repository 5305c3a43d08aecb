//! CHECK: the kernel is as the result of ADD says.

use plexus_cni::{CniError, CniResult, Code};

use super::config::Config;
use super::gateway::Gateways;
use super::{link, rules};
use crate::ipam::IpamResult;
use crate::netlink::Link;
use crate::plugin::PluginCall;

/// Compares container, host's end, bridge, gateway addresses, rules and port.
pub(super) fn check(call: &PluginCall<'_>, config: &Config, result: &CniResult) -> Result<(), CniError> {
    call.ipam_check()?;
    let container = call.check_addresses(result)?;
    if container.kind != "veth" {
        return Err(differs(format!("interface {} is a {}, not a veth", call.ifname, container.kind)));
    }
    let bridge = link::existing_bridge(call, &config.bridge)?
        .ok_or_else(|| differs(format!("bridge {} is gone", config.bridge)))?;
    check_bridge(config, &bridge)?;
    check_port(call, &bridge)?;
    check_gateways(call, config, result, &bridge)?;
    let ours: Vec<_> = result
        .ips
        .iter()
        .filter(|ip| ip.interface == result.container_interface(call.ifname))
        .cloned()
        .collect();
    rules::check(call, config, &ours)?;
    call.check_port()
}

fn check_bridge(config: &Config, bridge: &Link) -> Result<(), CniError> {
    if !bridge.is_up {
        return Err(differs(format!("bridge {} is down", bridge.name)));
    }
    if config.promisc_mode && !bridge.is_promiscuous {
        return Err(differs(format!("bridge {} is not promiscuous", bridge.name)));
    }
    Ok(())
}

fn check_port(call: &PluginCall<'_>, bridge: &Link) -> Result<(), CniError> {
    let name = call.host_end_name();
    match call.host.link_by_name(&name)? {
        None => Err(differs(format!("the host's end {name} of interface {} is gone", call.ifname))),
        Some(port) if port.controller != Some(bridge.index) => {
            Err(differs(format!("the host's end {name} is no port of bridge {}", bridge.name)))
        }
        Some(port) if !port.is_up => Err(differs(format!("the host's end {name} is down"))),
        Some(_) => Ok(()),
    }
}

fn check_gateways(
    call: &PluginCall<'_>,
    config: &Config,
    result: &CniResult,
    bridge: &Link,
) -> Result<(), CniError> {
    let ips = result.ips.iter().filter(|ip| ip.interface == result.container_interface(call.ifname));
    let mut as_given = IpamResult { ips: ips.cloned().collect(), ..IpamResult::default() };
    let gateways = Gateways::fill_in(&mut as_given, config);
    let holder = match config.vlan_interface().filter(|_| config.is_gateway) {
        None => bridge.clone(),
        Some(name) => call
            .host
            .link_by_name(&name)?
            .ok_or_else(|| differs(format!("the VLAN's gateway {name} is gone")))?,
    };
    match gateways.missing(&call.host.addresses(holder.index)?) {
        None => Ok(()),
        Some(gateway) => Err(differs(format!("{} lacks the gateway address {gateway}", holder.name))),
    }
}

fn differs(found: String) -> CniError {
    CniError::new(Code::CheckFailed, found).because("the result of ADD says otherwise; restart the pod")
}
