//! `route-override`, chained: takes routes from an interface and gives it others.
//!
//! Keys and order as of the plugin of that name (openshift/route-override-cni); differences stand in docs/plugins.md.

mod bound;
mod config;
mod dataplane;
mod rewrite;
mod wish;

use plexus_cni::config::PluginConfig;
use plexus_cni::result::Route;
use plexus_cni::{CniError, CniResult, Code};

pub use self::bound::{BoundRoutes, RouteDevice, restore_routes};
use self::config::Config;
use self::rewrite::{is_deleted, is_removed, rewrite};
use self::wish::Wish;
pub(super) use self::wish::{FROM, ROUTES};
use super::address::with_gateway;
use super::{Attached, Plugin, PluginCall};
use crate::netlink::{KernelRoute, Netlink, TABLE_MAIN};
use crate::record::PortRecord;

/// The plugin.
pub(super) struct RouteOverride;

impl Plugin for RouteOverride {
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate_config(call.config)?;
        if Config::of(call.config)?.dataplane { dataplane::validate(call) } else { Ok(()) }
    }

    fn keys(&self) -> &'static [&'static str] {
        &["flushroutes", "flushgateway", "delroutes", "addroutes", "skipcheck", "dataplane"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        let keys = Config::of(config)?;
        if keys.dataplane {
            return Wish::of(config, &keys, &[]).map(drop);
        }
        match [ROUTES, FROM].into_iter().find(|key| has_option(config, key)) {
            None => Ok(()),
            Some(key) => Err(CniError::new(
                Code::UnsupportedField,
                format!("route-override: key \"plexus.{key}\" is for the data plane"),
            )
            .because("add \"dataplane\": true, or remove it")),
        }
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let whole = Config::of(call.config)?;
        let config = whole.of_kernel();
        let before = call.require_prev_result()?;
        let result = rewrite(&config, before);
        let netlink = &call.sandbox()?.netlink;
        let links = call.container_links(before)?;
        let mut change = Change::default();
        let mut kept = Vec::new();
        for link in &links {
            for route in netlink.routes_in_table(link.index, TABLE_MAIN)? {
                let goes = is_removed(&config, route.dst, route.is_of_address);
                if goes { change.removed.push(route) } else { kept.push(route) }
            }
        }
        let link = links.first().ok_or_else(no_link)?;
        change.link = link.index;
        let added = config.add_routes.iter().map(|route| with_gateway(route, &result.ips));
        let is_kept = |route: &Route| {
            kept.iter()
                .any(|kept| (kept.link, kept.dst, kept.gateway) == (link.index, route.dst.trunc(), route.gw))
        };
        change.added = added.filter(|route| !is_kept(route)).collect();
        change.make(netlink).map_err(|error| call.undone(error, change.unmake(netlink)))?;
        let port = if whole.dataplane {
            dataplane::apply(call, &whole, &result).map_err(|error| {
                call.undone(error, dataplane::clear(call).and_then(|()| change.unmake(netlink)))
            })?
        } else {
            None
        };
        Ok(Attached { result, port })
    }

    fn live_keys(&self, config: &PluginConfig) -> &'static [&'static str] {
        if Config::of(config).is_ok_and(|keys| keys.dataplane) {
            &["addroutes", "delroutes", "plexus"]
        } else {
            &[]
        }
    }

    fn change(&self, call: &PluginCall<'_>) -> Result<Option<PortRecord>, CniError> {
        dataplane::apply(call, &Config::of(call.config)?, call.require_prev_result()?)
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let config = Config::of(call.config)?;
        if config.skip_check {
            return Ok(());
        }
        if config.dataplane {
            dataplane::check(call)?;
        }
        let config = config.of_kernel();
        let netlink = &call.sandbox()?.netlink;
        let mut present = Vec::new();
        for link in call.container_links(result)? {
            present.extend(netlink.routes(link.index)?);
        }
        let differs = |what: String| {
            Err(CniError::new(Code::CheckFailed, what)
                .because("a route was changed since ADD; restart the pod, or set \"skipcheck\""))
        };
        for route in &config.add_routes {
            let wanted = with_gateway(route, &result.ips);
            let is_there =
                present.iter().any(|found| found.dst == wanted.dst.trunc() && found.gw == wanted.gw);
            // A later plugin of the chain may have taken it out of the result.
            if result.routes.contains(route) && !is_there {
                return differs(format!("interface {} lacks route {}", call.ifname, route.dst));
            }
        }
        let is_listed = |dst| result.routes.iter().any(|route| route.dst.trunc() == dst);
        match present.iter().find(|found| is_deleted(&config, found.dst) && !is_listed(found.dst)) {
            Some(found) => differs(format!("interface {} has route {} again", call.ifname, found.dst)),
            None => Ok(()),
        }
    }

    /// Of the kernel's routes nothing: they end with the interface, as in the reference.
    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        if Config::of(call.config).is_ok_and(|keys| keys.dataplane) { dataplane::clear(call) } else { Ok(()) }
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}

/// What an ADD does to the kernel's routes.
#[derive(Default)]
struct Change {
    removed: Vec<KernelRoute>,
    /// Over `link`.
    added: Vec<Route>,
    /// The first link of the container.
    link: u32,
}

impl Change {
    fn make(&self, netlink: &Netlink) -> Result<(), CniError> {
        for route in &self.removed {
            netlink.take_route(route)?;
        }
        for route in &self.added {
            netlink.add_route(self.link, route)?;
        }
        Ok(())
    }

    /// The reverse, as far as `make` came.
    fn unmake(&self, netlink: &Netlink) -> Result<(), CniError> {
        for route in &self.added {
            netlink.delete_route(self.link, route)?;
        }
        for route in &self.removed {
            netlink.put_route(route)?;
        }
        Ok(())
    }
}

fn has_option(config: &PluginConfig, key: &str) -> bool {
    config.0.get("plexus").and_then(|options| options.get(key)).is_some_and(|value| !value.is_null())
}

fn no_link() -> CniError {
    CniError::new(Code::InvalidConfig, "route-override: there is no interface to change routes of")
        .because("none of the interfaces in prevResult is in the container")
}
