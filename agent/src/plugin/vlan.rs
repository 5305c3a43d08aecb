//! `vlan`: an 802.1Q VLAN of a link, inside the container.
//!
//! Keys and result as of the reference plugin (containernetworking/plugins, plugins/main/vlan). The device is created in
//! the container's namespace under its final name.

use nix::errno::Errno;
use plexus_cni::config::PluginConfig;
use plexus_cni::result::Dns;
use plexus_cni::{CniError, CniResult, Code};
use serde::Deserialize;

use super::address::check_kind;
use super::parent::Parent;
use super::{Attached, Plugin, PluginCall};
use crate::netlink::{Link, LinkPlan};

/// What the kernel calls its kind.
const KIND: &str = "vlan";
/// The highest id that the reference takes.
const ID_MAX: u16 = 4094;

/// The plugin.
pub(super) struct Vlan;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    master: Option<String>,
    vlan_id: Option<i64>,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    link_in_container: bool,
    #[serde(default)]
    dns: Dns,
}

impl Config {
    /// The VLAN's id; 0 is a priority tag.
    fn id(&self) -> Result<u16, CniError> {
        let id = self.vlan_id.ok_or_else(|| {
            CniError::new(Code::InvalidConfig, "vlan: key \"vlanId\" is missing")
                .because(format!("it must be 0 to {ID_MAX}"))
        })?;
        u16::try_from(id).ok().filter(|id| *id <= ID_MAX).ok_or_else(|| {
            CniError::new(Code::InvalidConfig, format!("vlan: key \"vlanId\" is {id}"))
                .because(format!("it must be 0 to {ID_MAX}"))
        })
    }

    fn parent(&self, config: &PluginConfig) -> Result<Parent<'_>, CniError> {
        Parent::of(config, self.master.as_deref(), self.link_in_container)
    }
}

impl Plugin for Vlan {
    fn validate(&self, call: &PluginCall<'_>) -> Result<(), CniError> {
        self.validate_config(call.config)?;
        call.ipam_validate()?;
        let config: Config = call.config.typed()?;
        config.parent(call.config)?.validate(call, config.mtu)
    }

    fn keys(&self) -> &'static [&'static str] {
        &["master", "vlanId", "mtu", "linkInContainer"]
    }

    fn validate_config(&self, config: &PluginConfig) -> Result<(), CniError> {
        let own: Config = config.typed()?;
        own.id()?;
        if !own.parent(config)?.is_named() {
            return Err(CniError::new(Code::InvalidConfig, "vlan: key \"master\" is missing")
                .because("it names the link whose VLAN this is"));
        }
        Ok(())
    }

    fn add(&self, call: &PluginCall<'_>) -> Result<Attached, CniError> {
        let config: Config = call.config.typed()?;
        call.add_inside(config.dns.clone(), || create(call, &config))
    }

    fn check(&self, call: &PluginCall<'_>, result: &CniResult) -> Result<(), CniError> {
        let config: Config = call.config.typed()?;
        call.ipam_check()?;
        let link = call.check_addresses(result)?;
        check_kind(&link, KIND)?;
        if link.vlan != Some(config.id()?) {
            return Err(CniError::new(
                Code::CheckFailed,
                format!("interface {} is not in VLAN {}", link.name, config.id()?),
            )
            .because(format!("it is in VLAN {:?}; restart the pod", link.vlan)));
        }
        config.parent(call.config)?.check_child(call, &link)?;
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

fn create(call: &PluginCall<'_>, config: &Config) -> Result<Link, CniError> {
    let (id, parent) = (config.id()?, config.parent(call.config)?);
    let plan = LinkPlan {
        netns: (!config.link_in_container).then_some(call.netns()?),
        ..call.link_plan(config.mtu)
    };
    let index = parent.index(call)?;
    if !config.link_in_container {
        call.remember_child(index, id)?;
    }
    match parent.side(call)?.0.add_vlan(&plan, index, id) {
        Err(error) if error.errno == Errno::EEXIST => Err(taken(call, &parent, id, index)),
        outcome => {
            outcome?;
            call.require_link()
        }
    }
}

/// A link has each VLAN once, in whichever namespace it is: the error says in which, as far as we know it.
fn taken(call: &PluginCall<'_>, parent: &Parent<'_>, id: u16, index: u32) -> CniError {
    let siblings = call.siblings::<u16>(index).into_iter().filter(|_| !parent.is_in_container());
    let ours = siblings.into_iter().find(|(other, _)| *other == id).map(|(_, holder)| holder);
    let links = parent.side(call).and_then(|(netlink, _)| Ok(netlink.links()?)).unwrap_or_default();
    let beside = links.iter().find(|link| link.parent == Some(index) && link.vlan == Some(id));
    let holder = ours.or_else(|| beside.map(|link| format!("link {} beside it", link.name)));
    let holder = holder.unwrap_or_else(|| "a link in another network namespace".into());
    let master = links.iter().find(|link| link.index == index).map_or("the master", |link| &link.name);
    CniError::new(Code::Kernel, format!("vlan: VLAN {id} of {master} is taken")).because(format!(
        "{holder} has it, and a link has each VLAN once; share it by a macvlan or bridge on top"
    ))
}
