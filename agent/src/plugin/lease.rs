//! IPAM by DHCP, which asks on the interface itself: the interface is there, and up, before it is asked.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use plexus_cni::result::Dns;
use plexus_cni::{CniError, Code, json};
use serde_json::Value;

use super::{Attached, PluginCall};
use crate::ipam::IpamResult;
use crate::ipam::dhcp::{self, Ask, Family, Key, Wishes};
use crate::netlink::Link;

/// The IPAM type.
pub(super) const DHCP: &str = "dhcp";
/// Where the reference plugin's daemon listens, unless the config says otherwise.
const REFERENCE_SOCKET: &str = "/run/cni/dhcp.sock";
/// So long the kernel has to give the interface its link-local address.
const LINK_LOCAL_WAIT: Duration = Duration::from_secs(2);
const LINK_LOCAL_PAUSE: Duration = Duration::from_millis(20);

impl PluginCall<'_> {
    /// Whether the address is leased over the interface, by us or by the reference plugin.
    pub(super) fn leases(&self) -> bool {
        self.config.ipam_type() == Some(DHCP)
    }

    /// Whether we lease it; without the capabilities for it the reference plugin does.
    pub(super) fn leases_natively(&self) -> bool {
        self.leases() && dhcp::is_possible()
    }

    fn lease_key(&self, family: Family) -> Key {
        Key {
            container_id: self.container_id.to_owned(),
            network: self.network.to_owned(),
            ifname: self.ifname.to_owned(),
            family,
        }
    }

    /// Refuses what we cannot ask for; what the reference plugin is executed for it judges itself.
    pub(super) fn lease_validate(&self) -> Result<(), CniError> {
        let wishes = Wishes::of(&self.ipam_request());
        if dhcp::is_possible() {
            return wishes.map(drop);
        }
        if wishes.is_ok_and(|wishes| wishes.families.contains(&Family::Ipv6)) {
            return Err(CniError::new(Code::UnsupportedField, "dhcp: ipam.plexus.families names ipv6")
                .because("the dhcp binary, which is executed here, leases IPv4 only; give plexusd CAP_SYS_ADMIN and CAP_NET_RAW"));
        }
        Ok(())
    }

    /// Compares the leases with the result of ADD.
    pub(super) fn lease_check(&self) -> Result<(), CniError> {
        let families = Wishes::of(&self.ipam_request())?.families;
        families
            .into_iter()
            .try_for_each(|family| self.agent.dhcp.check(&self.lease_key(family), self.prev_result))
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
        let wishes = Wishes::of(&self.ipam_request())?;
        let mut leased = IpamResult::default();
        for (at, family) in wishes.families.iter().enumerate() {
            match self.lease_of(*family, link, &wishes) {
                Ok(more) => join(&mut leased, more),
                Err(error) => {
                    let release = |family: &Family| {
                        self.agent.dhcp.release(&self.lease_key(*family), self.sandbox).map(drop)
                    };
                    return Err(self.undone(error, wishes.families.iter().take(at).try_for_each(release)));
                }
            }
        }
        Ok(leased)
    }

    fn lease_of(&self, family: Family, link: &Link, wishes: &Wishes) -> Result<IpamResult, CniError> {
        let sandbox = self.sandbox()?;
        let source = match family {
            Family::Ipv4 => None,
            Family::Ipv6 => Some(self.link_local(link)?),
        };
        self.agent.dhcp.acquire(Ask {
            key: self.lease_key(family),
            netns_id: &sandbox.id,
            netns: self.netns()?,
            link: link.index,
            mac: link.mac,
            uplink: self.lease_uplink(link)?,
            wishes: wishes.clone(),
            source,
        })
    }

    /// The interface's link-local address, which the kernel gives it when its carrier comes.
    fn link_local(&self, link: &Link) -> Result<Ipv6Addr, CniError> {
        let until = Instant::now() + LINK_LOCAL_WAIT;
        loop {
            let addresses = self.sandbox()?.netlink.addresses(link.index)?;
            let found = addresses.iter().find_map(|address| match address.addr() {
                IpAddr::V6(address) if address.is_unicast_link_local() => Some(address),
                _ => None,
            });
            if let Some(found) = found {
                return Ok(found);
            }
            if Instant::now() >= until {
                return Err(CniError::new(
                    Code::Kernel,
                    format!(
                        "dhcp: interface {} has no link-local address, which IPv6 leases need",
                        self.ifname
                    ),
                )
                .because("IPv6 is switched off in the pod, or the interface's parent has no carrier"));
            }
            std::thread::sleep(LINK_LOCAL_PAUSE);
        }
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
        let is_inside = config.get("linkInContainer").and_then(Value::as_bool) == Some(true);
        let Some(parent) = link.parent.filter(|_| !is_inside) else { return Ok(None) };
        let Some(parent) = self.host.link_by_index(parent)? else { return Ok(None) };
        if !link.is_paired() {
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

    /// Releases the leases, whoever has them: one that is not ours is the reference plugin's.
    pub(super) fn lease_del(&self) -> Result<(), CniError> {
        let release = |family| self.agent.dhcp.release(&self.lease_key(family), self.sandbox);
        let (of_v4, of_v6) = (release(Family::Ipv4), release(Family::Ipv6));
        if of_v4? | of_v6? {
            return Ok(());
        }
        if !dhcp::is_possible() {
            return self.ipam_exec("DEL").map(drop);
        }
        let section = self.config.0.get("ipam").and_then(Value::as_object);
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

/// Addresses, routes and name servers of one more family.
fn join(all: &mut IpamResult, more: IpamResult) {
    all.ips.extend(more.ips);
    all.routes.extend(more.routes);
    for (key, value) in more.dns.0 {
        match (all.dns.0.get_mut(&key), value) {
            (Some(Value::Array(known)), Value::Array(new)) => {
                let new: Vec<Value> = new.into_iter().filter(|value| !known.contains(value)).collect();
                known.extend(new);
            }
            (Some(_), _) => {}
            (None, value) => {
                all.dns.0.insert(key, value);
            }
        }
    }
}
