//! The decisions: what becomes of a result, and which routes of the kernel go.

use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::CniResult;

use super::config::Config;
use crate::plugin::address::with_gateway;

/// The result after flushroutes, flushgateway, delroutes and addroutes, in this order.
pub(super) fn rewrite(config: &Config, result: &CniResult) -> CniResult {
    let mut result = result.clone();
    let goes = |dst: IpNet| config.flush_routes || is_deleted(config, dst);
    result.routes.retain(|route| !goes(route.dst));
    if config.flush_gateway {
        // What stays keeps its next hop, which it may have had from the address.
        result.routes = result.routes.iter().map(|route| with_gateway(route, &result.ips)).collect();
        result.ips.iter_mut().for_each(|ip| ip.gateway = None);
    }
    result.routes.extend(config.add_routes.iter().cloned());
    result
}

/// Whether a route that the kernel has goes; `is_of_address` says that the kernel made it for an address.
pub(super) fn is_removed(config: &Config, dst: IpNet, is_of_address: bool) -> bool {
    is_deleted(config, dst) || (config.flush_routes && !is_of_address && !is_link_local(dst.addr()))
}

/// Whether flushgateway or delroutes names this destination.
pub(super) fn is_deleted(config: &Config, dst: IpNet) -> bool {
    (config.flush_gateway && dst.prefix_len() == 0) || config.del_routes.contains(&dst.trunc())
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use plexus_cni::json::Object;
    use plexus_cni::result::{IpConfig, Route};
    use proptest::prelude::*;

    use super::*;

    fn net() -> impl Strategy<Value = IpNet> {
        // Few destinations, so that lists meet.
        prop::sample::select(vec![
            "0.0.0.0/0",
            "::/0",
            "10.0.0.0/8",
            "10.1.0.0/16",
            "10.1.2.3/16",
            "fd00::/64",
            "169.254.0.0/16",
            "fe80::/64",
        ])
        .prop_map(|text| text.parse().unwrap())
    }

    fn routes() -> impl Strategy<Value = Vec<Route>> {
        let route = (net(), prop::option::of(any::<IpAddr>())).prop_map(|(dst, gw)| Route::new(dst, gw));
        prop::collection::vec(route, 0..6)
    }

    fn config() -> impl Strategy<Value = Config> {
        (any::<bool>(), any::<bool>(), prop::collection::vec(net(), 0..4), routes()).prop_map(
            |(flush_routes, flush_gateway, del_routes, add_routes)| Config {
                flush_routes,
                flush_gateway,
                del_routes: del_routes.iter().map(IpNet::trunc).collect(),
                add_routes,
                skip_check: false,
                dataplane: false,
            },
        )
    }

    fn result() -> impl Strategy<Value = CniResult> {
        routes().prop_map(|routes| {
            let ip = IpConfig {
                address: "10.1.0.2/16".parse().unwrap(),
                gateway: Some("10.1.0.1".parse().unwrap()),
                interface: Some(0),
                extra: Object::new(),
            };
            CniResult { ips: vec![ip], routes, ..CniResult::default() }
        })
    }

    proptest! {
        #[test]
        fn what_was_added_is_last_and_the_rest_is_what_nothing_removed(config in config(), before in result()) {
            let after = rewrite(&config, &before);
            let (kept, added) = after.routes.split_at(after.routes.len() - config.add_routes.len());
            prop_assert_eq!(added, &*config.add_routes);
            let expected: Vec<_> = before
                .routes
                .iter()
                .filter(|route| !config.flush_routes && !is_deleted(&config, route.dst))
                .map(|route| if config.flush_gateway { with_gateway(route, &before.ips) } else { route.clone() })
                .collect();
            prop_assert_eq!(kept, &*expected);
        }

        #[test]
        fn an_empty_config_changes_nothing(before in result()) {
            prop_assert_eq!(rewrite(&Config::default(), &before), before);
        }

        #[test]
        fn rewriting_twice_removes_nothing_more(config in config(), before in result()) {
            let config = Config { add_routes: Vec::new(), ..config };
            let once = rewrite(&config, &before);
            prop_assert_eq!(rewrite(&config, &once), once);
        }

        #[test]
        fn the_gateway_goes_only_with_flushgateway(config in config(), before in result()) {
            let after = rewrite(&config, &before);
            prop_assert_eq!(after.ips[0].gateway.is_none(), config.flush_gateway);
            prop_assert_eq!(after.ips[0].address, before.ips[0].address);
        }

        #[test]
        fn a_flush_leaves_routes_of_addresses_and_link_local_ones(config in config(), dst in net(), is_of_address: bool) {
            let named = is_deleted(&config, dst);
            let is_kept = is_of_address || is_link_local(dst.addr());
            prop_assert_eq!(is_removed(&config, dst, is_of_address), named || (config.flush_routes && !is_kept));
        }
    }
}
