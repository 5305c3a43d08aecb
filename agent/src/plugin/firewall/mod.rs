//! `firewall`, chained: lets a container's packets pass where the host forwards nothing, and isolates bridges.
//!
//! Keys as of the reference plugin (containernetworking/plugins, plugins/meta/firewall), whose iptables rules are rules of
//! nftables here. Where firewalld rules, the binary is executed.

mod config;

use std::net::IpAddr;

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};
use serde::{Deserialize, Serialize};

use self::config::{Config, needs_firewalld};
use super::{Attached, Plugin, PluginCall};
use crate::delegate::{ExecCall, is_without_effect, result_of};
use crate::nft::{self, NftError};

/// Tables that the old iptables of the kernel has in this namespace.
const LEGACY_TABLES: &str = "/proc/self/net/ip_tables_names";

/// The plugin.
pub(super) struct Firewall;

/// What is written down at ADD.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The binary did it, because firewalld was there.
    was_executed: bool,
}

impl Plugin for Firewall {
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn serves(&self, config: &PluginConfig) -> bool {
        !needs_firewalld(config)
    }

    fn keys(&self) -> &'static [&'static str] {
        config::KEYS
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate_config(call.config)
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::read(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let result = call.require_prev_result()?;
        let config = Config::read(call.config)?;
        if config.leaves_backend_open() && nft::is_firewalld_there()? {
            call.remember(&Note { was_executed: true })?;
            let printed = execute(call, "ADD");
            let result = printed.and_then(|printed| result_of("firewall", &printed)).map_err(|error| {
                let undone = if is_without_effect(&error) { Ok(()) } else { execute(call, "DEL").map(drop) };
                call.undone(error, undone)
            })?;
            return Ok(Attached { result, port: None });
        }
        let addresses = addresses(call, result);
        let owner = |chain: &str| call.owner_of(|id, ifname| nft::Firewall::is_chain_of(chain, id, ifname));
        rules(call, &config, result, &addresses)?
            .install(&owner)
            .map_err(|error| CniError::from(error).within(format!("firewall: rules for {}", call.ifname)))?;
        if std::fs::read_to_string(LEGACY_TABLES)
            .is_ok_and(|tables| tables.lines().any(|table| table == "filter"))
        {
            call.lacks(
                "a way through the rules of iptables-legacy: only those of iptables-nft are opened for it",
            );
        }
        Ok(Attached { result: result.clone(), port: None })
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        if was_executed(call)? {
            return execute(call, "CHECK").map(drop);
        }
        let config = Config::read(call.config)?;
        let addresses = addresses(call, result);
        if rules(call, &config, result, &addresses)?.is_installed()? {
            return Ok(());
        }
        Err(CniError::new(Code::CheckFailed, format!("interface {} has no firewall rules", call.ifname))
            .because("something changed them in table plexus-firewall of nftables, or took the jump to PLEXUS-FORWARD from the host's filter; restart the pod"))
    }

    /// From the names alone where the rest is not known (any more).
    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        if was_executed(call)? {
            return execute(call, "DEL").map(drop);
        }
        let addresses = call.prev_result.map(|result| addresses(call, result)).unwrap_or_default();
        let config = Config::read(call.config).ok();
        let known = config.as_ref().zip(call.prev_result);
        let ingress = known.and_then(|(config, result)| config.ingress(result).ok());
        let rules = nft::Firewall {
            container_id: call.container_id,
            ifname: call.ifname,
            network: call.network,
            addresses: &addresses,
            ingress: ingress.unwrap_or(nft::IngressPolicy::Unknown),
            admin_chain: "",
        };
        match rules.remove() {
            // Where nft never was, no rule was made.
            Err(NftError::Start(_)) if call.prev_result.is_none() => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        let keeps = |chain: &str| {
            valid.iter().any(|(id, ifname)| nft::Firewall::is_chain_of(chain, id, ifname))
                || call.owner_of(|id, ifname| nft::Firewall::is_chain_of(chain, id, ifname)).is_some()
        };
        Ok(nft::Firewall::collect(call.network, &keeps)?)
    }
}

fn rules<'a>(
    call: &PluginCall<'a>,
    config: &'a Config,
    result: &'a CniResult,
    addresses: &'a [IpAddr],
) -> Result<nft::Firewall<'a>, CniError> {
    Ok(nft::Firewall {
        container_id: call.container_id,
        ifname: call.ifname,
        network: call.network,
        addresses,
        ingress: config.ingress(result)?,
        admin_chain: config.admin_chain(),
    })
}

fn addresses(call: &PluginCall<'_>, result: &CniResult) -> Vec<IpAddr> {
    call.addresses_in(result).iter().map(ipnet::IpNet::addr).collect()
}

fn was_executed(call: &PluginCall<'_>) -> Result<bool, CniError> {
    Ok(call.remembered::<Note>()?.is_some_and(|note| note.was_executed))
}

/// The binary, which knows firewalld.
fn execute(call: &PluginCall<'_>, command: &'static str) -> Result<serde_json::Value, CniError> {
    call.delegates.exec(&ExecCall {
        command,
        plugin: "firewall",
        container_id: call.container_id,
        netns: call.sandbox.map(|sandbox| &*sandbox.id.path),
        ifname: call.ifname,
        args: call.args_text,
        path: call.path,
        config: &call.config.0,
    })
}
