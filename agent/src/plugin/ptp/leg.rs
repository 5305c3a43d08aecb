//! What one address of the pod means for the routes at both ends of the pair.

use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::result::{IpConfig, Route};
use plexus_cni::{CniError, Code};

/// Scope of a route to the other end: it leads to one host (`RT_SCOPE_HOST`, linux/rtnetlink.h).
const SCOPE_HOST: u8 = 254;
/// Scope of a route to a neighbour (`RT_SCOPE_LINK`).
const SCOPE_LINK: u8 = 253;

/// One address of the pod and its gateway, which is an address of the host's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leg {
    address: IpNet,
    gateway: IpAddr,
}

impl Leg {
    /// The legs of these addresses; each must have a gateway of its own family.
    pub(super) fn of_all(ips: &[IpConfig]) -> Result<Vec<Self>, CniError> {
        if ips.is_empty() {
            return Err(CniError::new(Code::DelegateFailed, "ptp: the IPAM plugin returned no address"));
        }
        ips.iter().map(Self::of).collect()
    }

    fn of(ip: &IpConfig) -> Result<Self, CniError> {
        let address = ip.address;
        let wrong = |what: String| {
            CniError::new(Code::InvalidConfig, what)
                .because("the host's end of the pair has the gateway's address; let \"ipam\" name one")
        };
        let gateway = ip.gateway.ok_or_else(|| wrong(format!("ptp: address {address} has no gateway")))?;
        if gateway.is_ipv4() != address.addr().is_ipv4() {
            return Err(wrong(format!("ptp: gateway {gateway} of address {address} is of the other family")));
        }
        Ok(Self { address, gateway })
    }

    /// The pod's address.
    pub(super) fn address(self) -> IpNet {
        self.address
    }

    /// The host's address on its end: the gateway alone, since there is no subnet on the pair.
    pub(super) fn host_address(self) -> IpNet {
        IpNet::from(self.gateway)
    }

    /// On the host: to the pod.
    pub(super) fn to_pod(self) -> Route {
        Route { scope: Some(SCOPE_HOST), ..Route::new(IpNet::from(self.address.addr()), None) }
    }

    /// In the pod: to the gateway.
    pub(super) fn to_gateway(self) -> Route {
        Route { scope: Some(SCOPE_LINK), ..Route::new(self.host_address(), None) }
    }

    /// In the pod: to the rest of the subnet, through the gateway; of a single address there is no rest.
    pub(super) fn to_subnet(self) -> Option<Route> {
        let has_rest = self.address.prefix_len() < self.address.max_prefix_len();
        has_rest.then(|| Route::new(self.address.trunc(), Some(self.gateway)))
    }
}

#[cfg(test)]
mod tests {
    use plexus_cni::json::Object;

    use super::*;

    fn ip(address: &str, gateway: Option<&str>) -> IpConfig {
        IpConfig {
            address: address.parse().unwrap(),
            gateway: gateway.map(|text| text.parse().unwrap()),
            interface: None,
            extra: Object::new(),
        }
    }

    fn only(address: &str, gateway: &str) -> Leg {
        Leg::of(&ip(address, Some(gateway))).unwrap()
    }

    fn text(route: &Route) -> String {
        format!("{} {:?} {:?}", route.dst, route.gw, route.scope)
    }

    #[test]
    fn a_pod_reaches_its_subnet_through_the_gateway_alone() {
        let leg = only("10.1.0.5/24", "10.1.0.1");
        assert_eq!(text(&leg.to_gateway()), "10.1.0.1/32 None Some(253)");
        assert_eq!(text(&leg.to_subnet().unwrap()), "10.1.0.0/24 Some(10.1.0.1) None");
        assert_eq!(text(&leg.to_pod()), "10.1.0.5/32 None Some(254)");
        assert_eq!(leg.host_address().to_string(), "10.1.0.1/32");
    }

    #[test]
    fn ipv6_and_single_addresses_are_routed_alike() {
        let leg = only("fd00::5/64", "fd00::1");
        assert_eq!(text(&leg.to_gateway()), "fd00::1/128 None Some(253)");
        assert_eq!(text(&leg.to_subnet().unwrap()), "fd00::/64 Some(fd00::1) None");
        assert_eq!(only("10.1.0.5/32", "10.9.0.1").to_subnet(), None);
    }

    #[test]
    fn an_address_without_a_gateway_of_its_family_is_refused() {
        assert!(Leg::of_all(&[]).is_err());
        let error = Leg::of_all(&[ip("10.1.0.5/24", None)]).unwrap_err();
        assert!(error.msg.contains("10.1.0.5/24 has no gateway"), "{error}");
        let error = Leg::of(&ip("10.1.0.5/24", Some("fd00::1"))).unwrap_err();
        assert!(error.msg.contains("other family"), "{error}");
    }
}
