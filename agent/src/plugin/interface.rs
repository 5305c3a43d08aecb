//! What main plugins have in common: the device in the pod becomes an interface with addresses, a port and a result.

use plexus_abi::PORT_IFINDEX_BASE;
use plexus_cni::result::{Dns, Interface, IpConfig};
use plexus_cni::{CniError, CniResult, Code};

use super::call::format_mac;
use super::{Attached, PluginCall};
use crate::ipam::IpamResult;
use crate::netlink::{Link, LinkPlan};
use crate::record::{PortKind, PortRecord};

impl PluginCall<'_> {
    /// The port id that is reserved for the interface.
    pub(super) fn reserved_port(&self) -> Result<u32, CniError> {
        self.port_id.ok_or_else(|| {
            let plugin = self.config.plugin_type();
            CniError::new(Code::Internal, format!("{plugin}: no port was reserved for the interface"))
        })
    }

    /// The index that the interface gets: the port's, by which DEL and the data plane know it.
    pub(super) fn port_ifindex(&self) -> Option<u32> {
        self.port_id.map(|id| PORT_IFINDEX_BASE + id)
    }

    /// A plan for the interface, under its final name and index; `mtu` 0 leaves it to the kernel.
    pub(super) fn link_plan(&self, mtu: u32) -> LinkPlan<'_> {
        LinkPlan {
            name: self.ifname,
            index: self.port_ifindex(),
            mtu: Some(mtu).filter(|mtu| *mtu != 0),
            ..LinkPlan::default()
        }
    }

    /// IPAM, the device by `create`, then [`Self::attach_inside`]; on failure all of it is undone in reverse, the device
    /// by deleting it.
    pub(super) fn add_inside(
        &self,
        dns: Dns,
        create: impl FnOnce() -> Result<Link, CniError>,
    ) -> Result<Attached, CniError> {
        let ipam = self.ipam_add()?;
        self.add_inside_with(ipam, dns, create).map_err(|error| self.undone(error, self.ipam_del()))
    }

    /// As [`Self::add_inside`], with addresses that are there already.
    pub(super) fn add_inside_with(
        &self,
        ipam: IpamResult,
        dns: Dns,
        create: impl FnOnce() -> Result<Link, CniError>,
    ) -> Result<Attached, CniError> {
        let link = create()?;
        self.attach_inside(&link, ipam, dns).map_err(|error| {
            let error = self.undone(error, self.remove_port());
            let deleted = self.sandbox().and_then(|sandbox| Ok(sandbox.netlink.delete_link(link.index)?));
            self.undone(error, deleted)
        })
    }

    /// Gives the device addresses and routes, sets it up and makes it a port; the result lists it alone. What this did is
    /// undone by [`Self::remove_port`] and by whatever becomes of the device.
    pub(super) fn attach_inside(
        &self,
        link: &Link,
        ipam: IpamResult,
        dns: Dns,
    ) -> Result<Attached, CniError> {
        if self.leases() && ipam.ips.is_empty() {
            return self.attach_leased(link, dns);
        }
        self.attach_with(link, ipam, dns)
    }

    /// As [`Self::attach_inside`], with addresses that are there already.
    pub(super) fn attach_with(&self, link: &Link, ipam: IpamResult, dns: Dns) -> Result<Attached, CniError> {
        // The port comes first: what the pod sends is guarded and counted from its first frame on.
        let port = self.port_of(link, &ipam.ips)?;
        self.configure(link.index, &ipam.ips, &ipam.routes)?;
        Ok(Attached { result: result(vec![self.container_interface(link)?], 0, ipam, dns), port })
    }

    /// Makes the device a port, if it carries Ethernet: the programs know nothing else.
    fn port_of(&self, link: &Link, ips: &[IpConfig]) -> Result<Option<PortRecord>, CniError> {
        if link.mac == [0; 6] {
            self.lacks("no counters, limits and guards: the device has no Ethernet address");
            return Ok(None);
        }
        let port = self.port_inside(link, ips)?;
        self.add_port(&port)?;
        Ok(Some(port))
    }

    /// The port of a device inside the pod.
    pub(super) fn port_inside(&self, link: &Link, ips: &[IpConfig]) -> Result<PortRecord, CniError> {
        let [guard_mac, guard_ip] = self.guards();
        Ok(PortRecord {
            id: self.reserved_port()?,
            kind: PortKind::PodTap,
            ifindex: link.index,
            mac: link.mac,
            ips: ips.iter().map(|ip| ip.address.addr()).collect(),
            guard_mac,
            guard_ip,
            ingress: None,
            egress: None,
            shaping: None,
        })
    }

    /// The device as results list it.
    pub(super) fn container_interface(&self, link: &Link) -> Result<Interface, CniError> {
        let sandbox = Some(self.sandbox()?.id.path.clone());
        Ok(Interface { name: self.ifname.to_owned(), sandbox, ..interface(link) })
    }

    /// Deletes our device in the pod, and no other: by the index that the record reserved, or without a record by name and
    /// kind. A namespace that is gone took it along.
    pub(super) fn delete_inside(&self, kind: &str) -> Result<(), CniError> {
        let Some(sandbox) = self.sandbox else { return Ok(()) };
        match self.port_ifindex() {
            Some(index) => sandbox.netlink.delete_link(index)?,
            None => {
                if let Some(link) = sandbox.netlink.link_by_name(self.ifname)?
                    && link.kind == kind
                    && !self.is_recorded(link.index)
                {
                    sandbox.netlink.delete_link(link.index)?;
                }
            }
        }
        Ok(())
    }
}

/// A link of the host as results list it.
pub(super) fn interface(link: &Link) -> Interface {
    Interface {
        name: link.name.clone(),
        mac: Some(format_mac(link.mac)),
        mtu: Some(link.mtu),
        ..Interface::default()
    }
}

/// A main plugin's result: its addresses are on interface `container`, name servers of the config go before IPAM's.
pub(super) fn result(interfaces: Vec<Interface>, container: usize, ipam: IpamResult, dns: Dns) -> CniResult {
    let ips = ipam.ips.into_iter().map(|ip| IpConfig { interface: Some(container), ..ip });
    CniResult {
        interfaces,
        ips: ips.collect(),
        routes: ipam.routes,
        dns: if dns.0.is_empty() { ipam.dns } else { dns },
        ..CniResult::default()
    }
}
