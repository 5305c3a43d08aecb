//! `portmap`, chained: ports of the host that lead to the container.
//!
//! Keys as of the reference plugin (containernetworking/plugins, plugins/meta/portmap), whose iptables rules are rules of
//! nftables here, whatever `backend` says. What needs arguments for iptables is left to the binary.

mod config;
mod localhost;

use std::net::IpAddr;

use ipnet::IpNet;
use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};

use self::config::{Config, needs_iptables, wrong};
use super::{Attached, Plugin, PluginCall};
use crate::conntrack;
use crate::nft::{HostPort, HostPorts, NftError, Protocol, Translation};

/// The plugin.
pub(super) struct Portmap;

/// What one attachment asks for.
#[derive(Default)]
struct Wanted {
    config: Config,
    ports: Vec<HostPort>,
    addresses: Vec<IpNet>,
}

impl Wanted {
    fn of(call: &PluginCall<'_>, result: Option<&CniResult>) -> Result<Self, CniError> {
        let ports = config::ports(call)?;
        let addresses =
            result.map(|result| first_of_each_family(&call.addresses_in(result))).unwrap_or_default();
        Ok(Self { config: Config::read(call.config)?, ports, addresses })
    }

    fn rules<'a>(&'a self, call: &PluginCall<'a>) -> HostPorts<'a> {
        HostPorts {
            container_id: call.container_id,
            ifname: call.ifname,
            network: call.network,
            addresses: &self.addresses,
            ports: &self.ports,
            translation: self.config.translation(),
            mark_bit: self.config.mark_bit(),
        }
    }

    /// A port for which the container has no address would be opened for nobody.
    fn refuse_other_families(&self) -> Result<(), CniError> {
        let is_served = |port: &&HostPort| self.addresses.iter().any(|address| port.is_of(address.addr()));
        match self.ports.iter().find(|port| !is_served(port)) {
            None => Ok(()),
            Some(port) => {
                let at = port.host_ip.map_or("any address".to_owned(), |ip| ip.to_string());
                let what = format!("{} {at}", port.host_port);
                Err(wrong(
                    "runtimeConfig.portMappings",
                    what,
                    "the container has no address of that family; add one by \"ipam\", or correct hostIP",
                ))
            }
        }
    }

    /// Connections that were begun before the rules were there would not see them. For information only, as with the
    /// reference: a port that works for new peers only is better than no pod.
    fn forget_connections(&self) {
        for address in &self.addresses {
            let udp = self.ports.iter().filter(|port| port.protocol == Protocol::Udp);
            for port in udp.filter(|port| port.is_of(address.addr())) {
                if let Err(error) = conntrack::forget_udp(address.addr(), port.host_port) {
                    tracing::warn!(port = port.host_port, %error, "old UDP connections to this port of the host stay as they are");
                }
            }
        }
    }
}

impl Plugin for Portmap {
    fn creates_interface(&self) -> bool {
        false
    }

    fn needs_port(&self) -> bool {
        false
    }

    fn serves(&self, config: &PluginConfig) -> bool {
        !needs_iptables(config)
    }

    fn keys(&self) -> &'static [&'static str] {
        config::KEYS
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        Config::read(call.config)?;
        config::ports(call).map(drop)
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::read(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let result = call.require_prev_result()?;
        let wanted = Wanted::of(call, Some(result))?;
        if !wanted.ports.is_empty() {
            wanted.refuse_other_families()?;
            let owner = |chain: &str| call.owner_of(|id, ifname| HostPorts::is_chain_of(chain, id, ifname));
            wanted.rules(call).install(&owner).map_err(|error| {
                CniError::from(error).within(format!("portmap: ports of the host for {}", call.ifname))
            })?;
            if wanted.config.translation() != Translation::None {
                localhost::open(call, result, &wanted.ports, &wanted.addresses);
            }
            wanted.forget_connections();
        }
        Ok(Attached { result: result.clone(), port: None })
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let wanted = Wanted::of(call, Some(result))?;
        if wanted.ports.is_empty() || wanted.rules(call).is_installed()? {
            return Ok(());
        }
        Err(CniError::new(Code::CheckFailed, format!("interface {} has no portmap rules", call.ifname))
            .because("something changed them in table plexus-hostport of nftables; restart the pod"))
    }

    /// From the names alone where the config is not valid (any more).
    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let known = Wanted::of(call, call.prev_result).unwrap_or_default();
        if known.ports.is_empty() && call.prev_result.is_some() {
            return Ok(());
        }
        match known.rules(call).remove() {
            // Where nft never was, no port was opened.
            Err(NftError::Start(_)) if known.ports.is_empty() => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        let keeps = |chain: &str| {
            valid.iter().any(|(id, ifname)| HostPorts::is_chain_of(chain, id, ifname))
                || call.owner_of(|id, ifname| HostPorts::is_chain_of(chain, id, ifname)).is_some()
        };
        Ok(HostPorts::collect(call.network, &keeps)?)
    }
}

fn first_of_each_family(addresses: &[IpNet]) -> Vec<IpNet> {
    let first = |is_ipv4: bool| addresses.iter().find(|address| address.addr().is_ipv4() == is_ipv4).copied();
    [first(true), first(false)].into_iter().flatten().collect()
}

/// Whether connections to 127.0.0.1 come to it.
fn is_at_localhost(port: &HostPort) -> bool {
    port.host_ip.is_none_or(|ip| match ip {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_loopback(),
        IpAddr::V6(_) => false,
    })
}
