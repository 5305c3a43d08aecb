//! What every main plugin does with addresses: ask IPAM, configure the interface, compare, release.

use std::net::IpAddr;

use plexus_cni::result::{Dns, IpConfig, Route};
use plexus_cni::{CniError, CniResult, Code, Version};
use serde_json::Value;

use super::PluginCall;
use super::call::format_mac;
use crate::delegate::{ExecCall, is_without_effect, result_of};
use crate::ipam::{Ipam, IpamRequest, IpamResult, LiveSandbox};
use crate::netlink::Link;

/// Who gives the addresses.
enum Choice {
    /// There is no IPAM.
    Nobody,
    /// A plugin of ours.
    BuiltIn(Ipam),
    /// A binary.
    Executed,
}

impl PluginCall<'_> {
    pub(super) fn ipam_request(&self) -> IpamRequest<'_> {
        IpamRequest {
            network: self.network,
            container_id: self.container_id,
            ifname: self.ifname,
            config: &self.config.0,
            args: self.args,
            data_dirs: &self.agent.settings.ipam_data_dirs,
            boot_id: &self.agent.boot_id,
            cluster: self.agent.pools.as_ref(),
            deadline: self.deadline,
        }
    }

    /// Who does IPAM, where it is not leased.
    fn ipam(&self) -> Choice {
        if self.config.ipam_type().is_none() {
            return Choice::Nobody;
        }
        let chosen = self.config.ipam().and_then(|section| Ipam::chosen(section, self.agent.pools.is_some()));
        chosen.map_or(Choice::Executed, Choice::BuiltIn)
    }

    /// All containers that are attached on this node.
    fn live_sandboxes(&self) -> Vec<LiveSandbox> {
        let records = self.agent.records.all();
        let of_record = |record: &crate::record::Record| {
            let pod = record.pod.as_ref()?;
            let podref = format!("{}/{}", pod.namespace, pod.name);
            Some(LiveSandbox { container_id: record.container_id.clone(), podref })
        };
        records.iter().filter_map(|record| of_record(record)).collect()
    }

    /// Whether the network's version has what came with `since`.
    fn speaks(&self, since: Version) -> bool {
        Version::from_config(self.config.0.get("cniVersion")).is_ok_and(|version| version >= since)
    }

    pub(super) fn ipam_exec(&self, command: &'static str) -> Result<Value, CniError> {
        self.delegates.exec(&ExecCall {
            command,
            plugin: self.config.ipam_type().unwrap_or_default(),
            container_id: self.container_id,
            netns: self.sandbox.map(|sandbox| &*sandbox.id.path),
            ifname: self.ifname,
            args: self.args_text,
            path: self.path,
            config: &self.config.0,
        })
    }

    /// Refuses an IPAM config that cannot work.
    pub(super) fn ipam_validate(&self) -> Result<(), CniError> {
        if self.leases() {
            return self.lease_validate();
        }
        match self.ipam() {
            Choice::BuiltIn(ipam) => ipam.validate(&self.ipam_request()),
            _ => Ok(()),
        }
    }

    /// Addresses from IPAM; without IPAM an L2 interface has none. Those that are leased over the interface come later, by
    /// [`Self::lease`].
    pub(super) fn ipam_add(&self) -> Result<IpamResult, CniError> {
        if self.leases() {
            return Ok(IpamResult::default());
        }
        match self.ipam() {
            Choice::Nobody => Ok(IpamResult { ips: Vec::new(), routes: Vec::new(), dns: Dns::default() }),
            Choice::BuiltIn(ipam) => ipam.add(&self.ipam_request()),
            Choice::Executed => self.foreign_ipam_add(),
        }
    }

    /// Addresses from an executed plugin. Whatever it did before it failed, its DEL undoes (C058).
    pub(super) fn foreign_ipam_add(&self) -> Result<IpamResult, CniError> {
        self.foreign_ipam_result().map_err(|error| {
            let undone = if is_without_effect(&error) { Ok(()) } else { self.ipam_del() };
            self.undone(error, undone)
        })
    }

    fn foreign_ipam_result(&self) -> Result<IpamResult, CniError> {
        let result = result_of(self.config.ipam_type().unwrap_or("of IPAM"), &self.ipam_exec("ADD")?)?;
        if result.ips.is_empty() {
            return Err(CniError::new(Code::DelegateFailed, "the IPAM plugin returned no address"));
        }
        Ok(IpamResult { ips: result.ips, routes: result.routes, dns: result.dns })
    }

    /// Releases what IPAM gave.
    pub(super) fn ipam_del(&self) -> Result<(), CniError> {
        if self.leases() {
            return self.lease_del();
        }
        match self.ipam() {
            Choice::Nobody => Ok(()),
            Choice::BuiltIn(ipam) => ipam.del(&self.ipam_request()),
            Choice::Executed => self.ipam_exec("DEL").map(drop),
        }
    }

    pub(super) fn ipam_check(&self) -> Result<(), CniError> {
        if self.leases_natively() {
            return self.lease_check();
        }
        match self.ipam() {
            Choice::Nobody => Ok(()),
            Choice::BuiltIn(ipam) => ipam.check(&self.ipam_request()),
            Choice::Executed if !self.speaks(Version::V0_4_0) => Ok(()),
            Choice::Executed => self.ipam_exec("CHECK").map(drop),
        }
    }

    pub(super) fn ipam_status(&self) -> Result<(), CniError> {
        if self.leases_natively() {
            return Ok(());
        }
        match self.ipam() {
            Choice::Nobody => Ok(()),
            Choice::BuiltIn(ipam) => ipam.status(&self.ipam_request()),
            Choice::Executed if !self.speaks(Version::V1_1_0) => Ok(()),
            Choice::Executed => self.ipam_exec("STATUS").map(drop),
        }
    }

    pub(super) fn ipam_gc(&self, valid: &[(String, String)]) -> Result<(), CniError> {
        if self.leases_natively() {
            return self.agent.dhcp.gc(self.network, valid);
        }
        match self.ipam() {
            Choice::Nobody => Ok(()),
            Choice::BuiltIn(ipam) => ipam.gc(&self.ipam_request(), valid, &self.live_sandboxes()),
            Choice::Executed if !self.speaks(Version::V1_1_0) => Ok(()),
            Choice::Executed => self.ipam_exec("GC").map(drop),
        }
    }

    /// Gives the container's interface its addresses, sets it up, and adds the routes.
    ///
    /// Addresses come first: with `arp_notify` the kernel announces those that are there when the link comes up.
    pub(super) fn configure(&self, link: u32, ips: &[IpConfig], routes: &[Route]) -> Result<(), CniError> {
        let netlink = &self.sandbox()?.netlink;
        if !ips.is_empty() {
            netlink.set_arp_notify(link)?;
        }
        if ips.iter().any(|ip| ip.address.addr().is_ipv6()) {
            // IPv6 addresses are announced when the link comes up. There is no netlink attribute for it, as there is for
            // arp_notify; a kernel without IPv6 has no such sysctl, and fails at the address.
            self.try_sysctls(&[format!("net/ipv6/conf/{}/ndisc_notify", self.ifname)], "1");
        }
        for ip in ips {
            netlink.add_address(link, ip.address)?;
        }
        netlink.set_up(link)?;
        for route in routes {
            netlink.add_route(link, &with_gateway(route, ips))?;
        }
        Ok(())
    }

    /// Compares interface, addresses and routes with the result (C087 to C089); what a later plugin of the chain may
    /// change, such as MTU and extra routes, is left alone (C095).
    pub(super) fn check_addresses(&self, result: &CniResult) -> Result<Link, CniError> {
        let link = self.require_link()?;
        let index = result.container_interface(self.ifname).ok_or_else(|| {
            CniError::new(Code::InvalidConfig, format!("prevResult does not list interface {}", self.ifname))
        })?;
        if let Some(mac) = &result.interfaces[index].mac
            && *mac != format_mac(link.mac)
        {
            return Err(differs(
                format!("interface {} has hardware address {}", self.ifname, format_mac(link.mac)),
                mac,
            ));
        }
        let netlink = &self.sandbox()?.netlink;
        let present = netlink.addresses(link.index)?;
        for ip in result.ips.iter().filter(|ip| ip.interface == Some(index)) {
            if !present.contains(&ip.address) {
                return Err(differs(
                    format!("interface {} lacks an address", self.ifname),
                    &ip.address.to_string(),
                ));
            }
        }
        let routes = netlink.routes(link.index)?;
        for route in result.routes.iter().map(|route| with_gateway(route, &result.ips)) {
            let reaches = |ip: &IpConfig| route.gw.is_none_or(|gw| ip.address.contains(&gw));
            let is_ours = result.ips.iter().any(|ip| ip.interface == Some(index) && reaches(ip));
            let is_there = routes.iter().any(|found| found.dst == route.dst.trunc() && found.gw == route.gw);
            if is_ours && !is_there {
                return Err(differs(
                    format!("interface {} lacks a route", self.ifname),
                    &route.dst.to_string(),
                ));
            }
        }
        Ok(link)
    }
}

/// Refuses an interface of another kind, as `ip -d link` says it.
pub(super) fn check_kind(link: &Link, kind: &str) -> Result<(), CniError> {
    if link.kind == kind {
        return Ok(());
    }
    let found = if link.kind.is_empty() { "device" } else { &link.kind };
    Err(differs(format!("interface {} is a {found}", link.name), kind))
}

fn differs(found: String, expected: &str) -> CniError {
    CniError::new(Code::CheckFailed, found)
        .because(format!("the result of ADD says {expected}; restart the pod"))
}

/// A route without a next hop takes the gateway of the first address of its family (CNI SPEC, "routes").
pub(super) fn with_gateway(route: &Route, ips: &[IpConfig]) -> Route {
    let mut route = route.clone();
    route.gw = route.gw.or_else(|| gateway(ips, route.dst.addr().is_ipv4()));
    route
}

fn gateway(ips: &[IpConfig], is_ipv4: bool) -> Option<IpAddr> {
    ips.iter().filter_map(|ip| ip.gateway).find(|gateway| gateway.is_ipv4() == is_ipv4)
}
