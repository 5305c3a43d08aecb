//! IPAM by DHCP, which asks on the interface itself: the interface is there, and up, before it is asked.

use std::path::Path;

use plexus_cni::result::Dns;
use plexus_cni::{CniError, Code, json};

use super::{Attached, PluginCall};
use crate::ipam::IpamResult;
use crate::ipam::dhcp::{self, Ask, Key, Wishes};
use crate::netlink::Link;

/// The IPAM type.
pub(super) const DHCP: &str = "dhcp";
/// Where the reference plugin's daemon listens, unless the config says otherwise.
const REFERENCE_SOCKET: &str = "/run/cni/dhcp.sock";

impl PluginCall<'_> {
    /// Whether the address is leased over the interface, by us or by the reference plugin.
    pub(super) fn leases(&self) -> bool {
        self.config.ipam_type() == Some(DHCP)
    }

    /// Whether we lease it; without the capabilities for it the reference plugin does.
    pub(super) fn leases_natively(&self) -> bool {
        self.leases() && dhcp::is_possible()
    }

    pub(super) fn lease_key(&self) -> Key {
        Key {
            container_id: self.container_id.to_owned(),
            network: self.network.to_owned(),
            ifname: self.ifname.to_owned(),
        }
    }

    /// As [`Self::attach_inside`], with a lease over the interface; on failure it is given back.
    pub(super) fn attach_leased(&self, link: &Link, dns: Dns) -> Result<Attached, CniError> {
        let ipam = self.lease(link)?;
        let attached =
            self.attach_with(link, ipam, dns).map_err(|error| self.undone(error, self.ipam_del()))?;
        // It was up before it had the address; a hardware address that is set makes the kernel announce it (arp_notify).
        if let Err(error) = self.sandbox()?.netlink.set_mac(link.index, link.mac) {
            tracing::debug!(ifname = self.ifname, %error, "the address is not announced");
        }
        Ok(attached)
    }

    /// Sets the interface up and leases its addresses over it.
    pub(super) fn lease(&self, link: &Link) -> Result<IpamResult, CniError> {
        if link.mac == [0; 6] {
            return Err(CniError::new(
                Code::InvalidConfig,
                format!("interface {} cannot be given an address by dhcp", self.ifname),
            )
            .because("it carries no Ethernet; use host-local or static"));
        }
        let sandbox = self.sandbox()?;
        sandbox.netlink.set_up(link.index)?;
        if !dhcp::is_possible() {
            return self.foreign_ipam_add();
        }
        self.agent.dhcp.acquire(Ask {
            key: self.lease_key(),
            netns_id: &sandbox.id,
            netns: self.netns()?,
            link: link.index,
            mac: link.mac,
            uplink: self.lease_uplink(link)?,
            wishes: Wishes::of(&self.ipam_request())?,
        })
    }

    /// Refuses dhcp, for a plugin that needs its addresses before it has an interface.
    pub(super) fn refuse_leases(&self) -> Result<(), CniError> {
        if !self.leases() {
            return Ok(());
        }
        let plugin = self.config.plugin_type();
        Err(CniError::new(Code::InvalidConfig, format!("{plugin} cannot be used with IPAM by dhcp"))
            .because("there is no interface over which a server could be asked; use host-local or static"))
    }

    /// The host's link that leads where the interface leads: the bridge, the parent, the untagged uplink.
    fn lease_uplink(&self, link: &Link) -> Result<Option<String>, CniError> {
        let config = &self.config.0;
        let is_inside = config.get("linkInContainer").and_then(serde_json::Value::as_bool) == Some(true);
        let Some(parent) = link.parent.filter(|_| !is_inside) else { return Ok(None) };
        let Some(parent) = self.host.link_by_index(parent)? else { return Ok(None) };
        if link.kind != "veth" {
            return Ok(Some(parent.name));
        }
        if let Some(bridge) = parent.controller {
            return Ok(self.host.link_by_index(bridge)?.map(|bridge| bridge.name));
        }
        let is_tagged = config.get("vlan").is_some_and(|vlan| *vlan != 0);
        let uplink = json::string(config, "uplink", self.config.plugin_type())?;
        Ok(uplink.filter(|_| !is_tagged).map(str::to_owned))
    }

    /// Gives a lease back while its interface is still there to say so; [`Self::ipam_del`] then finds nothing to do.
    pub fn give_back_lease(&self) {
        if self.leases()
            && let Err(error) = self.lease_del()
        {
            tracing::warn!(container = self.container_id, ifname = self.ifname, %error, "a lease is given back later");
        }
    }

    /// Releases the lease, whoever has it: one that is not ours is the reference plugin's.
    pub(super) fn lease_del(&self) -> Result<(), CniError> {
        if self.agent.dhcp.release(&self.lease_key(), self.sandbox)? {
            return Ok(());
        }
        if !dhcp::is_possible() {
            return self.ipam_exec("DEL").map(drop);
        }
        let section = self.config.0.get("ipam").and_then(serde_json::Value::as_object);
        let configured = section.and_then(|ipam| ipam.get("daemonSocketPath")?.as_str());
        let socket = configured.filter(|path| !path.is_empty()).unwrap_or(REFERENCE_SOCKET);
        if Path::new(socket).exists()
            && let Err(error) = self.ipam_exec("DEL")
        {
            tracing::debug!(ifname = self.ifname, %error, "the reference plugin's daemon may still hold a lease");
        }
        Ok(())
    }
}
