//! The decisions: which addresses get a rule, which table they get, and what belongs into it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::CniResult;
use plexus_cni::default_route::default_of;
use plexus_cni::result::Route;

use super::config::Config;
use crate::netlink::KernelRoute;

/// The first table that is taken, as by the reference.
const FIRST_TABLE: u32 = 100;

/// One address and its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) address: IpNet,
    /// The next hop of its default route.
    pub(super) gateway: Option<IpAddr>,
    pub(super) table: u32,
}

/// The addresses of `ifname` in `result`, each with its gateway and table. An address that names no interface belongs to
/// it, as in the reference. `used` are tables that rules or routes use already.
pub(super) fn sources(
    config: &Config,
    result: &CniResult,
    ifname: &str,
    used: &BTreeSet<u32>,
) -> Vec<Source> {
    let is_of_interface = |index: Option<usize>| {
        index.and_then(|index| result.interfaces.get(index)).is_none_or(|interface| interface.name == ifname)
    };
    let mut free = (FIRST_TABLE..).filter(|table| !used.contains(table));
    let ips = result.ips.iter().filter(|ip| is_of_interface(ip.interface));
    let mut sources: Vec<Source> = Vec::new();
    for ip in ips {
        let is_ipv4 = ip.address.addr().is_ipv4();
        let configured = config.gateways.iter().copied().find(|gateway| gateway.is_ipv4() == is_ipv4);
        let own = ip.gateway.filter(|gateway| config.table.is_none() && gateway.is_ipv4() == is_ipv4);
        let Some(table) = config.table.or_else(|| free.next()) else { break };
        sources.push(Source { address: ip.address, gateway: configured.or(own), table });
    }
    sources
}

/// The routes that belong into a source's table: those of the interface that lead through the address's subnet or prefer
/// it, and those that say nothing of the kind; the ones without a next hop first, as others need them. A default route to
/// the gateway is added unless there is one.
pub(super) fn table(config: &Config, source: &Source, link: u32, routes: &[KernelRoute]) -> Vec<KernelRoute> {
    let subnet = source.address;
    let belongs = |route: &&KernelRoute| {
        let named = [route.gateway, route.source].into_iter().flatten();
        let is_of_family = route.dst.addr().is_ipv4() == subnet.addr().is_ipv4();
        is_of_family
            && (named.clone().count() == 0 || named.into_iter().any(|address| subnet.contains(&address)))
    };
    let moved: Vec<&KernelRoute> =
        if config.table.is_some() { Vec::new() } else { routes.iter().filter(belongs).collect() };
    let (mut through, mut direct) = (Vec::new(), Vec::new());
    for route in moved {
        let copy = route.clone().in_table(source.table);
        if copy.gateway.is_some() { through.push(copy) } else { direct.push(copy) }
    }
    let is_default = |route: &KernelRoute| route.dst.prefix_len() == 0 && route.gateway == source.gateway;
    if let Some(gateway) = source.gateway.filter(|_| !through.iter().any(is_default)) {
        through.push(default_route(link, gateway, source.table));
    }
    direct.extend(through);
    if config.add_source_hints {
        direct = direct.into_iter().map(|route| route.with_source(subnet.addr())).collect();
    }
    direct
}

/// The default route through `gateway` in `table`.
pub(super) fn default_route(link: u32, gateway: IpAddr, table: u32) -> KernelRoute {
    let route = Route { table: Some(table), ..Route::new(default_of(gateway), Some(gateway)) };
    KernelRoute::new(link, &route)
}

/// Whether a route may leave the main table: link-local ones may not.
pub(super) fn leaves_main(route: &KernelRoute) -> bool {
    match route.dst.addr() {
        IpAddr::V4(_) => true,
        IpAddr::V6(v6) => !v6.is_unicast_link_local() && !v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use plexus_cni::json::Object;
    use plexus_cni::result::{Interface, IpConfig};
    use proptest::prelude::*;

    use super::*;

    fn ip(address: &str, gateway: Option<&str>, interface: Option<usize>) -> IpConfig {
        IpConfig {
            address: address.parse().unwrap(),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            interface,
            extra: Object::new(),
        }
    }

    fn result() -> CniResult {
        let named = |name: &str| Interface { name: name.into(), ..Interface::default() };
        CniResult {
            interfaces: vec![named("host"), named("net1")],
            ips: vec![
                ip("10.1.0.2/24", Some("10.1.0.1"), Some(1)),
                ip("10.9.0.2/24", Some("10.9.0.1"), Some(0)),
                ip("fd01::2/64", None, None),
            ],
            ..CniResult::default()
        }
    }

    fn route(dst: &str, gateway: Option<&str>) -> KernelRoute {
        KernelRoute::new(
            7,
            &Route::new(dst.parse().unwrap(), gateway.map(|gateway| gateway.parse().unwrap())),
        )
    }

    fn list(routes: &[KernelRoute]) -> Vec<String> {
        let via =
            |route: &KernelRoute| route.gateway.map(|gateway| format!(" {gateway}")).unwrap_or_default();
        routes.iter().map(|route| format!("{}{} {}", route.dst, via(route), route.table)).collect()
    }

    #[test]
    fn each_address_of_the_interface_gets_the_next_free_table() {
        let found = sources(&Config::default(), &result(), "net1", &[100, 102, 254].into());
        let tables: Vec<_> = found.iter().map(|source| (source.address.to_string(), source.table)).collect();
        assert_eq!(tables, [("10.1.0.2/24".into(), 101), ("fd01::2/64".into(), 103)]);
        assert_eq!((found[0].gateway, found[1].gateway), (Some("10.1.0.1".parse().unwrap()), None));
        let gateways = vec!["fd01::1".parse().unwrap()];
        let found = sources(&Config { gateways, ..Config::default() }, &result(), "net1", &BTreeSet::new());
        assert_eq!(found[1].gateway, Some("fd01::1".parse().unwrap()));
    }

    #[test]
    fn a_table_gets_what_leads_through_its_subnet() {
        let routes = [
            route("10.5.0.0/16", Some("10.1.0.9")),
            route("10.6.0.0/16", Some("10.2.0.9")),
            route("10.1.0.0/24", None),
            route("fd01::/64", None),
            route("::/0", Some("fd01::1")),
        ];
        let config = Config::default();
        let found = sources(&config, &result(), "net1", &BTreeSet::new());
        let first = table(&config, &found[0], 7, &routes);
        assert_eq!(list(&first), ["10.1.0.0/24 100", "10.5.0.0/16 10.1.0.9 100", "0.0.0.0/0 10.1.0.1 100"]);
        let second = table(&config, &found[1], 7, &routes);
        assert_eq!(list(&second), ["fd01::/64 101", "::/0 fd01::1 101"]);
        let hinted = Config { add_source_hints: true, ..config };
        let hinted = table(&hinted, &found[0], 7, &routes);
        assert!(hinted.iter().all(|route| route.source == Some("10.1.0.2".parse().unwrap())));
    }

    #[test]
    fn a_table_of_the_configs_is_left_to_it_but_for_its_gateways() {
        let config = Config { table: Some(300), ..Config::default() };
        let routes = [route("10.1.0.0/24", None)];
        let found = sources(&config, &result(), "net1", &BTreeSet::new());
        assert!(found.iter().all(|source| source.table == 300 && source.gateway.is_none()));
        assert!(table(&config, &found[0], 7, &routes).is_empty());
        let config = Config { gateways: vec!["10.1.0.7".parse().unwrap()], ..config };
        let found = sources(&config, &result(), "net1", &BTreeSet::new());
        assert_eq!(list(&table(&config, &found[0], 7, &routes)), ["0.0.0.0/0 10.1.0.7 300"]);
    }

    proptest! {
        #[test]
        fn no_table_is_taken_twice(used in prop::collection::btree_set(95_u32..110, 0..10), count in 0_usize..6) {
            let ips = vec![ip("10.1.0.2/24", None, None); count];
            let result = CniResult { ips, ..CniResult::default() };
            let found = sources(&Config::default(), &result, "net1", &used);
            prop_assert_eq!(found.len(), count);
            let tables: BTreeSet<u32> = found.iter().map(|source| source.table).collect();
            prop_assert_eq!(tables.len(), count);
            prop_assert!(tables.is_disjoint(&used) && tables.iter().all(|table| *table >= FIRST_TABLE));
        }
    }
}
