//! Addresses of ports on networks that route.

use plexus_abi::{FdbEntry, HostKey, KIND_FASTPATH, NETWORK_ROUTES, PortConfig};

use super::{
    Inner,
    error::{DatapathError, Result},
};

impl Inner {
    /// Whether a network forwards by address.
    pub(super) fn routes(&self, network: u32) -> Result<bool> {
        let config = self.maps.networks.get(&network)?;
        Ok(config.is_some_and(|config| config.flags & NETWORK_ROUTES != 0))
    }

    /// Refuses an address that another port of the network has.
    pub(super) fn check_hosts(&self, id: u32, config: &PortConfig) -> Result<()> {
        for key in self.hosts_of(config)? {
            if let Some(entry) = self.maps.hosts.get(&key)?.filter(|entry| entry.port != id) {
                let reason = format!(
                    "port {} of network {} has address {} already; use another",
                    entry.port,
                    key.network,
                    key.address.to_ip()
                );
                return Err(DatapathError::Port { port: id, reason });
            }
        }
        Ok(())
    }

    /// Makes the network lead to the port's addresses.
    pub(super) fn publish_hosts(&mut self, id: u32, config: &PortConfig) -> Result<()> {
        self.hosts_of(config)?
            .iter()
            .try_for_each(|key| self.maps.hosts.set(key, &FdbEntry { port: id, ..FdbEntry::ZERO }))
    }

    /// Undoes [`Inner::publish_hosts`].
    pub(super) fn withdraw_hosts(&mut self, id: u32, config: &PortConfig) -> Result<()> {
        for key in self.hosts_of(config)? {
            if self.maps.hosts.get(&key)?.is_some_and(|entry| entry.port == id) {
                self.maps.hosts.remove(&key)?;
            }
        }
        Ok(())
    }

    /// Whether the network leads to all of the port's addresses.
    pub(super) fn leads_to_hosts(&self, id: u32, config: &PortConfig) -> Result<bool> {
        for key in self.hosts_of(config)? {
            if self.maps.hosts.get(&key)?.is_none_or(|entry| entry.port != id) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The keys of a port's addresses; none unless its network routes.
    fn hosts_of(&self, config: &PortConfig) -> Result<Vec<HostKey>> {
        if config.kind != KIND_FASTPATH || !self.routes(config.network)? {
            return Ok(Vec::new());
        }
        let addresses = config.addresses.iter().take(config.address_count as usize);
        Ok(addresses
            .map(|address| HostKey { address: *address, network: config.network, reserved: 0 })
            .collect())
    }
}
