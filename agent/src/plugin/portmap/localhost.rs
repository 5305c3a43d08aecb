//! 127.0.0.1 of the host as a place where its ports are.

use std::fs;
use std::path::Path;

use ipnet::IpNet;
use plexus_cni::CniResult;

use super::is_at_localhost;
use crate::nft::HostPort;
use crate::plugin::PluginCall;

/// Lets the host send packets that began at 127.0.0.1 towards the container, over a link that the chain made. Others of
/// the host's links are left alone: whoever is behind them would get a way to the host's own services.
pub(super) fn open(call: &PluginCall<'_>, result: &CniResult, ports: &[HostPort], addresses: &[IpNet]) {
    let ipv4 = addresses.iter().find(|address| address.addr().is_ipv4());
    let Some(address) = ipv4.filter(|_| ports.iter().any(is_at_localhost)) else { return };
    let link = match call.host.link_towards(address.addr()) {
        Ok(link) => link,
        Err(error) => return call.lacks(format!("its host ports at 127.0.0.1: {error}")),
    };
    let is_of_the_chain = |name: &str| {
        result.interfaces.iter().any(|interface| interface.sandbox.is_none() && interface.name == name)
    };
    let Some(link) = link.filter(|link| is_of_the_chain(&link.name)) else {
        return call.lacks(
            "its host ports at 127.0.0.1: the host has no route to the container over a link of this network",
        );
    };
    let path = Path::new("/proc/sys/net/ipv4/conf").join(&link.name).join("route_localnet");
    if fs::read_to_string(&path).is_ok_and(|value| value.trim() == "1") {
        return;
    }
    if let Err(error) = fs::write(&path, "1") {
        call.lacks(format!("its host ports at 127.0.0.1: {} cannot be written: {error}", path.display()));
    }
    crate::fault::point();
}
