//! `fastpath`: an L2 network whose forwarding is done in eBPF, without a kernel bridge.
//!
//! ```json
//! {"type": "fastpath", "uplink": "eth1", "vlan": 100, "mtu": 1500, "mac": "02:…",
//!  "macspoofchk": true, "ipspoofchk": true, "xdp": "auto", "ipam": {…},
//!  "plexus": {"learning": true, "ageing_s": 300, "outer_vlan": 7, "mode": "l2", "link": "auto"}}
//! ```
//! Pods with the same name, uplink and VLAN are one network. Without an uplink it stays on this node. A pod sends and
//! gets untagged frames; the VLANs are on the uplink.

mod link;
mod routed;

use plexus_abi::{GATEWAY_MAC, PORT_IFINDEX_BASE};
use plexus_cni::config::PluginConfig;
use plexus_cni::hash::fnv1a;
use plexus_cni::result::{Dns, Interface};
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use self::link::LinkChoice;
pub(super) use self::routed::follow as follow_mac;
use super::call::format_mac;
use super::{Attached, Plugin, PluginCall, interface};
use crate::datapath::{Forwarding, Mode, XdpChoice};
use crate::ipam::IpamResult;
use crate::netlink::{Link, LinkPlan};
use crate::record::{LinkKind, NetworkKey, PortKind, PortRecord};
use crate::sandbox::enable_gro;

/// The plugin.
pub(super) struct Fastpath;

#[derive(Deserialize)]
struct Config {
    uplink: Option<String>,
    #[serde(default)]
    vlan: u16,
    #[serde(default)]
    mtu: u32,
    #[serde(default = "yes")]
    macspoofchk: bool,
    ipspoofchk: Option<bool>,
    #[serde(default)]
    xdp: XdpChoice,
    #[serde(default)]
    plexus: Options,
    #[serde(default)]
    dns: Dns,
}

/// The object `plexus`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Options {
    learning: bool,
    ageing_s: Option<u32>,
    outer_vlan: u16,
    mode: Mode,
    link: LinkChoice,
}

/// Keys of the object `plexus` that are fastpath's own.
pub(super) const OPTIONS: [&str; 5] = ["learning", "ageing_s", "outer_vlan", "mode", "link"];

fn yes() -> bool {
    true
}

/// Highest VLAN id of 802.1Q; 4095 is reserved.
const VLAN_MAX: u16 = 4094;
/// Smallest and largest MTU, in bytes: IPv4's minimum and what a veth takes.
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;
/// Seconds that a learnt station may be remembered: up to a day.
const AGEING_S: std::ops::RangeInclusive<u32> = 1..=86_400;

impl Config {
    fn of(call: &PluginCall<'_>) -> Result<Self, CniError> {
        Self::read(call.config)
    }

    fn read(config: &PluginConfig) -> Result<Self, CniError> {
        let config: Self = config.typed()?;
        let wrong = |key: &str, found: u32, why: &str| {
            Err(CniError::new(Code::InvalidConfig, format!("fastpath: key {key:?} is {found}")).because(why))
        };
        if config.vlan > VLAN_MAX {
            return wrong("vlan", config.vlan.into(), "it must be 0 (untagged) to 4094");
        }
        if config.vlan != 0 && config.uplink.is_none() {
            return wrong("vlan", config.vlan.into(), "a VLAN is on an uplink; set \"uplink\"");
        }
        if config.mtu != 0 && !MTU.contains(&config.mtu) {
            return wrong("mtu", config.mtu, "it must be 68 to 65535, or 0 for the uplink's");
        }
        let options = &config.plexus;
        if options.outer_vlan > VLAN_MAX {
            return wrong("plexus.outer_vlan", options.outer_vlan.into(), "it must be 0 (none) to 4094");
        }
        if options.outer_vlan != 0 && config.vlan == 0 {
            return wrong(
                "plexus.outer_vlan",
                options.outer_vlan.into(),
                "it goes around a VLAN; set \"vlan\"",
            );
        }
        if let Some(ageing_s) = options.ageing_s.filter(|ageing_s| !AGEING_S.contains(ageing_s)) {
            return wrong("plexus.ageing_s", ageing_s, "it must be 1 to 86400 seconds");
        }
        if let Some(ageing_s) = options.ageing_s.filter(|_| !options.learning) {
            return wrong("plexus.ageing_s", ageing_s, "only learnt stations age; set \"learning\" to true");
        }
        let has_l2 = config.vlan != 0 || options.learning;
        if options.mode == Mode::L3 && has_l2 {
            return Err(CniError::new(Code::InvalidConfig, "fastpath: key \"plexus.mode\" is \"l3\"").because(
                "a network that routes has no VLAN and learns nothing; remove \"vlan\" and \"plexus.learning\"",
            ));
        }
        options.link.check(config.xdp, options.mode)?;
        Ok(config)
    }

    fn routes(&self) -> bool {
        self.plexus.mode == Mode::L3
    }

    fn forwarding(&self) -> Forwarding {
        let Options { learning, ageing_s, outer_vlan, mode, .. } = self.plexus;
        Forwarding { mode, learning, ageing_s: ageing_s.unwrap_or_default(), outer_vlan }
    }

    fn key(&self, call: &PluginCall<'_>) -> NetworkKey {
        NetworkKey {
            name: call.network.to_owned(),
            uplink: self.uplink.clone(),
            vlan: self.vlan,
            xdp: self.xdp,
            forwarding: self.forwarding(),
        }
    }
}

impl Plugin for Fastpath {
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config = Config::of(call)?;
        call.requested_mac()?;
        let uplink = uplink(call, &config)?;
        if let Some(uplink) = uplink.as_ref().filter(|uplink| config.mtu > uplink.mtu) {
            return Err(CniError::new(
                Code::InvalidConfig,
                format!("fastpath: key \"mtu\" is {}", config.mtu),
            )
            .because(format!("uplink {} has {}", uplink.name, uplink.mtu)));
        }
        if config.routes() {
            call.refuse_leases()?;
        }
        link::choose(call, &config, uplink.as_ref())?;
        call.ipam_validate()
    }

    fn keys(&self) -> &'static [&'static str] {
        &["uplink", "vlan", "mtu", "mac", "macspoofchk", "ipspoofchk", "xdp"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        Config::read(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::of(call)?;
        let ipam = call.ipam_add()?;
        let ipam = if config.routes() { routed::reshape(ipam) } else { Ok(ipam) };
        let attached = ipam.and_then(|ipam| attach(call, &config, ipam));
        attached.map_err(|error| {
            call.give_back_lease();
            let error = call.undone(error, detach(call, &config));
            call.undone(error, call.ipam_del())
        })
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let config = Config::of(call)?;
        call.ipam_check()?;
        call.check_addresses(result)?;
        let uplink = uplink(call, &config).map_err(|error| CniError { code: Code::CheckFailed, ..error })?;
        if let Some(uplink) = uplink.filter(|uplink| !uplink.is_up) {
            return Err(CniError::new(Code::CheckFailed, format!("uplink {} is down", uplink.name))
                .because("set it up; the pod reaches only pods of this node until then"));
        }
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let detached = Config::of(call).and_then(|config| detach(call, &config));
        let released = call.ipam_del();
        detached.and(released)
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate(call)?;
        call.ipam_status()
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        call.ipam_gc(valid)
    }
}

/// The uplink, if the network has one.
fn uplink(call: &PluginCall<'_>, config: &Config) -> Result<Option<Link>, CniError> {
    let Some(name) = &config.uplink else { return Ok(None) };
    call.host.link_by_name(name)?.map(Some).ok_or_else(|| {
        CniError::new(Code::InvalidConfig, format!("fastpath: key \"uplink\" is {name:?}"))
            .because("the host has no link of that name")
    })
}

/// The pod's hardware address: the one asked for, else one that follows from container, network and interface, so
/// that a DEL after a crash knows it too.
fn mac(call: &PluginCall<'_>) -> Result<[u8; 6], CniError> {
    if let Some(mac) = call.requested_mac()? {
        return Ok(mac);
    }
    let identity = [call.container_id, call.network, call.ifname].join("\0");
    let hash = fnv1a(identity.as_bytes()).to_be_bytes();
    // Locally administered, one station.
    Ok([0x0a, hash[1], hash[2], hash[3], hash[4], hash[5]])
}

/// The host's end of the pair.
fn host_name(port: u32) -> String {
    format!("plx{port}")
}

fn attach(call: &PluginCall<'_>, config: &Config, mut ipam: IpamResult) -> Result<Attached, CniError> {
    let (id, mac) = (call.reserved_port()?, mac(call)?);
    let uplink = uplink(call, config)?;
    let uplink_mtu = uplink.as_ref().map(|uplink| uplink.mtu);
    let mtu = Some(config.mtu).filter(|mtu| *mtu != 0).or(uplink_mtu);
    let (host_name, index) = (host_name(id), PORT_IFINDEX_BASE + id);
    let gateway = config.routes().then_some(GATEWAY_MAC);
    let host = LinkPlan { name: &host_name, index: Some(index), mac: gateway, mtu, ..LinkPlan::default() };
    let pod = LinkPlan {
        name: call.ifname,
        mac: Some(mac),
        mtu,
        netns: Some(call.netns()?),
        ..LinkPlan::default()
    };
    let pair = link::choose(call, config, uplink.as_ref())?;
    match pair.kind {
        LinkKind::Veth => call.host.add_veth(&host, &pod)?,
        LinkKind::Netkit => call.host.add_netkit(&host, &pod)?,
    }
    call.host.disable_link_local(index)?;
    call.host.set_up(index)?;
    let link = call.require_link()?;
    let sandbox = call.sandbox()?;
    sandbox.netlink.set_up(link.index)?;
    if pair.kind == LinkKind::Veth {
        // GRO gives the pod's end NAPI, without which redirected frames are lost; it counts only on a link that is up.
        enable_gro(sandbox.control(), call.ifname).map_err(|errno| {
            CniError::new(Code::Kernel, format!("cannot enable GRO on {}", call.ifname))
                .because(errno.to_string())
        })?;
    }
    let key = config.key(call);
    let network_id = call.agent.networks.join(&key, id, |network_id| {
        let uplink_ifindex = uplink.as_ref().map(|uplink| uplink.index);
        call.agent.datapath.upsert_network(&key.spec(network_id, uplink_ifindex))?;
        match uplink_ifindex.filter(|_| config.plexus.learning) {
            // Nobody can tell the device's filter the addresses of stations that are yet to be learnt.
            Some(index) => Ok(call.host.set_promiscuous(index, true)?),
            None => Ok(()),
        }
    })?;
    if let Some(uplink) = &uplink {
        if !config.routes() {
            call.host.add_station(uplink.index, mac)?;
        }
        call.host.set_up(uplink.index)?;
    }
    let mut port = PortRecord {
        id,
        kind: PortKind::Fastpath {
            network_id,
            vlan: config.vlan,
            uplink: config.uplink.clone(),
            xdp: config.xdp,
            forwarding: config.forwarding(),
            link: pair,
        },
        ifindex: index,
        mac,
        ips: ipam.ips.iter().map(|ip| ip.address.addr()).collect(),
        guard_mac: config.macspoofchk,
        guard_ip: config.ipspoofchk.unwrap_or(call.leases() || !ipam.ips.is_empty()),
        ingress: None,
        egress: None,
        shaping: None,
    };
    // The port comes first: what the pod announces should be heard.
    call.add_port(&port)?;
    if call.leases() {
        ipam = call.lease(&link)?;
        port.ips = ipam.ips.iter().map(|ip| ip.address.addr()).collect();
        call.agent.datapath.set_addresses(id, &port.ips)?;
    }
    if config.routes() {
        routed::configure(call, link.index, index, mac, &ipam)?;
    } else {
        call.configure(link.index, &ipam.ips, &ipam.routes)?;
    }
    if !ipam.ips.is_empty() && !config.routes() {
        // The link is up already; a hardware address that is set makes the kernel announce the addresses (arp_notify).
        sandbox.netlink.set_mac(link.index, mac)?;
    }
    let host_mac = call.host.link_by_index(index)?.map(|link| link.mac).unwrap_or_default();
    Ok(Attached { result: result(call, config, ipam, &link, (host_name, host_mac))?, port: Some(port) })
}

fn result(
    call: &PluginCall<'_>,
    config: &Config,
    ipam: IpamResult,
    link: &Link,
    (host_name, host_mac): (String, [u8; 6]),
) -> Result<CniResult, CniError> {
    let host = Interface { name: host_name, mac: Some(format_mac(host_mac)), ..interface::interface(link) };
    let interfaces = vec![host, call.container_interface(link)?];
    Ok(interface::result(interfaces, 1, ipam, config.dns.clone()))
}

/// Removes port, link, station and, with its last member, the network; every step is tried, the first error told.
fn detach(call: &PluginCall<'_>, config: &Config) -> Result<(), CniError> {
    let Some(id) = call.port_id.map_or_else(|| lost_port(call), |id| Ok(Some(id)))? else { return Ok(()) };
    let port = call.remove_port();
    let link = call.host.delete_link(PORT_IFINDEX_BASE + id).map_err(CniError::from);
    let pin = call.agent.datapath.release_netkit(id).map_err(CniError::from);
    let station = mac(call).and_then(|mac| match &config.uplink {
        Some(name) => match call.host.link_by_name(name)? {
            Some(uplink) => Ok(call.host.delete_station(uplink.index, mac)?),
            None => delete_station_anywhere(call, mac),
        },
        None => Ok(()),
    });
    let remove = |network_id, others: &[&NetworkKey]| {
        call.agent.datapath.remove_network(network_id)?;
        let is_needed = others.iter().any(|other| other.forwarding.learning && other.uplink == config.uplink);
        match config.uplink.as_ref().filter(|_| config.plexus.learning && !is_needed) {
            Some(name) => end_promiscuity(call, name),
            None => Ok(()),
        }
    };
    let network = call.agent.networks.leave(id, remove);
    port.and(link).and(pin).and(station).and(network)
}

/// An uplink that is gone needs none.
fn end_promiscuity(call: &PluginCall<'_>, uplink: &str) -> Result<(), CniError> {
    match call.host.link_by_name(uplink)? {
        Some(uplink) => Ok(call.host.set_promiscuous(uplink.index, false)?),
        None => Ok(()),
    }
}

/// The uplink is gone, or has another name by now.
fn delete_station_anywhere(call: &PluginCall<'_>, mac: [u8; 6]) -> Result<(), CniError> {
    for link in call.host.links()?.iter().filter(|link| link.kind != "bridge") {
        if let Err(error) = call.host.delete_station(link.index, mac) {
            // Most devices never had a station of ours, and some know none at all.
            tracing::debug!(link = link.name, %error, "no station is removed");
        }
    }
    Ok(())
}

/// The port id of an attachment whose record is lost: the pod's end of the pair names the index of the host's.
fn lost_port(call: &PluginCall<'_>) -> Result<Option<u32>, CniError> {
    let Some(sandbox) = call.sandbox else { return Ok(None) };
    let pod_end = sandbox.netlink.link_by_name(call.ifname)?.filter(Link::is_paired);
    let Some(index) = pod_end.and_then(|link| link.parent).filter(|index| !call.is_recorded(*index)) else {
        return Ok(None);
    };
    let id = index.checked_sub(PORT_IFINDEX_BASE);
    let host_end = call.host.link_by_index(index)?;
    Ok(id.filter(|id| host_end.is_some_and(|link| link.name == host_name(*id))))
}
