//! Default routes of a pod with several networks: who keeps its own, who gets another, who loses it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::error::{CniError, Code};
use crate::result::{CniResult, Route};

/// What happens to the default routes of one attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DefaultRoutePlan {
    /// IPv4 default routes that its plugins made are removed.
    pub removes_v4: bool,
    /// IPv6 default routes that its plugins made are removed.
    pub removes_v6: bool,
    /// Then default routes through these gateways are added; at most one of each family.
    pub adds: Vec<IpAddr>,
}

impl DefaultRoutePlan {
    /// The plans for attachments whose selection says `requests`, in order; `None` says nothing about default routes.
    ///
    /// A request for one family takes the default routes of that family, and of no other, from everyone else. An empty
    /// list keeps the network's own.
    pub fn of_all(requests: &[Option<&[IpAddr]>]) -> Result<Vec<Self>, CniError> {
        let gateways: Vec<IpAddr> = requests.iter().flatten().flat_map(|list| list.iter().copied()).collect();
        let four = gateways.iter().filter(|gateway| gateway.is_ipv4()).count();
        let six = gateways.len() - four;
        if four > 1 || six > 1 {
            return Err(CniError::new(
                Code::InvalidConfig,
                "field \"default-route\" is given more than once",
            )
            .because("a pod has at most one IPv4 and one IPv6 default route, over all its networks"));
        }
        Ok(requests
            .iter()
            .map(|request| {
                let keeps_own = request.is_some_and(<[IpAddr]>::is_empty);
                Self {
                    removes_v4: four > 0 && !keeps_own,
                    removes_v6: six > 0 && !keeps_own,
                    adds: request.unwrap_or_default().to_vec(),
                }
            })
            .collect())
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        !self.removes_v4 && !self.removes_v6 && self.adds.is_empty()
    }

    /// Whether the default route to `dst` is to be removed.
    pub fn removes(&self, dst: &IpNet) -> bool {
        is_default(dst) && if dst.addr().is_ipv4() { self.removes_v4 } else { self.removes_v6 }
    }

    /// The result as it is after the plan was carried out in the kernel.
    pub fn rewrite(&self, result: &mut CniResult) {
        result.routes.retain(|route| !self.removes(&route.dst));
        result
            .routes
            .extend(self.adds.iter().map(|gateway| Route::new(default_of(*gateway), Some(*gateway))));
    }
}

/// Whether `dst` is the default route of its family.
pub fn is_default(dst: &IpNet) -> bool {
    dst.prefix_len() == 0
}

/// The default destination of the family of `gateway`.
pub fn default_of(gateway: IpAddr) -> IpNet {
    match gateway {
        IpAddr::V4(_) => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0)),
        IpAddr::V6(_) => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_requested_family_is_taken_from_the_others() {
        let wanted = [ip("10.0.0.1")];
        let plans = DefaultRoutePlan::of_all(&[None, Some(&wanted), Some(&[])]).unwrap();
        assert!(plans[0].removes_v4 && !plans[0].removes_v6);
        assert!(plans[1].removes_v4 && plans[1].adds == wanted);
        assert!(plans[2].is_empty());
    }

    #[test]
    fn a_second_default_route_of_one_family_is_refused() {
        let (one, two, six) = ([ip("10.0.0.1")], [ip("10.0.0.2")], [ip("fd00::1")]);
        assert!(DefaultRoutePlan::of_all(&[Some(&one), Some(&two)]).is_err());
        assert!(DefaultRoutePlan::of_all(&[Some(&one), Some(&six)]).is_ok());
    }

    #[test]
    fn the_result_says_what_the_kernel_has() {
        let plan = DefaultRoutePlan { removes_v4: true, removes_v6: false, adds: vec![ip("10.0.0.9")] };
        let mut result = CniResult::default();
        for route in ["0.0.0.0/0", "::/0", "10.1.0.0/16"] {
            result.routes.push(Route::new(route.parse().unwrap(), None));
        }
        plan.rewrite(&mut result);
        let left: Vec<_> = result.routes.iter().map(|route| route.dst.to_string()).collect();
        assert_eq!(left, ["::/0", "10.1.0.0/16", "0.0.0.0/0"]);
        assert_eq!(result.routes[2].gw, Some(ip("10.0.0.9")));
    }
}
