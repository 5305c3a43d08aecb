//! What `firewall` is asked for.

use plexus_cni::config::PluginConfig;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use crate::nft::IngressPolicy;

/// Keys of the config.
pub(super) const KEYS: &[&str] = &["backend", "iptablesAdminChainName", "firewalldZone", "ingressPolicy"];
/// The administrator's chain, as the reference plugin names it.
const ADMIN_CHAIN_DEFAULT: &str = "CNI-ADMIN";
/// Longest name of a chain that iptables takes, in bytes.
const CHAIN_BYTES_MAX: usize = 28;

/// The config.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(default)]
    backend: String,
    #[serde(default)]
    iptables_admin_chain_name: String,
    #[serde(default)]
    ingress_policy: String,
}

impl Config {
    /// Reads and checks the config.
    pub(super) fn read(config: &PluginConfig) -> Result<Self, CniError> {
        let config: Self = config.typed()?;
        if !matches!(&*config.backend, "" | "iptables" | "nftables" | "firewalld") {
            return Err(wrong("backend", &config.backend, "it must be iptables, nftables or firewalld"));
        }
        if !matches!(&*config.ingress_policy, "" | "open" | "same-bridge" | "isolated") {
            return Err(wrong(
                "ingressPolicy",
                &config.ingress_policy,
                "it must be open, same-bridge or isolated",
            ));
        }
        let chain = &config.iptables_admin_chain_name;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let starts_well = chain.bytes().next().is_none_or(|byte| byte.is_ascii_alphabetic());
        if chain.len() > CHAIN_BYTES_MAX || !chain.bytes().all(is_plain) || !starts_well {
            return Err(wrong(
                "iptablesAdminChainName",
                chain,
                "it must be at most 28 letters, digits, '-' and '_', a letter first",
            ));
        }
        Ok(config)
    }

    /// Nobody says which backend: the reference plugin then takes firewalld where it runs.
    pub(super) fn leaves_backend_open(&self) -> bool {
        self.backend.is_empty()
    }

    /// The administrator's chain.
    pub(super) fn admin_chain(&self) -> &str {
        if self.iptables_admin_chain_name.is_empty() {
            ADMIN_CHAIN_DEFAULT
        } else {
            &self.iptables_admin_chain_name
        }
    }

    /// Whether a policy needs a bridge.
    pub(super) fn isolates(&self) -> bool {
        matches!(&*self.ingress_policy, "same-bridge" | "isolated")
    }

    /// The policy, with the bridge and the port on it that the main plugin made: they come first in its result.
    pub(super) fn ingress<'a>(&self, result: &'a CniResult) -> Result<IngressPolicy<'a>, CniError> {
        if !self.isolates() {
            return Ok(IngressPolicy::Open);
        }
        let mut of_host = result.interfaces.iter().filter(|interface| interface.sandbox.is_none());
        let (Some(bridge), Some(port)) = (of_host.next(), of_host.next()) else {
            return Err(wrong(
                "ingressPolicy",
                &self.ingress_policy,
                "the interface is not on a bridge of this host; put \"bridge\" before it, or remove the key",
            ));
        };
        let (bridge, port) = (writable(&bridge.name)?, writable(&port.name)?);
        Ok(match &*self.ingress_policy {
            "isolated" => IngressPolicy::Isolated { bridge, port },
            _ => IngressPolicy::SameBridge { bridge },
        })
    }
}

/// Whether only the binary can do what the config says.
pub(super) fn needs_firewalld(config: &PluginConfig) -> bool {
    config.0.get("backend").and_then(|backend| backend.as_str()) == Some("firewalld")
}

/// A name that means itself in a rule.
fn writable(name: &str) -> Result<&str, CniError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    if !name.is_empty() && name.bytes().all(is_plain) {
        return Ok(name);
    }
    Err(CniError::new(Code::InvalidConfig, format!("firewall: interface {name:?} cannot be named in a rule"))
        .because("use letters, digits, '.', '-', '_' and '@' only"))
}

fn wrong(key: &str, value: &str, why: &str) -> CniError {
    CniError::new(Code::InvalidConfig, format!("firewall: key {key:?} is {value:?}")).because(why.to_owned())
}

#[cfg(test)]
mod tests {
    use plexus_cni::result::Interface;
    use serde_json::{Value, json};

    use super::*;

    fn read(keys: &Value) -> Result<Config, CniError> {
        Config::read(&PluginConfig(keys.as_object().unwrap().clone()))
    }

    #[test]
    fn keys_hold_what_the_reference_plugin_knows() {
        assert_eq!(read(&json!({})).unwrap().admin_chain(), "CNI-ADMIN");
        assert_eq!(read(&json!({"iptablesAdminChainName": "OURS"})).unwrap().admin_chain(), "OURS");
        for refused in [
            json!({"backend": "pf"}),
            json!({"ingressPolicy": "closed"}),
            json!({"iptablesAdminChainName": "A; flush ruleset"}),
            json!({"iptablesAdminChainName": "-A"}),
        ] {
            assert!(read(&refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_policy_takes_the_bridge_from_the_result_and_needs_one() {
        let interface = |name: &str, sandbox: Option<&str>| Interface {
            name: name.into(),
            sandbox: sandbox.map(str::to_owned),
            ..Interface::default()
        };
        let on_bridge = CniResult {
            interfaces: vec![interface("br0", None), interface("veth1", None), interface("net1", Some("/n"))],
            ..CniResult::default()
        };
        let isolated = read(&json!({"ingressPolicy": "isolated"})).unwrap();
        let expected = IngressPolicy::Isolated { bridge: "br0", port: "veth1" };
        assert_eq!(isolated.ingress(&on_bridge).unwrap(), expected);
        let alone = CniResult { interfaces: vec![interface("net1", Some("/n"))], ..CniResult::default() };
        assert!(isolated.ingress(&alone).is_err());
        assert_eq!(read(&json!({})).unwrap().ingress(&alone).unwrap(), IngressPolicy::Open);
        let hostile = CniResult {
            interfaces: vec![interface("b\"*", None), interface("v", None)],
            ..CniResult::default()
        };
        assert!(isolated.ingress(&hostile).is_err());
    }
}
