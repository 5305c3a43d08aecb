//! `sbr`, chained: packets from an interface's addresses are routed by tables of their own.
//!
//! Keys and tables as of the reference plugin (containernetworking/plugins, plugins/meta/sbr). The lock of the container is
//! held meanwhile, so no other interface of the pod takes the same table.

mod config;
mod plan;

use std::net::IpAddr;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};
use serde::{Deserialize, Serialize};

use self::config::Config;
use self::plan::{Source, default_route, leaves_main, sources, table};
use super::{Attached, Plugin, PluginCall};
use crate::netlink::{KernelRoute, Netlink, TABLE_MAIN};

/// The plugin.
pub(super) struct Sbr;

/// What an ADD is about to do.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    rules: Vec<Rule>,
}

/// The rule of one address.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    source: IpAddr,
    table: u32,
    /// The table is the address's own: its routes were in the main table before.
    is_own_table: bool,
    /// The next hop of a default route that was nowhere before.
    added_gateway: Option<IpAddr>,
}

impl Plugin for Sbr {
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate_config(call.config)
    }

    fn keys(&self) -> &'static [&'static str] {
        &["table", "gateways", "addSourceHints"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::of(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::of(call.config)?;
        let result = call.require_prev_result()?;
        let netlink = &call.sandbox()?.netlink;
        let link = call.require_link()?;
        let mut used = netlink.route_tables()?;
        used.extend(netlink.rules()?.iter().map(|rule| rule.table));
        let sources = sources(&config, result, call.ifname, &used);
        if sources.is_empty() {
            return Err(CniError::new(
                Code::InvalidConfig,
                format!("sbr: interface {} has no address to route by", call.ifname),
            )
            .because("the plugin before it gave none; add \"ipam\" to its config, or leave sbr out"));
        }
        let present = netlink.routes_in_table(link.index, TABLE_MAIN)?;
        let tables: Vec<_> =
            sources.iter().map(|source| table(&config, source, link.index, &present)).collect();
        let rule = |(source, routes): (&Source, &Vec<KernelRoute>)| {
            let is_added = |gateway: &IpAddr| {
                let added = default_route(link.index, *gateway, TABLE_MAIN);
                let same = |route: &KernelRoute| (route.dst, route.gateway) == (added.dst, added.gateway);
                routes.iter().any(same) && (config.table.is_some() || !present.iter().any(same))
            };
            let added_gateway = source.gateway.filter(is_added);
            let is_own_table = config.table.is_none();
            Rule { source: source.address.addr(), table: source.table, is_own_table, added_gateway }
        };
        let memory = Memory { rules: sources.iter().zip(&tables).map(rule).collect() };
        call.remember(&memory)?;
        let filled = tables.concat();
        // What no table took stays where it is; so do link-local routes, for addresses that no rule is for.
        let is_moved = |route: &&KernelRoute| {
            let same = |copy: &KernelRoute| (copy.dst, copy.gateway) == (route.dst, route.gateway);
            config.table.is_none() && leaves_main(route) && filled.iter().any(same)
        };
        let moved: Vec<&KernelRoute> = present.iter().filter(is_moved).collect();
        set_up(netlink, &memory, &filled, &moved)
            .map_err(|error| call.undone(error, take_down(call, netlink, &memory)))?;
        Ok(Attached { result: result.clone(), port: None })
    }

    fn check(&self, call: &PluginCall<'_>, _result: &CniResult) -> Result<(), CniError> {
        let Some(memory) = call.remembered::<Memory>()? else { return Ok(()) };
        let netlink = &call.sandbox()?.netlink;
        let link = call.require_link()?;
        let rules = netlink.rules()?;
        let differs = |what: String| {
            Err(CniError::new(Code::CheckFailed, what).because("it was removed since ADD; restart the pod"))
        };
        for rule in &memory.rules {
            if !rules.iter().any(|found| (found.source, found.table) == (Some(rule.source), rule.table)) {
                return differs(format!(
                    "sbr: the rule from {} to table {} is missing",
                    rule.source, rule.table
                ));
            }
            let Some(gateway) = rule.added_gateway else { continue };
            let routes = netlink.routes_in_table(link.index, rule.table)?;
            if !routes.iter().any(|route| route.dst.prefix_len() == 0 && route.gateway == Some(gateway)) {
                return differs(format!("sbr: table {} lacks the default route via {gateway}", rule.table));
            }
        }
        Ok(())
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        // With the namespace all of it went.
        let Some(sandbox) = call.sandbox else { return Ok(()) };
        match call.remembered::<Memory>()? {
            Some(memory) => take_down(call, &sandbox.netlink, &memory),
            None => forget_rules(call, &sandbox.netlink),
        }
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn gc(&self, _call: &PluginCall<'_>, _valid: &[(String, String)]) -> Result<(), CniError> {
        Ok(())
    }
}

/// Fills the tables, lets the rules lead to them, and only then empties the main table, so that no packet is without a route.
fn set_up(
    netlink: &Netlink,
    memory: &Memory,
    filled: &[KernelRoute],
    moved: &[&KernelRoute],
) -> Result<(), CniError> {
    for route in filled {
        netlink.put_route(route)?;
    }
    for rule in &memory.rules {
        netlink.add_source_rule(rule.source, rule.table)?;
    }
    for route in moved {
        netlink.take_route(route)?;
    }
    Ok(())
}

/// The reverse, as far as `set_up` came: what was in the main table is there again.
fn take_down(call: &PluginCall<'_>, netlink: &Netlink, memory: &Memory) -> Result<(), CniError> {
    let link = netlink.link_by_name(call.ifname)?;
    for rule in &memory.rules {
        if let Some(link) = &link {
            let mut routes = netlink.routes_in_table(link.index, rule.table)?;
            let is_added =
                |route: &KernelRoute| route.dst.prefix_len() == 0 && route.gateway == rule.added_gateway;
            routes.retain(|route| rule.is_own_table || (rule.added_gateway.is_some() && is_added(route)));
            // Those without a next hop first, as others need them.
            routes.sort_by_key(|route| route.gateway.is_some());
            for route in &routes {
                if !(rule.added_gateway.is_some() && is_added(route)) {
                    netlink.put_route(&route.clone().in_table(TABLE_MAIN))?;
                }
            }
            for route in &routes {
                netlink.take_route(route)?;
            }
        }
        netlink.delete_source_rule(rule.source, rule.table)?;
    }
    Ok(())
}

/// Without a record: the rules for the interface's addresses, as the reference plugin removes them.
fn forget_rules(call: &PluginCall<'_>, netlink: &Netlink) -> Result<(), CniError> {
    let Some(link) = netlink.link_by_name(call.ifname)? else { return Ok(()) };
    let addresses = netlink.addresses(link.index)?;
    for rule in netlink.rules()? {
        if let Some(source) = rule.source.filter(|source| addresses.iter().any(|own| own.addr() == *source)) {
            netlink.delete_source_rule(source, rule.table)?;
        }
    }
    Ok(())
}
