//! Who gets a broadcast: the ports of each VLAN of each network.

use plexus_abi::{Members, MembersKey};

use super::{Inner, error::Result};

impl Inner {
    /// The ports of a broadcast domain.
    pub(super) fn members(&self, network: u32, vlan: u16) -> Result<Vec<u32>> {
        let members = self.maps.members.get(&MembersKey { network, vlan, reserved: 0 })?;
        Ok(members.map_or_else(Vec::new, |members| {
            members.ports.iter().take(members.count as usize).copied().collect()
        }))
    }

    pub(super) fn join(&mut self, id: u32, network: u32, vlan: u16) -> Result<()> {
        let mut ports = self.members(network, vlan)?;
        if ports.contains(&id) {
            return Ok(());
        }
        ports.push(id);
        self.set_members(network, vlan, &ports)
    }

    pub(super) fn leave(&mut self, id: u32, network: u32, vlan: u16) -> Result<()> {
        let mut ports = self.members(network, vlan)?;
        ports.retain(|member| *member != id);
        self.set_members(network, vlan, &ports)
    }

    fn set_members(&mut self, network: u32, vlan: u16, ports: &[u32]) -> Result<()> {
        let key = MembersKey { network, vlan, reserved: 0 };
        if ports.is_empty() {
            return self.maps.members.remove(&key);
        }
        let mut members = Members::ZERO;
        for (slot, port) in members.ports.iter_mut().zip(ports) {
            *slot = *port;
            members.count += 1;
        }
        self.maps.members.set(&key, &members)
    }
}
