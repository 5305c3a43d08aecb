//! What a server's answer says: address, routes, name servers, and how long they are ours.

use std::net::{IpAddr, Ipv4Addr};

use dhcproto::v4::{DhcpOption, Message, OptionCode};
use dhcproto::v6::{self, DhcpOptions, IAAddr, IANA};
use ipnet::{IpNet, Ipv4Net};
use plexus_cni::json::Object;
use plexus_cni::result::{Dns, IpConfig, Route};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::family::Server;
use crate::ipam::IpamResult;

/// A lease of this many seconds has no end (RFC 2131, 3.3).
const FOR_EVER_S: u32 = u32::MAX;
/// Shorter leases are taken as this long, in seconds: the server is not asked more often than it can bear.
const LEASE_S_MIN: u64 = 10;
/// Most routes that are taken.
const ROUTES_MAX: usize = 256;
/// Most name servers and search domains that are taken.
const NAMES_MAX: usize = 32;

/// A lease as the server wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Terms {
    /// The address and the length of its subnet's prefix.
    pub(super) address: IpNet,
    /// The server that gave it.
    pub(super) server: Server,
    /// The first router.
    pub(super) gateway: Option<Ipv4Addr>,
    /// Destination and next hop; 0.0.0.0 is on the link.
    pub(super) routes: Vec<(Ipv4Net, Ipv4Addr)>,
    pub(super) name_servers: Vec<IpAddr>,
    pub(super) domain: Option<String>,
    pub(super) search: Vec<String>,
    /// Seconds until it ends; `None` is never.
    pub(super) lease_s: Option<u64>,
    /// Seconds until the server is asked to renew it (T1).
    pub(super) renew_s: u64,
    /// Seconds until any server is asked (T2).
    pub(super) rebind_s: u64,
}

impl Terms {
    /// Reads an acknowledgement of `server`; the error says what cannot be used.
    pub(super) fn of(message: &Message, server: Ipv4Addr) -> Result<Self, &'static str> {
        let options = message.opts();
        let address = message.yiaddr();
        if address.is_unspecified()
            || address.is_multicast()
            || address.is_broadcast()
            || address.is_loopback()
        {
            return Err("its address is none that an interface can have");
        }
        let Some(DhcpOption::SubnetMask(mask)) = options.get(OptionCode::SubnetMask) else {
            return Err("it has no subnet mask (option 1)");
        };
        let address =
            Ipv4Net::with_netmask(address, *mask).map_err(|_| "its subnet mask (option 1) is none")?;
        let gateway = match options.get(OptionCode::Router) {
            Some(DhcpOption::Router(routers)) => routers.first().copied(),
            _ => None,
        };
        let (lease_s, renew_s, rebind_s) = times(message)?;
        Ok(Self {
            address: IpNet::V4(address),
            server: Server::V4(server),
            gateway,
            routes: routes(message, gateway),
            name_servers: name_servers(message),
            domain: domain(message),
            search: search(message),
            lease_s,
            renew_s,
            rebind_s,
        })
    }

    /// Reads what a server of DHCPv6 gave. The address stands alone: which others are on the link the routers say.
    pub(super) fn of_v6(options: &DhcpOptions, association: &IANA, given: &IAAddr, server: Server) -> Self {
        let (lease_s, renew_s, rebind_s) = times_v6(association, given);
        Self {
            name_servers: name_servers_v6(options),
            search: search_v6(options),
            lease_s,
            renew_s,
            rebind_s,
            ..Self::intended(given.addr.into(), server)
        }
    }

    /// What is known of a lease while it is asked for: enough to give it back.
    pub(super) fn intended(address: IpAddr, server: Server) -> Self {
        Self {
            address: IpNet::from(address),
            server,
            gateway: None,
            routes: Vec::new(),
            name_servers: Vec::new(),
            domain: None,
            search: Vec::new(),
            lease_s: None,
            renew_s: u64::MAX,
            rebind_s: u64::MAX,
        }
    }

    /// Whether the interface would look the same with `other`.
    pub(super) fn configures_as(&self, other: &Self) -> bool {
        (self.address, self.gateway, &self.routes) == (other.address, other.gateway, &other.routes)
    }

    /// The address as results list it.
    pub(super) fn ip(&self) -> IpConfig {
        let gateway = self.gateway.map(IpAddr::V4);
        IpConfig { address: self.address, gateway, interface: None, extra: Object::new() }
    }

    /// The routes as results list them, with this metric unless it is 0.
    pub(super) fn result_routes(&self, priority: u32) -> Vec<Route> {
        let priority = Some(priority).filter(|priority| *priority != 0);
        let route = |(dst, gw): &(Ipv4Net, Ipv4Addr)| Route {
            priority,
            ..Route::new(IpNet::V4(*dst), Some(IpAddr::V4(*gw)))
        };
        self.routes.iter().map(route).collect()
    }

    /// What IPAM answers.
    pub(super) fn result(&self, priority: u32) -> IpamResult {
        let texts = |addresses: &[IpAddr]| {
            addresses.iter().map(|address| Value::from(address.to_string())).collect::<Vec<_>>()
        };
        let mut dns = Object::new();
        if !self.name_servers.is_empty() {
            dns.insert("nameservers".into(), texts(&self.name_servers).into());
        }
        if let Some(domain) = &self.domain {
            dns.insert("domain".into(), domain.clone().into());
        }
        if !self.search.is_empty() {
            dns.insert("search".into(), self.search.clone().into());
        }
        IpamResult { ips: vec![self.ip()], routes: self.result_routes(priority), dns: Dns(dns) }
    }
}

/// Lease, T1 and T2 in seconds; times that make no sense are the standard's halves and eighths instead.
fn times(message: &Message) -> Result<(Option<u64>, u64, u64), &'static str> {
    let options = message.opts();
    let Some(DhcpOption::AddressLeaseTime(lease)) = options.get(OptionCode::AddressLeaseTime) else {
        return Err("it has no lease time (option 51)");
    };
    if *lease == FOR_EVER_S {
        return Ok((None, u64::MAX, u64::MAX));
    }
    let lease = u64::from(*lease).max(LEASE_S_MIN);
    let renew = match options.get(OptionCode::Renewal) {
        Some(DhcpOption::Renewal(seconds)) => u64::from(*seconds),
        _ => lease / 2,
    };
    let rebind = match options.get(OptionCode::Rebinding) {
        Some(DhcpOption::Rebinding(seconds)) => u64::from(*seconds),
        _ => lease - lease / 8,
    };
    if renew > 0 && renew < rebind && rebind < lease {
        return Ok((Some(lease), renew, rebind));
    }
    Ok((Some(lease), lease / 2, lease - lease / 8))
}

/// Classless routes (RFC 3442), which replace all others; else static routes, and the default route by the router.
fn routes(message: &Message, gateway: Option<Ipv4Addr>) -> Vec<(Ipv4Net, Ipv4Addr)> {
    let options = message.opts();
    if let Some(DhcpOption::ClasslessStaticRoute(routes)) = options.get(OptionCode::ClasslessStaticRoute)
        && !routes.is_empty()
    {
        return routes.iter().take(ROUTES_MAX).map(|(dst, gw)| (dst.trunc(), *gw)).collect();
    }
    let mut found = Vec::new();
    if let Some(DhcpOption::StaticRoutingTable(routes)) = options.get(OptionCode::StaticRoutingTable) {
        found.extend(routes.iter().take(ROUTES_MAX).filter_map(|(dst, gw)| Some((classful(*dst)?, *gw))));
    }
    let default = Ipv4Net::default();
    found.extend(gateway.filter(|gateway| !gateway.is_unspecified()).map(|gateway| (default, gateway)));
    found
}

/// The network of a static route: its class', or the one host where bits of it are set. The default route is none.
fn classful(dst: Ipv4Addr) -> Option<Ipv4Net> {
    let length = match dst.octets()[0] {
        0 => return None,
        1..128 => 8,
        128..192 => 16,
        192..224 => 24,
        _ => 32,
    };
    let network = Ipv4Net::new(dst, length).ok()?;
    if network.trunc() == network { Some(network) } else { Ipv4Net::new(dst, 32).ok() }
}

fn name_servers(message: &Message) -> Vec<IpAddr> {
    match message.opts().get(OptionCode::DomainNameServer) {
        Some(DhcpOption::DomainNameServer(servers)) => {
            servers.iter().take(NAMES_MAX).copied().map(IpAddr::V4).collect()
        }
        _ => Vec::new(),
    }
}

fn domain(message: &Message) -> Option<String> {
    match message.opts().get(OptionCode::DomainName) {
        Some(DhcpOption::DomainName(name)) => Some(name.as_str()).and_then(host_name),
        _ => None,
    }
}

fn search(message: &Message) -> Vec<String> {
    match message.opts().get(OptionCode::DomainSearch) {
        Some(DhcpOption::DomainSearch(names)) => {
            names.iter().take(NAMES_MAX).filter_map(|name| host_name(&name.to_ascii())).collect()
        }
        _ => Vec::new(),
    }
}

/// As [`times`]: without the server's word half and four fifths of the preferred lifetime (RFC 8415, 21.4).
fn times_v6(association: &IANA, given: &IAAddr) -> (Option<u64>, u64, u64) {
    if given.valid_life == FOR_EVER_S {
        return (None, u64::MAX, u64::MAX);
    }
    let lease = u64::from(given.valid_life).max(LEASE_S_MIN);
    let preferred = u64::from(given.preferred_life).clamp(LEASE_S_MIN / 2, lease);
    let or = |told: u32, else_s: u64| if told == 0 { else_s } else { u64::from(told) };
    let (renew, rebind) = (or(association.t1, preferred / 2), or(association.t2, preferred * 4 / 5));
    if renew > 0 && renew < rebind && rebind < lease {
        return (Some(lease), renew, rebind);
    }
    (Some(lease), lease / 2, lease * 4 / 5)
}

fn name_servers_v6(options: &DhcpOptions) -> Vec<IpAddr> {
    match options.get(v6::OptionCode::DomainNameServers) {
        Some(v6::DhcpOption::DomainNameServers(servers)) => {
            servers.iter().take(NAMES_MAX).copied().map(IpAddr::V6).collect()
        }
        _ => Vec::new(),
    }
}

fn search_v6(options: &DhcpOptions) -> Vec<String> {
    match options.get(v6::OptionCode::DomainSearchList) {
        Some(v6::DhcpOption::DomainSearchList(names)) => {
            names.iter().take(NAMES_MAX).filter_map(|name| host_name(&name.to_ascii())).collect()
        }
        _ => Vec::new(),
    }
}

/// A domain name of plain letters: it may end up in a file of the pod.
fn host_name(text: &str) -> Option<String> {
    let name = text.trim_end_matches(['.', '\0']);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (!name.is_empty() && name.len() < 255 && name.bytes().all(is_plain)).then(|| name.to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

    fn message(options: &[DhcpOption]) -> Message {
        let mut message = Message::default();
        message.set_yiaddr([10, 1, 0, 7]);
        let basics = [DhcpOption::SubnetMask([255, 255, 255, 0].into()), DhcpOption::AddressLeaseTime(3600)];
        for option in basics.iter().chain(options) {
            message.opts_mut().insert(option.clone());
        }
        message
    }

    /// Terms of an address and a lease, for tests of other files.
    pub(in crate::ipam::dhcp) fn terms(address: [u8; 4], lease_s: u32) -> Terms {
        let mut message = message(&[DhcpOption::AddressLeaseTime(lease_s)]);
        message.set_yiaddr(address);
        Terms::of(&message, SERVER).unwrap()
    }

    fn texts(routes: &[(Ipv4Net, Ipv4Addr)]) -> Vec<String> {
        routes.iter().map(|(dst, gw)| format!("{dst} {gw}")).collect()
    }

    #[test]
    fn the_router_is_gateway_and_default_route() {
        let found = Terms::of(&message(&[DhcpOption::Router(vec![SERVER])]), SERVER).unwrap();
        assert_eq!(found.ip().address.to_string(), "10.1.0.7/24");
        assert_eq!(found.ip().gateway, Some(IpAddr::V4(SERVER)));
        let routes = found.result_routes(9);
        assert_eq!((routes[0].dst.to_string(), routes[0].priority), ("0.0.0.0/0".to_owned(), Some(9)));
        assert_eq!(found.result_routes(0)[0].priority, None);
    }

    #[test]
    fn classless_routes_replace_router_and_static_routes() {
        let classless = DhcpOption::ClasslessStaticRoute(vec![
            ("10.2.0.0/16".parse().unwrap(), SERVER),
            ("10.3.0.0/24".parse().unwrap(), Ipv4Addr::UNSPECIFIED),
        ]);
        let others = [
            DhcpOption::Router(vec![SERVER]),
            DhcpOption::StaticRoutingTable(vec![
                ([10, 0, 0, 0].into(), SERVER),
                ([192, 168, 1, 7].into(), SERVER),
                ([0, 0, 0, 0].into(), SERVER),
            ]),
        ];
        let found = Terms::of(&message(&others), SERVER).unwrap();
        let expected = ["10.0.0.0/8 10.1.0.1", "192.168.1.7/32 10.1.0.1", "0.0.0.0/0 10.1.0.1"];
        assert_eq!(texts(&found.routes), expected);
        let found = Terms::of(&message(&[others.to_vec(), vec![classless]].concat()), SERVER).unwrap();
        assert_eq!(texts(&found.routes), ["10.2.0.0/16 10.1.0.1", "10.3.0.0/24 0.0.0.0"]);
        assert_eq!(found.gateway, Some(SERVER));
    }

    #[test]
    fn name_servers_and_domains_come_along_if_they_are_names() {
        let options =
            [DhcpOption::DomainNameServer(vec![SERVER]), DhcpOption::DomainName("example.org".into())];
        let dns = Terms::of(&message(&options), SERVER).unwrap().result(0).dns.0;
        assert_eq!(
            Value::from(dns),
            serde_json::json!({"nameservers": ["10.1.0.1"], "domain": "example.org"})
        );
        let bad = [DhcpOption::DomainName("a b\nnameserver 1.2.3.4".into())];
        assert!(Terms::of(&message(&bad), SERVER).unwrap().result(0).dns.0.is_empty());
    }

    #[test]
    fn times_are_the_servers_if_they_make_sense() {
        let times = |options: &[DhcpOption]| {
            let found = Terms::of(&message(options), SERVER).unwrap();
            (found.lease_s, found.renew_s, found.rebind_s)
        };
        assert_eq!(times(&[]), (Some(3600), 1800, 3150));
        assert_eq!(times(&[DhcpOption::Renewal(3), DhcpOption::Rebinding(6)]), (Some(3600), 3, 6));
        assert_eq!(times(&[DhcpOption::Renewal(6), DhcpOption::Rebinding(3)]), (Some(3600), 1800, 3150));
        assert_eq!(times(&[DhcpOption::Renewal(0)]), (Some(3600), 1800, 3150));
        assert_eq!(times(&[DhcpOption::AddressLeaseTime(0)]), (Some(10), 5, 9));
        assert_eq!(times(&[DhcpOption::AddressLeaseTime(u32::MAX)]), (None, u64::MAX, u64::MAX));
    }

    #[test]
    fn an_answer_that_cannot_be_used_says_why() {
        let mut without_mask = message(&[]);
        without_mask.opts_mut().remove(OptionCode::SubnetMask);
        assert!(Terms::of(&without_mask, SERVER).unwrap_err().contains("subnet mask"));
        let holes = message(&[DhcpOption::SubnetMask([255, 0, 255, 0].into())]);
        assert!(Terms::of(&holes, SERVER).is_err());
        let mut without_address = message(&[]);
        without_address.set_yiaddr([0, 0, 0, 0]);
        assert!(Terms::of(&without_address, SERVER).is_err());
    }
}
