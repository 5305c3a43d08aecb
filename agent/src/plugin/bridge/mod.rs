//! `bridge`: a veth pair between the container and a bridge of the host.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/bridge), with
//! `preserveDefaultVlan` true by default as in its code. Masquerading and the check of source hardware addresses are
//! nftables rules in tables of our own, whatever `ipMasqBackend` says. The bridge itself outlives its attachments, as it
//! does there.

mod check;
mod config;
mod container;
mod gateway;
mod link;
mod rules;
mod sysctl;
mod vlan;

use plexus_cni::config::PluginConfig;
use plexus_cni::result::IpConfig;
use plexus_cni::{CniError, CniResult, Code};

use self::config::Config;
use self::gateway::Gateways;
use self::link::Veth;
use super::masquerade::is_on;
use super::undo::Undo;
use super::{Attached, Plugin, PluginCall, interface};
use crate::ipam::IpamResult;
use crate::netlink::Link;
use crate::record::{PortKind, PortRecord};

/// Index of the container's interface in the result, behind the bridge and the host's end.
const CONTAINER_INTERFACE: usize = 2;

/// The plugin.
pub(super) struct Bridge;

impl Plugin for Bridge {
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config = Config::of(call)?;
        call.ipam_validate()?;
        link::refuse_other_kind(call, &config.bridge)
    }

    fn keys(&self) -> &'static [&'static str] {
        config::KEYS
    }

    fn validate_config(&self, plugin: &PluginConfig) -> Result<(), CniError> {
        Config::read(plugin, None).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::of(call)?;
        let mut undo = Undo::default();
        attach(call, &config, &mut undo).map_err(|error| undo.after(error, call.is_unclean))
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        check::check(call, &Config::of(call)?, result)
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = link::disconnect(call);
        let rules = rules::remove(call);
        let ipam = call.ipam_del();
        port.and(link).and(rules).and(ipam)
    }

    /// Its packet filter rules are in tables that are not ours.
    fn undoes_reference(&self, config: &PluginConfig) -> bool {
        !is_on(config, "ipMasq") && !is_on(config, "macspoofchk")
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate(call)?;
        call.ipam_status()
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        call.ipam_gc(valid)
    }
}

fn attach<'a>(
    call: &'a PluginCall<'a>,
    config: &'a Config,
    undo: &mut Undo<'a>,
) -> Result<Attached, CniError> {
    let (mut ipam, leased_on) = if call.leases() {
        let veth = link::connect(call, config, undo)?;
        call.sandbox()?.netlink.set_up(veth.container.index)?;
        link::wait_until_running(call, veth.host.index)?;
        (call.lease(&veth.container)?, Some(veth))
    } else {
        (call.ipam_add()?, None)
    };
    undo.push(|| call.ipam_del());
    if call.config.ipam_type().is_some() && ipam.ips.is_empty() {
        return Err(CniError::new(Code::DelegateFailed, "bridge: the IPAM plugin returned no address"));
    }
    let gateways = Gateways::fill_in(&mut ipam, config);
    let veth = leased_on.map_or_else(|| link::connect(call, config, undo), Ok)?;
    if config.macspoofchk {
        rules::check_source(call, veth.container.mac, undo)?;
    }
    container::configure(call, config, &veth.container, &ipam)?;
    let vlan_interface = gateways.set_up(call, config, &veth.bridge, undo)?;
    if config.ip_masq && !ipam.ips.is_empty() {
        call.masquerade(&ipam.ips, undo)?;
    }
    if !config.disable_container_interface {
        link::wait_until_running(call, veth.host.index)?;
    }
    let port = port(call, &veth, &ipam.ips)?;
    undo.push(|| call.remove_port());
    call.add_port(&port)?;
    let result = result(call, config, &veth, vlan_interface.as_ref(), ipam)?;
    Ok(Attached { result, port: Some(port) })
}

fn port(call: &PluginCall<'_>, veth: &Veth, ips: &[IpConfig]) -> Result<PortRecord, CniError> {
    let [guard_mac, guard_ip] = call.guards();
    Ok(PortRecord {
        id: call.reserved_port()?,
        kind: PortKind::HostTap,
        ifindex: veth.host.index,
        mac: veth.container.mac,
        ips: ips.iter().map(|ip| ip.address.addr()).collect(),
        guard_mac,
        guard_ip,
        ingress: None,
        egress: None,
        shaping: None,
    })
}

/// The reference's order of interfaces: bridge, host's end, container's end, and the gateway of a VLAN.
fn result(
    call: &PluginCall<'_>,
    config: &Config,
    veth: &Veth,
    vlan_interface: Option<&Link>,
    ipam: IpamResult,
) -> Result<CniResult, CniError> {
    // The bridge takes another hardware address with its first port.
    let bridge = link::existing_bridge(call, &config.bridge)?.unwrap_or_else(|| veth.bridge.clone());
    let mut interfaces = [&bridge, &veth.host, &veth.container].map(interface::interface).to_vec();
    interfaces[CONTAINER_INTERFACE].sandbox = Some(call.sandbox()?.id.path.clone());
    interfaces.extend(vlan_interface.map(interface::interface));
    Ok(interface::result(interfaces, CONTAINER_INTERFACE, ipam, config.dns.clone()))
}
