//! CHECK: both ends are as the result of ADD says.

use plexus_cni::{CniError, CniResult, Code};

use super::leg::Leg;
use super::{Config, host_end};
use crate::plugin::PluginCall;
use crate::plugin::address::check_kind;

/// Compares the container's end, the host's end with its addresses and routes, rules and port.
pub(super) fn check(call: &PluginCall<'_>, config: &Config, result: &CniResult) -> Result<(), CniError> {
    call.ipam_check()?;
    let link = call.check_addresses(result)?;
    check_kind(&link, "veth")?;
    let container = result.container_interface(call.ifname);
    let ours: Vec<_> = result.ips.iter().filter(|ip| ip.interface == container).cloned().collect();
    let legs = Leg::of_all(&ours)?;
    check_host(call, &legs)?;
    check_container(call, link.index, &legs)?;
    if config.ip_masq && !call.is_masqueraded(&ours)? {
        return Err(differs(format!("interface {} has no masquerading rules", call.ifname)));
    }
    call.check_port()
}

fn check_host(call: &PluginCall<'_>, legs: &[Leg]) -> Result<(), CniError> {
    let host = host_end(call).map_err(|error| CniError { code: Code::CheckFailed, ..error })?;
    if !host.is_up {
        return Err(differs(format!("the host's end {} is down", host.name)));
    }
    let addresses = call.host.addresses(host.index)?;
    let routes = call.host.routes(host.index)?;
    for leg in legs {
        if !addresses.contains(&leg.host_address()) {
            return Err(differs(format!(
                "the host's end {} lacks gateway {}",
                host.name,
                leg.host_address()
            )));
        }
        let pod = leg.to_pod().dst;
        if !routes.iter().any(|route| route.dst == pod) {
            return Err(differs(format!("the host has no route to {pod} on {}", host.name)));
        }
    }
    Ok(())
}

/// The subnet may be reached otherwise by now, which a later plugin of the chain is free to do; the gateway may not.
fn check_container(call: &PluginCall<'_>, index: u32, legs: &[Leg]) -> Result<(), CniError> {
    let routes = call.sandbox()?.netlink.routes(index)?;
    for gateway in legs.iter().map(|leg| leg.host_address()) {
        if !routes.iter().any(|route| route.dst == gateway) {
            return Err(differs(format!("interface {} lacks the route to gateway {gateway}", call.ifname)));
        }
    }
    Ok(())
}

fn differs(found: String) -> CniError {
    CniError::new(Code::CheckFailed, found).because("the result of ADD says otherwise; restart the pod")
}
