//! Networks that route (`"mode": "l3"`): each pod has single addresses, and the node as its router under link-local ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use plexus_abi::GATEWAY_MAC;
use plexus_cni::result::Route;
use plexus_cni::{CniError, Code};

use super::super::PluginCall;
use super::super::forwarding::enable_forwarding;
use crate::datapath::{Forwarding, Mode};
use crate::ipam::IpamResult;
use crate::record::{PortKind, PortRecord};

/// The router as every pod sees it; its hardware address is that of the host's end, so nobody has to ask for it.
const GATEWAY_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1));
const GATEWAY_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
/// Scope of a route to a neighbour (`RT_SCOPE_LINK`).
const SCOPE_LINK: u8 = 253;

fn gateway_of(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { GATEWAY_V4 } else { GATEWAY_V6 }
}

/// What IPAM gave, as a pod behind a router has it: addresses without their subnets, which are routes like the others,
/// all through the router.
pub(super) fn reshape(mut ipam: IpamResult) -> Result<IpamResult, CniError> {
    if ipam.ips.is_empty() {
        return Err(CniError::new(Code::InvalidConfig, "fastpath: key \"plexus.mode\" is \"l3\"")
            .because("a network that routes needs addresses; set \"ipam\""));
    }
    let mut routes = Vec::new();
    for ip in &mut ipam.ips {
        let subnet = ip.address.trunc();
        let gateway = gateway_of(ip.address.addr());
        if subnet.prefix_len() < subnet.max_prefix_len() {
            routes.push(Route::new(subnet, Some(gateway)));
        }
        ip.address = IpNet::from(ip.address.addr());
        ip.gateway = Some(gateway);
    }
    for route in ipam.routes {
        let gateway = gateway_of(route.dst.addr());
        if routes.iter().all(|known| known.dst != route.dst) {
            routes.push(Route { gw: Some(gateway), ..route });
        }
    }
    ipam.routes = routes;
    Ok(ipam)
}

/// Addresses, router and routes in the pod; on the host, whose stack sends what the programs leave to it, a route to each
/// address. All of it goes with the links.
pub(super) fn configure(
    call: &PluginCall<'_>,
    link: u32,
    host_end: u32,
    mac: [u8; 6],
    ipam: &IpamResult,
) -> Result<(), CniError> {
    let addresses: Vec<IpNet> = ipam.ips.iter().map(|ip| ip.address).collect();
    enable_forwarding(&addresses, "fastpath")?;
    call.configure(link, &ipam.ips, &[])?;
    let inside = &call.sandbox()?.netlink;
    for address in &addresses {
        let gateway = gateway_of(address.addr());
        introduce(call, (link, host_end), address.addr(), mac)?;
        inside.add_route(link, &Route { scope: Some(SCOPE_LINK), ..Route::new(gateway.into(), None) })?;
        call.host.add_route(host_end, &Route { scope: Some(SCOPE_LINK), ..Route::new(*address, None) })?;
    }
    for route in &ipam.routes {
        inside.add_route(link, route)?;
    }
    Ok(())
}

/// A pod's hardware address has changed to that of `port`: the kernel has forgotten the router in the pod, and the host must
/// learn the new one. Nothing to do on a network that does not route.
pub(in crate::plugin) fn follow(call: &PluginCall<'_>, port: &PortRecord) -> Result<(), CniError> {
    let PortKind::Fastpath { forwarding: Forwarding { mode: Mode::L3, .. }, .. } = port.kind else {
        return Ok(());
    };
    let link = call.require_link()?.index;
    port.ips.iter().try_for_each(|address| introduce(call, (link, port.ifindex), *address, port.mac))
}

/// Tells both ends of a pair each other's hardware address: nobody asks on a network that routes.
fn introduce(
    call: &PluginCall<'_>,
    (link, host_end): (u32, u32),
    address: IpAddr,
    mac: [u8; 6],
) -> Result<(), CniError> {
    call.sandbox()?.netlink.set_neighbour(link, gateway_of(address), GATEWAY_MAC)?;
    Ok(call.host.set_neighbour(host_end, address, mac)?)
}

#[cfg(test)]
mod tests {
    use plexus_cni::json::Object;
    use plexus_cni::result::{Dns, IpConfig};

    use super::*;

    fn given(address: &str, routes: &[&str]) -> IpamResult {
        let ip = IpConfig {
            address: address.parse().unwrap(),
            gateway: None,
            interface: None,
            extra: Object::new(),
        };
        let routes = routes.iter().map(|dst| Route::new(dst.parse().unwrap(), None)).collect();
        IpamResult { ips: vec![ip], routes, dns: Dns::default() }
    }

    fn routes(ipam: &IpamResult) -> Vec<String> {
        ipam.routes.iter().map(|route| format!("{} via {}", route.dst, route.gw.unwrap())).collect()
    }

    #[test]
    fn subnets_become_routes_through_the_router() {
        let ipam = reshape(given("10.2.0.5/24", &["0.0.0.0/0"])).unwrap();
        assert_eq!(ipam.ips[0].address.to_string(), "10.2.0.5/32");
        assert_eq!(routes(&ipam), ["10.2.0.0/24 via 169.254.1.1", "0.0.0.0/0 via 169.254.1.1"]);
        let ipam = reshape(given("fd00::5/64", &["::/0"])).unwrap();
        assert_eq!(routes(&ipam), ["fd00::/64 via fe80::1", "::/0 via fe80::1"]);
        assert_eq!(routes(&reshape(given("10.2.0.5/32", &[])).unwrap()), [""; 0]);
    }

    #[test]
    fn without_addresses_nothing_can_be_routed() {
        let none = IpamResult { ips: Vec::new(), ..given("10.2.0.5/24", &[]) };
        assert!(reshape(none).is_err());
    }
}
