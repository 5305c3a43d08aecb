//! `macvlan`: a child of a host device with its own hardware address.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/macvlan). The device is
//! created in the container's namespace under its final name, and announces its addresses when it comes up.

use plexus_cni::config::PluginConfig;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use super::parent::Parent;
use super::{Attached, Plugin, PluginCall};
use crate::netlink::{Link, LinkPlan, MacvlanMode};

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
        parent(call, &config)?.validate(call, config.mtu)
    }

    fn keys(&self) -> &'static [&'static str] {
        &["master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        let own: Config = config.typed()?;
        Parent::of(config, own.master.as_deref(), own.link_in_container).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config: Config = call.config.typed()?;
        call.add_inside(config.dns.clone(), || create(call, &config))
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
        parent(call, &config)?.check(call)?;
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = call.delete_inside("macvlan");
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

/// The master.
fn parent<'a>(call: &PluginCall<'_>, config: &'a Config) -> Result<Parent<'a>, CniError> {
    Parent::of(call.config, config.master.as_deref(), config.link_in_container)
}

fn create(call: &PluginCall<'_>, config: &Config) -> Result<Link, CniError> {
    let parent = parent(call, config)?;
    let plan = LinkPlan {
        mac: call.requested_mac()?,
        netns: (!config.link_in_container).then_some(call.netns()?),
        ..call.link_plan(config.mtu)
    };
    let queue = Some(config.bcqueuelen).filter(|length| *length != 0);
    parent.side(call)?.0.add_macvlan(&plan, parent.index(call)?, config.mode.into(), queue)?;
    call.require_link()
}
