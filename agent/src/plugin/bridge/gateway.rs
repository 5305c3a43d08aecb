//! The bridge as the pods' gateway: which addresses it has, and the default routes through them.

use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::result::Route;
use plexus_cni::{CniError, Code};

use super::config::Config;
use super::{link, vlan};
use crate::ipam::IpamResult;
use crate::netlink::Link;
use crate::plugin::PluginCall;
use crate::plugin::forwarding::enable_forwarding;
use crate::plugin::undo::Undo;

/// Addresses that the host has on the bridge, or in the access VLAN.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gateways(Vec<IpNet>);

impl Gateways {
    /// Gives addresses without a gateway their subnet's first address, and adds the default routes.
    pub(super) fn fill_in(ipam: &mut IpamResult, config: &Config) -> Self {
        let mut gateways = Vec::new();
        if !config.is_gateway {
            return Self(gateways);
        }
        for ip in &mut ipam.ips {
            let gateway = *ip.gateway.get_or_insert_with(|| first_address(ip.address));
            let any = if gateway.is_ipv4() { IpAddr::from([0_u8; 4]) } else { IpAddr::from([0_u8; 16]) };
            let is_default = |route: &Route| {
                route.gw.is_some()
                    && route.dst.prefix_len() == 0
                    && route.dst.addr().is_ipv4() == any.is_ipv4()
            };
            if config.is_default_gateway
                && !ipam.routes.iter().any(is_default)
                && let Ok(everything) = IpNet::new(any, 0)
            {
                ipam.routes.push(Route::new(everything, Some(gateway)));
            }
            if let Ok(gateway) = IpNet::new(gateway, ip.address.prefix_len()) {
                gateways.push(gateway);
            }
        }
        Self(gateways)
    }

    /// Gives the host the addresses and lets it forward; the VLAN's interface, where there is one.
    pub(super) fn set_up<'a>(
        &self,
        call: &'a PluginCall<'a>,
        config: &'a Config,
        bridge: &Link,
        undo: &mut Undo<'a>,
    ) -> Result<Option<Link>, CniError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let vlan_interface = match config.vlan_interface() {
            Some(name) => Some(vlan::gateway_interface(call, config, bridge, name, undo)?),
            None => None,
        };
        let holder = vlan_interface.as_ref().unwrap_or(bridge);
        for gateway in &self.0 {
            ensure_address(call, holder, *gateway, config.force_address)?;
        }
        enable_forwarding(&self.0, "bridge")?;
        Ok(vlan_interface)
    }

    /// The first gateway that the host lacks.
    pub(super) fn missing(&self, present: &[IpNet]) -> Option<IpNet> {
        self.0.iter().find(|gateway| !present.contains(gateway)).copied()
    }
}

/// Adds the address; one that excludes it is removed where `force` says so, else it is an error.
fn ensure_address(call: &PluginCall<'_>, holder: &Link, gateway: IpNet, force: bool) -> Result<(), CniError> {
    let present = call.host.addresses(holder.index)?;
    if present.contains(&gateway) {
        return Ok(());
    }
    for other in present.iter().filter(|other| excludes(**other, gateway)) {
        if !force {
            let what =
                format!("bridge: {} has address {other}, so it cannot be gateway {gateway}", holder.name);
            return Err(CniError::new(Code::Kernel, what)
                .because("remove that address, use another bridge, or set forceAddress"));
        }
        call.host.delete_address(holder.index, *other)?;
    }
    call.host.add_address(holder.index, gateway)?;
    // Fixed from now on: else it would follow the ports, and the pods' neighbour entries would go stale.
    let now = link::by_index(call, holder.index)?;
    Ok(call.host.set_mac(now.index, now.mac)?)
}

/// One IPv4 address only; of IPv6 several, if their subnets do not overlap (the reference's rule).
fn excludes(other: IpNet, gateway: IpNet) -> bool {
    match (other, gateway) {
        (IpNet::V4(_), IpNet::V4(_)) => true,
        (IpNet::V6(_), IpNet::V6(_)) => other.contains(&gateway.addr()) || gateway.contains(&other.addr()),
        _ => false,
    }
}

fn first_address(address: IpNet) -> IpAddr {
    match address.network() {
        IpAddr::V4(network) => IpAddr::from((u32::from(network).saturating_add(1)).to_be_bytes()),
        IpAddr::V6(network) => IpAddr::from((u128::from(network).saturating_add(1)).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use plexus_cni::json::Object;
    use plexus_cni::result::{Dns, IpConfig};

    use super::*;

    fn ipam(ips: &[(&str, Option<&str>)], routes: &[(&str, Option<&str>)]) -> IpamResult {
        let ip = |(address, gateway): &(&str, Option<&str>)| IpConfig {
            address: address.parse().unwrap(),
            gateway: gateway.map(|text| text.parse().unwrap()),
            interface: None,
            extra: Object::new(),
        };
        let route = |(dst, gw): &(&str, Option<&str>)| {
            Route::new(dst.parse().unwrap(), gw.map(|text| text.parse().unwrap()))
        };
        IpamResult {
            ips: ips.iter().map(ip).collect(),
            routes: routes.iter().map(route).collect(),
            dns: Dns::default(),
        }
    }

    fn texts(gateways: &Gateways) -> Vec<String> {
        gateways.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_address_has_a_gateway_and_every_family_one_default_route() {
        let config = Config { is_gateway: true, is_default_gateway: true, ..Config::for_tests() };
        let mut result =
            ipam(&[("10.1.0.5/24", None), ("10.2.0.5/24", Some("10.2.0.9")), ("fd00::5/64", None)], &[]);
        let gateways = Gateways::fill_in(&mut result, &config);
        assert_eq!(texts(&gateways), ["10.1.0.1/24", "10.2.0.9/24", "fd00::1/64"]);
        let routes: Vec<_> =
            result.routes.iter().map(|route| (route.dst.to_string(), route.gw.unwrap())).collect();
        let expected = [("0.0.0.0/0", "10.1.0.1"), ("::/0", "fd00::1")];
        assert_eq!(routes, expected.map(|(dst, gw)| (dst.to_owned(), gw.parse().unwrap())));
    }

    #[test]
    fn a_configured_default_route_stays_the_only_one() {
        let config = Config { is_gateway: true, is_default_gateway: true, ..Config::for_tests() };
        let mut result = ipam(&[("10.1.0.5/24", None)], &[("0.0.0.0/0", Some("10.1.0.7"))]);
        Gateways::fill_in(&mut result, &config);
        assert_eq!(result.routes.len(), 1);
    }

    #[test]
    fn without_is_gateway_the_result_of_ipam_stays_as_it_is() {
        let mut result = ipam(&[("10.1.0.5/24", None)], &[]);
        assert_eq!(Gateways::fill_in(&mut result, &Config::for_tests()), Gateways::default());
        assert_eq!(result, ipam(&[("10.1.0.5/24", None)], &[]));
    }

    #[test]
    fn one_ipv4_address_excludes_another_and_ipv6_only_in_one_subnet() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert!(excludes(net("10.1.0.1/24"), net("10.2.0.1/24")));
        assert!(excludes(net("fd00::1/64"), net("fd00::2/64")));
        assert!(!excludes(net("fd00::1/64"), net("fd01::1/64")));
        assert!(!excludes(net("fe80::1/64"), net("10.1.0.1/24")));
    }
}
