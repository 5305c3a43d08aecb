//! `ipMasq`: what leaves the subnets of an attachment's addresses gets an address of the host.

use ipnet::IpNet;
use plexus_cni::config::PluginConfig;
use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, Code};
use serde_json::Value;

use super::PluginCall;
use super::undo::Undo;
use crate::nft::Masquerade;

/// Refuses a value of `ipMasqBackend` that no plugin knows; ours is nftables either way.
pub(super) fn check_backend(plugin: &str, backend: &str) -> Result<(), CniError> {
    if matches!(backend, "" | "iptables" | "nftables") {
        return Ok(());
    }
    Err(CniError::new(Code::InvalidConfig, format!("{plugin}: key \"ipMasqBackend\" is {backend}"))
        .because("it must be iptables or nftables"))
}

/// Whether the config asks for something that is off by default.
pub(super) fn is_on(config: &PluginConfig, key: &str) -> bool {
    config.0.get(key).and_then(Value::as_bool).unwrap_or(false)
}

impl PluginCall<'_> {
    /// Translates what leaves the subnets.
    pub(super) fn masquerade<'a>(&'a self, ips: &[IpConfig], undo: &mut Undo<'a>) -> Result<(), CniError> {
        undo.push(|| self.remove_masquerade(&[]));
        Ok(self.masquerade_of(&addresses(ips)).install()?)
    }

    /// Removes the rules if the config may have made some; the rest of it need not be valid (any more).
    pub(super) fn unmasquerade(&self) -> Result<(), CniError> {
        if !is_on(self.config, "ipMasq") {
            return Ok(());
        }
        let known = self.prev_result.map(|result| addresses(&result.ips)).unwrap_or_default();
        self.remove_masquerade(&known)
    }

    /// Whether the rules for these addresses are there.
    pub(super) fn is_masqueraded(&self, ips: &[IpConfig]) -> Result<bool, CniError> {
        Ok(ips.is_empty() || self.masquerade_of(&addresses(ips)).is_installed()?)
    }

    fn remove_masquerade(&self, addresses: &[IpNet]) -> Result<(), CniError> {
        Ok(self.masquerade_of(addresses).remove()?)
    }

    fn masquerade_of<'a>(&'a self, addresses: &'a [IpNet]) -> Masquerade<'a> {
        Masquerade { container_id: self.container_id, ifname: self.ifname, addresses }
    }
}

/// The addresses alone.
fn addresses(ips: &[IpConfig]) -> Vec<IpNet> {
    ips.iter().map(|ip| ip.address).collect()
}
