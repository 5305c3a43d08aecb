//! `macvlan`: a child of a host device with its own hardware address.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/macvlan). The device is
//! created in the container's namespace under its final name, and announces its addresses when it comes up.

use plexus_abi::PORT_IFINDEX_BASE;
use plexus_cni::config::PluginConfig;
use plexus_cni::result::{Dns, Interface};
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use super::call::format_mac;
use super::{Attached, Plugin, PluginCall};
use crate::netlink::{Link, LinkPlan, MacvlanMode, Netlink};
use crate::record::{PortKind, PortRecord};

/// The plugin.
pub(super) struct Macvlan;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    master: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    link_in_container: bool,
    #[serde(default)]
    bcqueuelen: u32,
    #[serde(default)]
    dns: Dns,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    #[serde(alias = "")]
    Bridge,
    Private,
    Vepa,
    Passthru,
}

impl From<Mode> for MacvlanMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Bridge => Self::Bridge,
            Mode::Private => Self::Private,
            Mode::Vepa => Self::Vepa,
            Mode::Passthru => Self::Passthru,
        }
    }
}

impl Plugin for Macvlan {
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config: Config = call.config.typed()?;
        call.requested_mac()?;
        call.ipam_validate()?;
        if call.sandbox.is_some() || !config.link_in_container {
            let parent = parent(call, &config)?;
            if config.mtu > parent.mtu {
                return Err(CniError::new(
                    Code::InvalidConfig,
                    format!("macvlan: key \"mtu\" is {}", config.mtu),
                )
                .because(format!("it must be 0 to {}, the MTU of master {}", parent.mtu, parent.name)));
            }
        }
        Ok(())
    }

    fn keys(&self) -> &'static [&'static str] {
        &["master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        config.typed::<Config>().map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config: Config = call.config.typed()?;
        let ipam = call.ipam_add()?;
        let undo_ipam = |error: CniError| call.undone(error, call.ipam_del());
        let link = create(call, &config).map_err(undo_ipam)?;
        let attached = finish(call, config, &link, ipam);
        attached.map_err(|error| {
            let error = call.undone(error, call.remove_port());
            let deleted = call.sandbox().and_then(|sandbox| Ok(sandbox.netlink.delete_link(link.index)?));
            undo_ipam(call.undone(error, deleted))
        })
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let config: Config = call.config.typed()?;
        call.ipam_check()?;
        let link = call.check_addresses(result)?;
        let expected = MacvlanMode::from(config.mode);
        if link.macvlan_mode != Some(expected) {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} is not a macvlan in mode {expected:?}", link.name),
            )
            .because(format!("it is a {} in mode {:?}", link.kind, link.macvlan_mode)));
        }
        let parent = parent(call, &config)?;
        if !parent.is_up {
            return Err(CniError::new(Code::CheckFailed, format!("master {} is down", parent.name))
                .because("set it up; the pod has no traffic on this interface until then"));
        }
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = delete(call);
        let ipam = call.ipam_del();
        port.and(link).and(ipam)
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate(call)?;
        call.ipam_status()
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        call.ipam_gc(valid)
    }
}

/// The master, in the host or, with `linkInContainer`, in the container.
fn parent(call: &PluginCall<'_>, config: &Config) -> Result<Link, CniError> {
    let (netlink, place): (&Netlink, _) = if config.link_in_container {
        (&call.sandbox()?.netlink, "the container")
    } else {
        (call.host, "the host")
    };
    let link = match config.master.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => {
            netlink.link_by_name(name)?.ok_or_else(|| format!("link {name:?} does not exist in {place}"))
        }
        None => netlink
            .default_route_link()?
            .ok_or_else(|| format!("{place} has no default route to take it from")),
    };
    link.map_err(|why| {
        CniError::new(Code::InvalidConfig, "macvlan: key \"master\" names no link").because(why)
    })
}

/// The master's index; validation looked at the rest of it.
fn parent_index(call: &PluginCall<'_>, config: &Config) -> Result<u32, CniError> {
    if let Some(name) = config.master.as_deref().filter(|name| !name.is_empty() && !config.link_in_container)
        && let Some(index) = Netlink::host_index(name)?
    {
        return Ok(index);
    }
    parent(call, config).map(|parent| parent.index)
}

fn create(call: &PluginCall<'_>, config: &Config) -> Result<Link, CniError> {
    let parent = parent_index(call, config)?;
    let sandbox = call.sandbox()?;
    let plan = LinkPlan {
        name: call.ifname,
        index: call.port_id.map(|id| PORT_IFINDEX_BASE + id),
        mac: call.requested_mac()?,
        mtu: Some(config.mtu).filter(|mtu| *mtu != 0),
        netns: (!config.link_in_container).then_some(call.netns()?),
    };
    let netlink = if config.link_in_container { &sandbox.netlink } else { call.host };
    let queue = Some(config.bcqueuelen).filter(|length| *length != 0);
    netlink.add_macvlan(&plan, parent, config.mode.into(), queue)?;
    call.require_link()
}

fn finish(
    call: &PluginCall<'_>,
    config: Config,
    link: &Link,
    ipam: crate::ipam::IpamResult,
) -> Result<Attached, CniError> {
    call.configure(link.index, &ipam.ips, &ipam.routes)?;
    let port = PortRecord {
        id: link.index - PORT_IFINDEX_BASE,
        kind: PortKind::PodTap,
        ifindex: link.index,
        mac: link.mac,
        ips: ipam.ips.iter().map(|ip| ip.address.addr()).collect(),
        guard_mac: false,
        guard_ip: false,
        ingress: None,
        egress: None,
    };
    call.add_port(&port)?;
    let interface = Interface {
        name: call.ifname.to_owned(),
        mac: Some(format_mac(link.mac)),
        mtu: Some(link.mtu),
        sandbox: Some(call.sandbox()?.id.path.clone()),
        ..Interface::default()
    };
    let ips = ipam.ips.into_iter().map(|mut ip| {
        ip.interface = Some(0);
        ip
    });
    let result = CniResult {
        interfaces: vec![interface],
        ips: ips.collect(),
        routes: ipam.routes,
        dns: if config.dns.0.is_empty() { ipam.dns } else { config.dns },
        ..CniResult::default()
    };
    Ok(Attached { result, port: Some(port) })
}

/// Deletes our device, and no other: by the index that the record reserved, or without a record by name and kind.
fn delete(call: &PluginCall<'_>) -> Result<(), CniError> {
    let Some(sandbox) = call.sandbox else { return Ok(()) };
    match call.port_id {
        Some(id) => sandbox.netlink.delete_link(PORT_IFINDEX_BASE + id)?,
        None => {
            if let Some(link) = sandbox.netlink.link_by_name(call.ifname)?
                && link.kind == "macvlan"
                && !call.is_recorded(link.index)
            {
                sandbox.netlink.delete_link(link.index)?;
            }
        }
    }
    Ok(())
}
