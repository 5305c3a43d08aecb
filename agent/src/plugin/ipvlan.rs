//! `ipvlan`: a child of a link that shares the link's hardware address.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/ipvlan), with L2 only where there
//! is no `ipam`, as for macvlan. The device is created in the container's namespace under its final name.

use nix::errno::Errno;
use plexus_cni::config::PluginConfig;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use super::address::check_kind;
use super::parent::Parent;
use super::{Attached, Plugin, PluginCall};
use crate::ipam::IpamResult;
use crate::netlink::{IpvlanMode, Link, LinkPlan};

/// What the kernel calls its kind.
const KIND: &str = "ipvlan";
/// In mode l3s the kernel hands packets to the pod in its LOCAL_IN hook (`ipvlan_nf_input`, drivers/net/ipvlan/ipvlan_l3s.c),
/// without another round of the receive path.
const PASSED_BY: &str = "no counters and limits for what comes from outside the node: in mode l3s it reaches the pod past \
                         the interface's hooks";

/// The plugin.
pub(super) struct Ipvlan;

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
    dns: Dns,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    #[serde(alias = "")]
    L2,
    L3,
    L3s,
}

impl From<Mode> for IpvlanMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::L2 => Self::L2,
            Mode::L3 => Self::L3,
            Mode::L3s => Self::L3s,
        }
    }
}

impl Config {
    /// The master as the config alone says it.
    fn own_parent(&self, config: &PluginConfig) -> Result<Parent<'_>, CniError> {
        Parent::of(config, self.master.as_deref(), self.link_in_container)
    }

    /// The master; of a chained plugin without one, the only interface of the chain so far.
    fn parent<'a>(&'a self, call: &PluginCall<'a>) -> Result<Parent<'a>, CniError> {
        let own = self.own_parent(call.config)?;
        let Some(result) = call.prev_result.filter(|_| !own.is_named()) else { return Ok(own) };
        match &*result.interfaces {
            [only] if !only.name.is_empty() => {
                Parent::of(call.config, Some(&only.name), self.link_in_container)
            }
            _ => Err(CniError::new(Code::InvalidConfig, "ipvlan: key \"master\" is missing")
                .because("prevResult lists not exactly one interface with a name, which would be it")),
        }
    }
}

impl Plugin for Ipvlan {
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let config: Config = call.config.typed()?;
        call.refuse_mac("all children of a master have the master's; use macvlan for one of its own")?;
        call.ipam_validate()?;
        if !config.own_parent(call.config)?.is_named() && call.prev_result.is_none() {
            // It may come with the result of an earlier plugin of the chain; else ADD says that there is none.
            return Ok(());
        }
        config.parent(call)?.validate(call, config.mtu)
    }

    fn keys(&self) -> &'static [&'static str] {
        &["master", "mode", "mtu", "linkInContainer"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        config.typed::<Config>()?.own_parent(config).map(drop)
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config: Config = call.config.typed()?;
        let parent = config.parent(call)?;
        parent.validate(call, config.mtu)?;
        let create = || create(call, &config, &parent);
        match call.prev_result.filter(|result| !result.ips.is_empty()) {
            Some(result) => {
                let ipam = IpamResult {
                    ips: result.ips.clone(),
                    routes: result.routes.clone(),
                    dns: result.dns.clone(),
                };
                call.add_inside_with(ipam, config.dns.clone(), create)
            }
            None => call.add_inside(config.dns.clone(), create),
        }
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let config: Config = call.config.typed()?;
        call.ipam_check()?;
        let link = call.check_addresses(result)?;
        check_kind(&link, KIND)?;
        let expected = IpvlanMode::from(config.mode);
        if link.ipvlan_mode != Some(expected) {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} is not in mode {}", link.name, expected.as_str()),
            )
            .because(format!(
                "it is in mode {}: another child of its master was made with that one, and they share it",
                link.ipvlan_mode.map_or("?", IpvlanMode::as_str)
            )));
        }
        let parent = config.own_parent(call.config)?;
        if parent.is_named() {
            parent.check_child(call, &link)?;
        }
        call.check_port()
    }

    fn del(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        let port = call.remove_port();
        let link = call.delete_inside(KIND);
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

fn create(call: &PluginCall<'_>, config: &Config, parent: &Parent<'_>) -> Result<Link, CniError> {
    let (mode, index) = (IpvlanMode::from(config.mode), parent.index(call)?);
    let plan = LinkPlan {
        netns: (!config.link_in_container).then_some(call.netns()?),
        ..call.link_plan(config.mtu)
    };
    if mode == IpvlanMode::L3s {
        call.lacks(PASSED_BY);
    }
    if !config.link_in_container {
        refuse_other_mode(call, mode, index)?;
        call.remember_child(index, mode.as_str())?;
    }
    match parent.side(call)?.0.add_ipvlan(&plan, index, mode) {
        Err(error) if error.errno == Errno::EBUSY => Err(CniError::from(error).because(
            "EBUSY: the master has macvlan children or is a port of a bridge or bond; use another master",
        )),
        outcome => {
            outcome?;
            call.require_link()
        }
    }
}

/// The kernel would change the mode of all other children, and cut them off.
fn refuse_other_mode(call: &PluginCall<'_>, mode: IpvlanMode, parent: u32) -> Result<(), CniError> {
    let siblings = call.siblings::<String>(parent);
    let Some((other, holder)) = siblings.into_iter().find(|(other, _)| other != mode.as_str()) else {
        return Ok(());
    };
    Err(CniError::new(
        Code::InvalidConfig,
        format!("ipvlan: mode {} on a master whose children are in mode {other}", mode.as_str()),
    )
    .because(format!("{holder} is one, and a master has one mode for all; use its mode or another master")))
}
