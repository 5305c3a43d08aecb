//! What the agent asks: routes, and gates where they are looked up.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    net::IpAddr,
    os::fd::BorrowedFd,
};

use ipnet::IpNet;
use plexus_abi::{
    Address, HOP_BLACKHOLE, HOP_GATEWAY, HOP_ON_LINK, HOP_PASS, MAX_ROUTE_DEVICES, MAX_ROUTE_TABLES, NextHop,
};
use serde::{Deserialize, Serialize};

use crate::datapath::error::{DatapathError, Result};

/// Where packets to a prefix go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteHop {
    /// As the pod's own routes say: an exception from a shorter prefix.
    Pass,
    /// By way of a gateway.
    Gateway {
        /// Its address. IPv4 destinations may have an IPv6 gateway, not the other way round.
        gateway: IpAddr,
        /// Place among the devices of the port.
        device: u8,
    },
    /// Straight to the destination, which is on the link.
    OnLink {
        /// Place among the devices of the port.
        device: u8,
    },
    /// Nowhere: dropped, and counted.
    Blackhole,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RouteSpec {
    /// The prefix.
    pub dst: IpNet,
    /// Where its packets go.
    pub hop: RouteHop,
}

/// A gate of a port on an interface in its pod.
#[derive(Clone, Copy, Debug)]
pub struct RouteGate<'a> {
    /// The port whose routes are asked.
    pub port: u32,
    /// The interface.
    pub ifindex: u32,
    /// A NETLINK_ROUTE socket that was opened in the pod's network namespace.
    pub socket: BorrowedFd<'a>,
}

impl RouteHop {
    /// What the programs read.
    pub(super) fn to_abi(self) -> NextHop {
        let hop = |kind, device: u8, gateway| NextHop { kind, device: device.into(), gateway };
        match self {
            Self::Pass => hop(HOP_PASS, 0, Address::UNSPECIFIED),
            Self::Blackhole => hop(HOP_BLACKHOLE, 0, Address::UNSPECIFIED),
            Self::OnLink { device } => hop(HOP_ON_LINK, device, Address::UNSPECIFIED),
            Self::Gateway { gateway, device } => hop(HOP_GATEWAY, device, gateway.into()),
        }
    }

    /// The reverse; nothing for what this build does not know.
    pub(super) fn of_abi(hop: &NextHop) -> Option<Self> {
        let device = u8::try_from(hop.device).ok()?;
        match hop.kind {
            HOP_PASS => Some(Self::Pass),
            HOP_BLACKHOLE => Some(Self::Blackhole),
            HOP_ON_LINK => Some(Self::OnLink { device }),
            HOP_GATEWAY => Some(Self::Gateway { gateway: hop.gateway.to_ip(), device }),
            _ => None,
        }
    }
}

impl RouteSpec {
    fn wrong(&self, table: u32) -> Option<DatapathError> {
        let refuse = |reason: String| Some(DatapathError::Routes { table, reason });
        let (RouteHop::Gateway { device, .. } | RouteHop::OnLink { device }) = self.hop else { return None };
        if usize::from(device) >= MAX_ROUTE_DEVICES {
            return refuse(format!(
                "route {} names more than {MAX_ROUTE_DEVICES} interfaces; use fewer",
                self.dst
            ));
        }
        match self.hop {
            RouteHop::Gateway { gateway, .. } if self.dst.addr().is_ipv6() && gateway.is_ipv4() => {
                refuse(format!("route {} has IPv4 gateway {gateway}; give it an IPv6 one", self.dst))
            }
            _ => None,
        }
    }
}

/// Refuses what no table can hold.
pub(super) fn check(table: u32, routes: &[RouteSpec]) -> Result<()> {
    if table == plexus_abi::NO_TABLE || table > MAX_ROUTE_TABLES {
        let reason =
            format!("the number is not between 1 and {MAX_ROUTE_TABLES}; use fewer networks with routes");
        return Err(DatapathError::Routes { table, reason });
    }
    routes.iter().find_map(|route| route.wrong(table)).map_or(Ok(()), Err)
}

/// Tells two lists of routes apart without keeping either.
pub(super) fn digest(routes: &[RouteSpec]) -> u64 {
    let mut hasher = DefaultHasher::new();
    routes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(dst: &str, hop: RouteHop) -> RouteSpec {
        RouteSpec { dst: dst.parse().expect("a prefix"), hop }
    }

    #[test]
    fn every_hop_is_read_back() {
        for hop in [
            RouteHop::Pass,
            RouteHop::Blackhole,
            RouteHop::OnLink { device: 3 },
            RouteHop::Gateway { gateway: "10.0.0.1".parse().expect("v4"), device: 1 },
            RouteHop::Gateway { gateway: "fd00::1".parse().expect("v6"), device: 0 },
        ] {
            assert_eq!(RouteHop::of_abi(&hop.to_abi()), Some(hop));
        }
    }

    #[test]
    fn what_a_table_cannot_hold_is_refused_with_the_prefix() {
        let v4 = "10.0.0.1".parse().expect("v4");
        let far = route("10.1.0.0/16", RouteHop::OnLink { device: 7 });
        let mixed = route("fd01::/64", RouteHop::Gateway { gateway: v4, device: 0 });
        for wrong in [far, mixed] {
            let error = check(1, &[wrong]).expect_err("refused").to_string();
            assert!(error.contains(&wrong.dst.to_string()), "{error}");
        }
        let over_v6 = RouteHop::Gateway { gateway: "fe80::1".parse().expect("v6"), device: 0 };
        check(1, &[route("10.1.0.0/16", over_v6)]).expect("IPv4 by way of an IPv6 gateway");
        check(0, &[]).expect_err("no table");
        check(MAX_ROUTE_TABLES + 1, &[]).expect_err("no table");
    }
}
