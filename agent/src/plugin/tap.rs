//! `tap`: a link in the container whose other end is a process, such as a virtual machine monitor.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/tap). The device is made on the
//! host and moved, so that nothing has to enter the container; the process attaches to it by name. A security label is
//! that of the process which makes the device, so where one is asked for the binary is executed.

use std::io::ErrorKind;

use plexus_cni::config::PluginConfig;
use plexus_cni::name::check_ifname;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, CniResult, Code, json};
use serde::Deserialize;

use super::address::check_kind;
use super::{Attached, Plugin, PluginCall};
use crate::fault;
use crate::netlink::{Link, MovePlan};
use crate::sandbox::{Tap as TapDevice, TapError, TapPlan};

/// What the kernel calls its kind.
const KIND: &str = "tun";
/// What is to be done where no device can be made.
const NO_DEVICE: &str = "load the module tun on the node (`modprobe tun`), and let plexusd see /dev/net/tun";
/// The largest MTU of a TAP device, in bytes (`MAX_MTU` of drivers/net/tun.c, without the header).
const MTU_MAX: u32 = 65_521;

/// The plugin.
pub(super) struct Tap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    #[serde(default)]
    multi_queue: bool,
    #[serde(default)]
    mtu: u32,
    owner: Option<u32>,
    group: Option<u32>,
    #[serde(default)]
    selinux_context: String,
    #[serde(default)]
    bridge: String,
    #[serde(default)]
    dns: Dns,
}

impl Config {
    fn read(config: &PluginConfig) -> Result<Self, CniError> {
        let own: Self = config.typed()?;
        if own.mtu > MTU_MAX {
            return Err(CniError::new(Code::InvalidConfig, format!("tap: key \"mtu\" is {}", own.mtu))
                .because(format!("it must be 0 to {MTU_MAX}")));
        }
        if !own.bridge.is_empty() {
            check_ifname(&own.bridge, "tap: key \"bridge\"")
                .map_err(|error| CniError { code: Code::InvalidConfig, ..error })?;
        }
        if !own.selinux_context.is_empty() {
            return Err(CniError::new(
                Code::UnsupportedField,
                format!("tap: key \"selinuxContext\" is {}", own.selinux_context),
            )
            .because(
                "the device gets the label of the process that makes it, so only the tap binary can set it: it is \
                 executed where the meta-plugin attaches the network, not where this plugin is called alone",
            ));
        }
        Ok(own)
    }
}

impl Plugin for Tap {
    fn serves(&self, config: &PluginConfig) -> bool {
        json::string(&config.0, "selinuxContext", "tap").ok().flatten().is_none_or(str::is_empty)
    }

    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        Config::read(call.config)?;
        call.requested_mac()?;
        call.ipam_validate()
    }

    fn keys(&self) -> &'static [&'static str] {
        &["multiQueue", "mtu", "mac", "owner", "group", "selinuxContext", "bridge"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        if self.serves(config) { Config::read(config).map(drop) } else { Ok(()) }
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config = Config::read(call.config)?;
        let dns = config.dns.clone();
        call.add_inside(dns, || {
            create(call, &config).map_err(|error| call.undone(error, delete_outside(call)))
        })
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let config = Config::read(call.config)?;
        call.ipam_check()?;
        let link = call.check_addresses(result)?;
        check_kind(&link, KIND)?;
        if !config.bridge.is_empty() && link.controller != Some(bridge(call, &config)?.index) {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} is no port of bridge {}", link.name, config.bridge),
            )
            .because("something in the pod took it out; restart the pod"));
        }
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = call.delete_inside(KIND);
        let outside = delete_outside(call);
        let ipam = call.ipam_del();
        port.and(link).and(outside).and(ipam)
    }

    fn undoes_reference(&self, _config: &PluginConfig) -> bool {
        true
    }

    fn status(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate(call)?;
        if !TapDevice::is_possible() {
            return Err(CniError::new(Code::Unavailable, "tap: /dev/net/tun is missing").because(NO_DEVICE));
        }
        call.ipam_status()
    }

    fn gc(&self, call: &PluginCall<'_>, valid: &[(String, String)]) -> Result<(), CniError> {
        call.ipam_gc(valid)
    }
}

/// Makes the device on the host under the port's index, prepares it, and moves it.
fn create(call: &PluginCall<'_>, config: &Config) -> Result<Link, CniError> {
    let id = call.reserved_port()?;
    let index = call.port_ifindex();
    let name = format!("plxtap{id}");
    let plan = TapPlan { name: &name, index, has_queues: config.multi_queue };
    TapDevice::open(&plan)
        .and_then(|device| device.keep(config.owner, config.group))
        .map_err(|error| refused(&error))?;
    fault::point();
    let made = call.host.link_by_name(&name)?.ok_or_else(|| {
        CniError::new(Code::Kernel, format!("tap: link {name} is gone"))
            .because("something deleted it; try again")
    })?;
    if let Some(mac) = call.requested_mac()? {
        call.host.set_mac(made.index, mac)?;
    }
    if config.mtu != 0 {
        call.host.set_mtu(made.index, config.mtu)?;
    }
    call.host.move_to(made.index, &MovePlan { netns: call.netns()?, name: call.ifname, index })?;
    let link = call.require_link()?;
    if !config.bridge.is_empty() {
        call.sandbox()?.netlink.set_controller(link.index, bridge(call, config)?.index)?;
    }
    Ok(link)
}

/// The bridge of the container that the device becomes a port of.
fn bridge(call: &PluginCall<'_>, config: &Config) -> Result<Link, CniError> {
    let name = &config.bridge;
    let found = call.sandbox()?.netlink.link_by_name(name)?.filter(|link| link.kind == "bridge");
    found.ok_or_else(|| {
        CniError::new(Code::InvalidConfig, format!("tap: key \"bridge\" names {name}, which is no bridge"))
            .because("it must be a bridge inside the container, made by an earlier plugin")
    })
}

/// Deletes what an ADD that was cut off left: the device before its move.
fn delete_outside(call: &PluginCall<'_>) -> Result<(), CniError> {
    let Some(index) = call.port_ifindex() else { return Ok(()) };
    match call.host.link_by_index(index)? {
        Some(link) if link.kind == KIND => Ok(call.host.delete_link(index)?),
        _ => Ok(()),
    }
}

fn refused(error: &TapError) -> CniError {
    let hint = match error.cause.kind() {
        ErrorKind::NotFound => NO_DEVICE,
        ErrorKind::PermissionDenied => "plexusd needs CAP_NET_ADMIN and access to /dev/net/tun",
        _ => "the kernel refused it",
    };
    CniError::new(Code::Kernel, format!("tap: cannot {}", error.what))
        .because(format!("{}; {hint}", error.cause))
}
